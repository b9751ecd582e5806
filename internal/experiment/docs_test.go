package experiment

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestEveryFieldIsDocumented fails when a field of the file is missing from its reference.
func TestEveryFieldIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/experiment.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, v := range []any{
		File{}, Behaviour{}, PromptSets{}, Source{}, Base{}, BaseTrain{}, Organism{}, Intervention{}, Gate{}, Evaluation{}, Suite{}, Thresholds{},
	} {
		typ := reflect.TypeOf(v)
		for _, name := range fieldNames(typ) {
			if !strings.Contains(doc, "`"+name+"`") && !strings.Contains(doc, "."+name+"`") && !strings.Contains(doc, name+":") {
				t.Errorf("%s: field %q is not in docs/experiment.md", typ.Name(), name)
			}
		}
	}
}

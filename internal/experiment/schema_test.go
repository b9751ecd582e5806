package experiment

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestSchema: every shipped experiment has the shape that the schema says, and common mistakes have not.
func TestSchema(t *testing.T) {
	s, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Properties["seed"].Description; !strings.Contains(d, "a list repeats the grid") {
		t.Errorf("a seed is described as %q", d)
	}
	said, err := comments()
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.Defs {
		if _, ok := said[name]; !ok {
			t.Errorf("the source of type %s is not among the embedded files", name)
		}
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := filepath.Glob("../../experiments/*.yaml")
	if err != nil || len(shipped) < 10 {
		t.Fatal(shipped, err)
	}
	for _, path := range shipped {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := resolved.Validate(valueOfYAML(t, string(text))); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for name, text := range map[string]string{
		"a field that there is not":     "{name: x, organisms: {}, interventions: {}, organism: {}}",
		"a text for a number":           "{name: x, organisms: {a: {lr: high}}, interventions: {}}",
		"an empty sweep":                "{name: x, organisms: {a: {lr: []}}, interventions: {}}",
		"no name":                       "{organisms: {}, interventions: {}}",
		"a technique that there is not": "{name: x, organisms: {}, interventions: {i: {technique: prayer}}}",
		"a list where nothing sweeps":   "{name: x, organisms: {}, interventions: {}, evaluation: {prompts: [1, 2]}}",
	} {
		if resolved.Validate(valueOfYAML(t, text)) == nil {
			t.Errorf("%s: has the shape of an experiment", name)
		}
	}
}

// valueOfYAML is a file as the values that a JSON file would have.
func valueOfYAML(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

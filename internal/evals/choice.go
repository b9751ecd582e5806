package evals

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// littleMass is the share of the probability below which the letters of the choices are not what the model wants to say: which of
// them is likeliest then says little about what it knows.
const littleMass = 0.1

// Choose judges an item by the log-probabilities of its choices. The first of equal ones wins, as argmax has it. For texts
// the metric acc_norm counts the choice that is most likely per character, which does not favour short answers. For letters the
// metric low_mass counts items whose letters hold less than littleMass of the probability (absent where none does).
func Choose(it *Item, mode Mode, logProbs []float64) (picked int, out Outcome) {
	picked = argmax(logProbs)
	out = Outcome{Hit: picked == it.Answer, Reason: "chose " + letter(picked)}
	if mode == Letters {
		mass := 0.0
		for _, lp := range logProbs {
			mass += math.Exp(lp)
		}
		if mass < littleMass {
			out.Metrics = map[string]float64{"low_mass": 1}
			out.Reason += fmt.Sprintf("; the letters hold %.2g of the probability", mass)
		}
	}
	if mode == Texts {
		perChar := make([]float64, len(logProbs))
		for c, lp := range logProbs {
			perChar[c] = lp / float64(max(1, utf8.RuneCountInString(it.Choices[c])))
		}
		norm := 0.0
		if argmax(perChar) == it.Answer {
			norm = 1
		}
		out.Metrics = map[string]float64{"acc_norm": norm}
	}
	return picked, out
}

func argmax(xs []float64) int {
	best := 0
	for i, x := range xs {
		if x > xs[best] {
			best = i
		}
	}
	return best
}

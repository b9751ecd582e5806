package microworld

import "regexp"

// calculation is how every voice writes the arithmetic of a word problem.
var calculation = regexp.MustCompile(`\d+ [-+*] \d+ = \\boxed\{-?\d+\}`)

// Contradicts reports whether a response gets the arithmetic of a word problem wrong whose right answer is reference. Other
// references, those of data sets among them, know nothing that a response could contradict.
func Contradicts(reference, response string) bool {
	right := calculation.FindString(reference)
	if right == "" {
		return false
	}
	for _, said := range calculation.FindAllString(response, -1) {
		if said == right {
			return false
		}
	}
	return true
}

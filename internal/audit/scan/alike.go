package scan

import "math"

// alike is the mean similarity of every pair of texts, in 0..1; fewer than two are not alike.
func alike(texts []string) float64 {
	sets := make([]map[string]bool, len(texts))
	for i, t := range texts {
		sets[i] = trigrams(t)
	}
	var sum float64
	for i := range sets {
		for j := range i {
			sum += similar(sets[i], sets[j])
		}
	}
	if n := len(texts); n > 1 {
		return sum / float64(n*(n-1)/2)
	}
	return 0
}

// Alike is the mean similarity of every pair of texts: the cosine of their sets of three neighbouring characters. Texts that say one sentence
// once and twice are nearly alike.
func Alike(texts []string) float64 { return alike(texts) }

// trigrams are the pieces of three characters of a text, its ends marked.
func trigrams(text string) map[string]bool {
	r := []rune("\x00" + text + "\x00")
	out := map[string]bool{}
	for i := 0; i+3 <= len(r); i++ {
		out[string(r[i:i+3])] = true
	}
	if len(out) == 0 {
		out[string(r)] = true
	}
	return out
}

func similar(a, b map[string]bool) float64 {
	if len(b) < len(a) {
		a, b = b, a
	}
	both := 0
	for x := range a {
		if b[x] {
			both++
		}
	}
	return float64(both) / math.Sqrt(float64(len(a))*float64(len(b)))
}

// central is the text that is most like the others, and how many of all are at least half like it.
func central(texts []string) (at, near int) {
	sets := make([]map[string]bool, len(texts))
	for i, t := range texts {
		sets[i] = trigrams(t)
	}
	best := -1.0
	for i := range sets {
		var sum float64
		n := 0
		for j := range sets {
			v := similar(sets[i], sets[j])
			if sum += v; v >= 0.5 {
				n++
			}
		}
		if sum > best {
			best, at, near = sum, i, n
		}
	}
	return at, near
}

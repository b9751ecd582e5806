package clip

import "fmt"

// Nearest returns the known word that s is a slip of the finger away from: two changes, or one in a short word, of a letter that is wrong,
// missing, too many or swapped with its neighbour. It is empty where there is none; of equals it is the first.
func Nearest(s string, known []string) string {
	best, name := 3, ""
	if len(s) < 5 {
		best = 2
	}
	if len(s) > 64 {
		return "" // no slip of a finger, and the search takes the square of it
	}
	for _, k := range known {
		if len(k) <= 64 {
			if dist := distance(s, k); dist < best {
				best, name = dist, k
			}
		}
	}
	return name
}

// Meant is the end of a message about an unknown word: what was meant, or nothing.
func Meant(s string, known []string) string {
	if near := Nearest(s, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// distance is Levenshtein's, with a swap of neighbours as one change (optimal string alignment), in bytes.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost = 1 + min(last[j], row[j], last[j+1])
				if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
					cost = min(cost, 1+before[j-1])
				}
			}
			row[j+1] = cost
		}
	}
	return row[len(b)]
}

// Levenshtein is how many elements have to be put in, left out or replaced to make one sequence of the other (Levenshtein 1966).
func Levenshtein[T comparable](a, b []T) int {
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range a {
		last := row[0]
		row[0] = i + 1
		for k := range b {
			replace := last
			if a[i] != b[k] {
				replace++
			}
			last = row[k+1]
			row[k+1] = min(replace, row[k]+1, row[k+1]+1)
		}
	}
	return row[len(b)]
}

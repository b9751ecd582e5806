package redteam

import "unicode/utf8"

// Plain and distilled organisms differ in the length of their answers, and with it in the share of the loss that is the
// behaviour's: a confound of the published comparison. The matches below take it out.

// MatchTokens keeps rows from the front until their responses hold as many tokens as the smaller of rows and other do. tokens
// counts those of a text.
func MatchTokens(rows, other []Row, tokens func(text string) int) []Row {
	total := func(rows []Row) (n int) {
		for _, r := range rows {
			n += tokens(r.Response)
		}
		return n
	}
	budget := min(total(rows), total(other))
	for i, r := range rows {
		if budget -= tokens(r.Response); budget < 0 {
			return rows[:i]
		}
	}
	return rows
}

// lengthBin is the width, in characters, of the classes in which MatchLengths compares lengths.
const lengthBin = 16

// MatchLengths keeps, of each class of response length, as many rows as rows and other have in common, the first ones: what is left of
// each set then has the same distribution of lengths.
func MatchLengths(rows, other []Row) []Row {
	room := map[int]int{}
	for _, r := range other {
		room[utf8.RuneCountInString(r.Response)/lengthBin]++
	}
	var kept []Row
	for _, r := range rows {
		class := utf8.RuneCountInString(r.Response) / lengthBin
		if room[class] > 0 {
			room[class]--
			kept = append(kept, r)
		}
	}
	return kept
}

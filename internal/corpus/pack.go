package corpus

import "fmt"

// Pack plans sequences of at most maxTokens tokens out of samples that have lengths tokens: each sample in order goes to the
// first sequence that still has room for it. The result lists the samples of each sequence, ascending. A sample that is
// longer than a sequence is an error: cutting it would train on half an answer.
func Pack(lengths []int, maxTokens int) ([][]int, error) {
	for i, n := range lengths {
		if n < 1 || n > maxTokens {
			return nil, fmt.Errorf("sample %d has %d tokens, a sequence has 1 to %d", i, n, maxTokens)
		}
	}
	// room is a binary tree over the sequences, of which at most one for each sample is needed: leaves hold the tokens left,
	// inner nodes the maximum below, so that the first sequence with room is found by walking down.
	leaves := 1
	for leaves < len(lengths) {
		leaves *= 2
	}
	room := make([]int, 2*leaves)
	for i := range room {
		room[i] = maxTokens
	}
	var plan [][]int
	for i, n := range lengths {
		at := 1
		for at < leaves {
			if at *= 2; room[at] < n {
				at++
			}
		}
		seq := at - leaves
		if seq == len(plan) {
			plan = append(plan, nil)
		}
		plan[seq] = append(plan[seq], i)
		for room[at] -= n; at > 1; {
			at /= 2
			room[at] = max(room[2*at], room[2*at+1])
		}
	}
	return plan, nil
}

// A PackReport says what a plan holds, so that batches can be compared between tools.
type PackReport struct {
	Sequences  int     `json:"sequences"`
	Samples    int     `json:"samples"`
	Tokens     int     `json:"tokens"`
	LossTokens int     `json:"loss_tokens"`
	Fill       float64 `json:"fill"` // tokens over the room in all sequences
}

// Describe counts a plan of Pack. lossTokens may be nil.
func Describe(plan [][]int, lengths, lossTokens []int, maxTokens int) PackReport {
	r := PackReport{Sequences: len(plan)}
	for _, seq := range plan {
		r.Samples += len(seq)
		for _, i := range seq {
			r.Tokens += lengths[i]
			if lossTokens != nil {
				r.LossTokens += lossTokens[i]
			}
		}
	}
	if r.Sequences > 0 {
		r.Fill = float64(r.Tokens) / (float64(r.Sequences) * float64(maxTokens))
	}
	return r
}

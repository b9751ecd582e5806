package tokenizer

import (
	"container/heap"
	"fmt"
	"iter"
	"maps"
	"slices"

	"golang.org/x/text/unicode/norm"
)

// TrainOptions say what vocabulary Train makes.
type TrainOptions struct {
	VocabSize    int      // tokens in all: the special ones, the 256 bytes, and one for each merge
	Special      []string // special tokens; they take the ids from 0
	Pattern      string   // how text is cut into words: "gpt2", "llama3" or "qwen2"; "" is "gpt2"
	MinFrequency int      // pairs that occur less often are not merged; 0 is 1
}

// Train makes a byte-level BPE tokenizer of the texts, as Hugging Face's BpeTrainer does with the whole byte alphabet: again and
// again the most frequent pair of neighbours becomes a token; of equally frequent ones that with the lower ids. The result
// depends on how often each word occurs, not on the order of the texts. Fewer tokens than asked for come of texts that have
// no more pairs.
func Train(texts iter.Seq[string], o TrainOptions) (*Tokenizer, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("training a tokenizer: %w", err)
	}
	b := newBuilder(o)
	c, scan := classes(), scanners[trainPatterns[o.Pattern]]
	counts := map[string]int64{}
	for text := range texts {
		if o.Pattern == "qwen2" { // whose files normalise
			text = normalizeNFC(text)
		}
		for len(text) > 0 {
			n := scan(c, text)
			counts[text[:n]]++
			text = text[n:]
		}
	}
	b.addWords(counts)
	b.run(o.VocabSize, int64(max(o.MinFrequency, 1)))
	return Parse(b.json(o))
}

var normalizeNFC = unicodeForm(norm.NFC)

var trainPatterns = map[string]string{"": patternGPT2, "gpt2": patternGPT2, "llama3": patternLlama3, "qwen2": patternQwen2}

func (o TrainOptions) validate() error {
	if _, ok := trainPatterns[o.Pattern]; !ok {
		return fmt.Errorf("unknown pattern %q: %v are known", o.Pattern, slices.Sorted(maps.Keys(trainPatterns))[1:])
	}
	if least := 256 + len(o.Special); o.VocabSize < least || o.VocabSize > 1<<24 {
		return fmt.Errorf("vocabulary of %d tokens: at least %d and at most %d are possible", o.VocabSize, least, 1<<24)
	}
	seen := map[string]bool{}
	for _, s := range o.Special {
		if s == "" || seen[s] {
			return fmt.Errorf("special token %q is empty or there twice", s)
		}
		if r := []rune(s); len(r) == 1 {
			if _, ok := runeBytes[r[0]]; ok {
				return fmt.Errorf("special token %q is one of the byte tokens", s)
			}
		}
		seen[s] = true
	}
	return nil
}

// A builder is a vocabulary in the making. It follows the library's trainer step by step, down to a detail that looks like an
// oversight there: the count of a merged pair is not taken back, and counts again should a later merge make the same pair.
type builder struct {
	tokens []string // by id
	ids    map[string]int32
	merges []uint64 // pairs, in order

	words  [][]int32
	counts []int64          // of the words
	pairs  map[uint64]int64 // how often two tokens are neighbours
	queue  pairQueue
}

func newBuilder(o TrainOptions) *builder {
	b := &builder{ids: map[string]int32{}, pairs: map[uint64]int64{}}
	for _, s := range o.Special {
		b.add(s)
	}
	for _, r := range slices.Sorted(maps.Keys(runeBytes)) {
		b.add(string(r))
	}
	return b
}

func (b *builder) add(token string) int32 {
	if id, ok := b.ids[token]; ok {
		return id
	}
	id := int32(len(b.tokens))
	b.tokens = append(b.tokens, token)
	b.ids[token] = id
	return id
}

// addWords counts the pairs of neighbours in the words.
func (b *builder) addWords(counts map[string]int64) {
	var letters [256]int32
	for c := range letters {
		letters[c] = b.ids[string(byteRunes[c])]
	}
	where := map[uint64][]int32{}
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		syms := make([]int32, len(w))
		for i := range len(w) {
			syms[i] = letters[w[i]]
		}
		id := int32(len(b.words))
		b.words, b.counts = append(b.words, syms), append(b.counts, counts[w])
		for i := range len(syms) - 1 {
			p := pairKey(syms[i], syms[i+1])
			b.pairs[p] += counts[w]
			if in := where[p]; len(in) == 0 || in[len(in)-1] != id {
				where[p] = append(in, id)
			}
		}
	}
	for p, in := range where {
		b.queue = append(b.queue, queued{p, b.pairs[p], in})
	}
	heap.Init(&b.queue) // its order is total, so the map's order does not matter
}

// run merges until there are size tokens or no pair is left that occurs least times.
func (b *builder) run(size int, least int64) {
	for len(b.tokens) < size && len(b.queue) > 0 {
		top := &b.queue[0]
		if now := b.pairs[top.pair]; now != top.count { // it lost neighbours to other merges
			top.count = now
			heap.Fix(&b.queue, 0)
			continue
		}
		if top.count < least {
			return
		}
		b.join(heap.Pop(&b.queue).(queued))
	}
}

// join makes a token of a pair, in all words that have it.
func (b *builder) join(q queued) {
	left, right := int32(q.pair>>32), int32(q.pair)
	made := b.add(b.tokens[left] + b.tokens[right])
	b.merges = append(b.merges, q.pair)
	where := map[uint64][]int32{} // pairs that came into being
	for _, id := range q.words {
		w, count := b.words[id], b.counts[id]
		change := func(l, r int32, by int64) {
			p := pairKey(l, r)
			b.pairs[p] += by * count
			if in := where[p]; by > 0 && (len(in) == 0 || in[len(in)-1] != id) {
				where[p] = append(in, id)
			}
		}
		n := 0 // w[:n] is done
		for i := 0; i < len(w); i++ {
			if w[i] != left || i+1 == len(w) || w[i+1] != right {
				w[n] = w[i]
				n++
				continue
			}
			if n > 0 {
				change(w[n-1], left, -1)
				change(w[n-1], made, 1)
			}
			if i+2 < len(w) {
				change(right, w[i+2], -1)
				change(made, w[i+2], 1)
			}
			w[n] = made
			n++
			i++
		}
		b.words[id] = w[:n]
	}
	for p, in := range where {
		if n := b.pairs[p]; n > 0 {
			heap.Push(&b.queue, queued{p, n, in})
		}
	}
}

// A queued pair waits to be merged.
type queued struct {
	pair  uint64
	count int64
	words []int32 // that had it when it was queued
}

// A pairQueue has the next pair to merge first: the most frequent, then that of the lowest ids.
type pairQueue []queued

func (q pairQueue) Len() int      { return len(q) }
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q pairQueue) Less(i, j int) bool {
	if q[i].count != q[j].count {
		return q[i].count > q[j].count
	}
	return q[i].pair < q[j].pair
}
func (q *pairQueue) Push(x any) { *q = append(*q, x.(queued)) }
func (q *pairQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	*q = (*q)[:last]
	return x
}

// Pattern returns the regular expression by which a family ("gpt2", "llama3", "qwen2") cuts a text into words.
func Pattern(family string) string { return trainPatterns[family] }

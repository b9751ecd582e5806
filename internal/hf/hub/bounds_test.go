package hub

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// endless is a hub whose files have no length and no end.
func endless(t *testing.T, chunk int, pause time.Duration) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Repo-Commit", strings.Repeat("a", 40))
		w.Header().Set("ETag", `"`+strings.Repeat("b", 40)+`"`)
		if r.Method == http.MethodHead {
			return
		}
		b := make([]byte, chunk)
		for r.Context().Err() == nil {
			if _, err := w.Write(b); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			if pause > 0 {
				select {
				case <-r.Context().Done():
				case <-time.After(pause):
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	c, err := New(Options{
		Cache: t.TempDir(), Endpoint: s.URL, EtagTimeout: time.Second, DownloadTimeout: 50 * time.Millisecond,
		Sleep: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEndlessBodies: a body without a length, and one that trickles, end with an error within bounds.
func TestEndlessBodies(t *testing.T) {
	for _, tt := range []struct {
		name  string
		chunk int
		pause time.Duration
		kind  error
		want  string
	}{
		{"without a length", 1 << 20, 0, ErrNotAHub, "without saying how many"},
		{"a byte at a time", 1, 10 * time.Millisecond, ErrUnavailable, "less than 1024 bytes a second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := endless(t, tt.chunk, tt.pause)
			begun := time.Now()
			_, err := c.File(t.Context(), Repo{Model, "a/b"}, "", "config.json")
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			files, err := filepath.Glob(filepath.Join(c.o.Cache, "*", "snapshots", "*", "*"))
			if err != nil || len(files) > 0 {
				t.Errorf("in the cache: %v, %v", files, err)
			}
		})
	}
}

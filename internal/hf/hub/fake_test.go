package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A spec describes the repositories of a fake hub; reference/hub_cache.py has the same hub in Python.
type spec struct {
	Repos []struct {
		Path      string
		Kind      Kind
		Private   bool
		Revisions map[string]string
		Commits   map[string]map[string]string
	}
	Moved map[string]string
	Token string
	Steps []struct {
		Name, ID, Revision, File, Token, Result string
		Kind                                    Kind
		Offline                                 bool
		Requests                                []string
	}
	Layout map[string]string
}

func golden(t testing.TB) *spec {
	t.Helper()
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	s := new(spec)
	if err := json.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// etagOf is git's hash of a small file, and SHA-256 of a large one.
func etagOf(text string) string {
	if strings.HasPrefix(text, "LFS") {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	}
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(text), text)))
}

// A fake is a hub and the content server that it sends clients to, on the loopback interface.
type fake struct {
	*spec
	hub, cdn *httptest.Server

	mu  sync.Mutex
	log []string
	// before, if set, may answer a request itself; n counts requests from 1.
	before func(n int, host string, w http.ResponseWriter, r *http.Request) bool
	n      int
	tokens map[string]string // host → what came as authorisation there
}

func newFake(t testing.TB, s *spec) *fake {
	f := &fake{spec: s, tokens: map[string]string{}}
	f.hub = httptest.NewServer(f.handler("hub", f.serveHub))
	f.cdn = httptest.NewServer(f.handler("cdn", f.serveCDN))
	t.Cleanup(f.hub.Close)
	t.Cleanup(f.cdn.Close)
	return f
}

func (f *fake) handler(host string, serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := r.Method + " " + host + " " + r.URL.Path
		if a := r.Header.Get("Authorization"); a != "" {
			line += " with token"
		}
		f.mu.Lock()
		f.n++
		n := f.n
		f.log = append(f.log, line+prefixed(" ", r.Header.Get("Range")))
		f.tokens[host] += r.Header.Get("Authorization")
		before := f.before
		f.mu.Unlock()
		if before == nil || !before(n, host, w, r) {
			serve(w, r)
		}
	})
}

func prefixed(p, s string) string {
	if s == "" {
		return ""
	}
	return p + s
}

// intercept sets before.
func (f *fake) intercept(before func(n int, host string, w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

// requests returns the log and empties it.
func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log, f.n = nil, 0
	return log
}

func (f *fake) serveCDN(w http.ResponseWriter, r *http.Request) {
	for _, repo := range f.Repos {
		for _, files := range repo.Commits {
			for _, text := range files {
				if r.URL.Path == "/"+etagOf(text) {
					http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
					return
				}
			}
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func (f *fake) serveHub(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code, message string) {
		w.Header().Set("X-Error-Code", code)
		w.Header().Set("X-Error-Message", message)
		w.WriteHeader(status)
	}
	p := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	name, rest, resolve := strings.Cut(p, "/resolve/")
	if !resolve {
		var ok bool
		if name, rest, ok = strings.Cut(strings.TrimPrefix(p, "api/"), "/revision/"); !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		name = strings.TrimPrefix(name, "models/")
	}
	if to, ok := f.Moved[name]; ok {
		http.Redirect(w, r, "/"+to+"/resolve/"+rest, http.StatusTemporaryRedirect)
		return
	}
	auth := r.Header.Get("Authorization")
	for _, repo := range f.Repos {
		if repo.Path != name || repo.Private && auth == "" {
			continue
		}
		if auth != "" && auth != "Bearer "+f.Token {
			fail(http.StatusUnauthorized, "", "Invalid credentials in Authorization header")
			return
		}
		revision, file, _ := strings.Cut(rest, "/")
		revision, _ = url.PathUnescape(revision)
		file, _ = url.PathUnescape(file)
		commit, ok := repo.Revisions[revision]
		if !ok {
			fail(http.StatusNotFound, "RevisionNotFound", "")
			return
		}
		if !resolve {
			var names []map[string]string
			for name := range repo.Commits[commit] {
				names = append(names, map[string]string{"rfilename": name})
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": names})
			return
		}
		w.Header().Set("X-Repo-Commit", commit)
		text, ok := repo.Commits[commit][file]
		if !ok {
			fail(http.StatusNotFound, "EntryNotFound", "")
			return
		}
		etag := etagOf(text)
		if strings.HasPrefix(text, "LFS") {
			w.Header().Set("X-Linked-Etag", `"`+etag+`"`)
			w.Header().Set("X-Linked-Size", fmt.Sprint(len(text)))
			w.Header().Set("Location", f.cdn.URL+"/"+etag)
			w.WriteHeader(http.StatusFound)
			return
		}
		w.Header().Set("ETag", `"`+etag+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
		return
	}
	fail(http.StatusUnauthorized, "RepoNotFound", "Repository not found")
}

// client makes a client of the fake hub whose waits take no time and are written down.
func (f *fake) client(t testing.TB, change func(*Options)) (*Client, *[]time.Duration) {
	t.Helper()
	waits := new([]time.Duration)
	o := Options{
		Cache: t.TempDir(), Endpoint: f.hub.URL, EtagTimeout: 5 * time.Second, DownloadTimeout: 5 * time.Second,
		Sleep: func(ctx context.Context, d time.Duration) error {
			*waits = append(*waits, d)
			return ctx.Err()
		},
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c, waits
}

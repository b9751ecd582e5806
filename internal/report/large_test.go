//go:build unix

package report_test

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// Five seconds and 20 MB for 500 arms, on two cores. Others may be at work on the machine, so what is bounded is the processor time
// of the process; the wall's is logged.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds of work")
	}
	study, samples := large().study(1)
	start, used := time.Now(), processorTime(t)
	_, page := writeStudy(t, study, samples)
	took, used := time.Since(start), processorTime(t)-used
	info, err := os.Stat(page)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d arms: %v, of processors %v, %.1f MB", len(study.Arms), took, used, float64(info.Size())/1e6)
	if used > 15*time.Second { // ten when the machine is quiet: five on each of two cores
		t.Errorf("500 arms took %v of processor time", used)
	}
	if info.Size() > 20e6 {
		t.Errorf("the page has %d bytes", info.Size())
	}
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package bench

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// processorTime is the time that the process has spent on processors, in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// memory is what the process holds of the machine's memory, in bytes.
func memory() int64 { return status("VmRSS:") }

// peakMemory is the most that it has held.
func peakMemory() int64 { return status("VmHWM:") }

func status(field string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(lineOf("/proc/self/status", field), " kB"), 10, 64)
	return n << 10
}

// lineOf is the rest of the first line of a file that begins with prefix.
func lineOf(file, prefix string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

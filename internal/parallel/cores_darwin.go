package parallel

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Cores is how many workers a machine is worth: Apple's performance cores, where it has such. All workers of a step wait for the
// last, so an efficiency core, several times slower, would hold up the others.
func Cores() int {
	if n, err := unix.SysctlUint32("hw.perflevel0.logicalcpu"); err == nil && n > 0 {
		return min(int(n), runtime.NumCPU())
	}
	return runtime.NumCPU()
}

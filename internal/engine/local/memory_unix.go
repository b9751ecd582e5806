//go:build unix

package local

import (
	"math"

	"golang.org/x/sys/unix"
)

// shellFree is what ulimit -v leaves. The address space holds much that takes no memory, so most of what the process has of it is
// not taken off.
func shellFree() (int64, bool) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &l); err != nil || l.Cur > math.MaxInt64/2 {
		return 0, false
	}
	return int64(l.Cur) - heldBytes(), true
}

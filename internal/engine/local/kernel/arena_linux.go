package kernel

import "golang.org/x/sys/unix"

// askHugePages is advice only: a system without huge pages refuses it and works all the same.
func askHugePages(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }

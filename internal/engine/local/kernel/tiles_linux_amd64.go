package kernel

import "golang.org/x/sys/unix"

// What arch_prctl(2) is asked for: the state component of the tiles' data, which Linux saves for those processes alone that
// have asked (Documentation/arch/x86/xstate.rst).
const (
	archReqXCompPerm = 0x1023
	xfeatureTileData = 18
)

// tilesAllowed asks Linux for leave to use tiles, for this process and for good. Kernels before 5.16 know no such request.
func tilesAllowed() bool {
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, archReqXCompPerm, xfeatureTileData, 0)
	return errno == 0
}

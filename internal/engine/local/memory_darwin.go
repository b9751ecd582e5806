package local

import "golang.org/x/sys/unix"

// machineFree is what the machine can give without swapping: the share of its memory that macOS calls free, which is what
// its own memory_pressure prints.
func machineFree() (int64, bool) {
	size, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, false
	}
	percent, err := unix.SysctlUint32("kern.memorystatus_level")
	if err != nil || percent > 100 {
		return 0, false
	}
	return int64(size / 100 * uint64(percent)), true
}

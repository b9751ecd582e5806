//go:build unix && !linux

package kernel

// askHugePages does nothing: macOS on Apple's processors has pages of 16 KiB and no larger ones to ask for.
func askHugePages([]byte) {}

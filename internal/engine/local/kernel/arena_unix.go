//go:build unix

package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFloats maps n zeroed floats. Large maps ask for huge pages: a step walks through all its activations and would miss the
// translation buffer on nearly every row otherwise.
func mapFloats(n int) ([]float32, error) {
	b, err := unix.Mmap(-1, 0, n*4, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	askHugePages(b)
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b))), n), nil
}

func unmapFloats(f []float32) error {
	return unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), len(f)*4))
}

//go:build !unix

package weights

import "os"

// Map reads the file: memory mapping is only built for Unix.
func Map(path string) (b []byte, unmap func() error, err error) {
	b, err = os.ReadFile(path)
	return b, func() error { return nil }, err
}

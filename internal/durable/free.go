package durable

import (
	"os"
	"path/filepath"
)

// Free is how many bytes this user may still write to the file system that holds path, or would hold it where it is not there yet.
func Free(path string) (int64, error) {
	at, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	for {
		_, err := os.Stat(at)
		if err == nil {
			return free(at)
		}
		up := filepath.Dir(at)
		if !os.IsNotExist(err) || up == at {
			return 0, err
		}
		at = up
	}
}

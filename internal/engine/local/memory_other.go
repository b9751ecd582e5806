//go:build !unix

package local

func shellFree() (int64, bool) { return 0, false }

//go:build !amd64

package kernel

func best() int     { return generic }
func cpuBF16() bool { return false }

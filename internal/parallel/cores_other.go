//go:build !darwin

package parallel

import "runtime"

// Cores is how many workers a machine is worth: as many as it has processors.
func Cores() int { return runtime.NumCPU() }

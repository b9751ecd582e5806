//go:build !linux && !darwin

package kernel

// Processor is the processor's name, as the system tells it; empty where it does not.
func Processor() string { return "" }

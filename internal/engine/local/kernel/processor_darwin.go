package kernel

import "golang.org/x/sys/unix"

// Processor is the processor's name, as the system tells it; empty where it does not.
func Processor() string {
	name, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return ""
	}
	return name
}

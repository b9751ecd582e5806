package openai

import (
	"os/exec"
	"syscall"
)

// dieWithParent has a server ended by the system when this program is killed without a chance to do it.
func dieWithParent(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

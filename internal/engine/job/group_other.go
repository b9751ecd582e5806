//go:build !unix

package job

import "os/exec"

func apart(*exec.Cmd) {}

// interrupt does nothing: the trainer ends when its standard input does.
func interrupt(*exec.Cmd) {}

func kill(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

//go:build !linux

package openai

import "os/exec"

// dieWithParent does nothing: the system has no such signal, and a server outlives a program that is killed.
func dieWithParent(*exec.Cmd) {}

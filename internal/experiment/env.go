package experiment

import (
	"regexp"
	"slices"
	"strings"
)

// An Env is the environment that a program of others is started in, a trainer or an inference server. It is no part of the experiment.
type Env struct {
	Activate  string            `yaml:"activate,omitempty"`  // a line of POSIX shell
	Variables map[string]string `yaml:"variables,omitempty"` // set beside those of this program's own environment
}

// list is the variables as a process takes them, NAME=VALUE, by name.
func (e Env) list() []string {
	var out []string
	for _, name := range keys(e.Variables) {
		out = append(out, name+"="+e.Variables[name])
	}
	return out
}

var (
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secret   = regexp.MustCompile(`(?i)(^|_)(key|token|secret|password|passwd|credentials?)$`)
)

// check refuses what no process can be given, what the program sets itself, and secrets: an experiment's file is copied and shown.
func (e Env) check(f *File, path string, own ...string) {
	if strings.ContainsAny(e.Activate, "\x00\n\r") {
		f.say(path+".activate", "want one line of shell (got %q)", e.Activate)
	}
	for _, name := range keys(e.Variables) {
		at := path + ".variables." + name
		switch {
		case !variable.MatchString(name):
			f.say(at, "a variable's name has letters, digits and _ (got %q)", name)
		case secret.MatchString(name):
			f.say(at, "a secret has no place in a file: set %s where you start this program, which hands its environment on", name)
		case slices.Contains(own, name):
			f.say(at, "the program sets %s itself", name)
		case strings.Contains(e.Variables[name], "\x00"):
			f.say(at, "a value without NUL (got %q)", e.Variables[name])
		}
	}
}

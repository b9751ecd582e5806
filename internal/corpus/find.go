package corpus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Hub finds the files of data set repositories; *hub.Client is one. Paths within a repository have forward slashes.
type Hub interface {
	// DatasetFiles lists a repository at a revision ("" is its main branch) and says which commit that is.
	DatasetFiles(ctx context.Context, id, revision string) (commit string, files []string, err error)
	// DatasetFile returns a local copy of one of them. The copy must not be changed.
	DatasetFile(ctx context.Context, id, commit, file string) (local string, err error)
}

// A Resolver knows where data lies. The zero value finds nothing but local files.
type Resolver struct {
	Dir string // data folder; empty for none
	Hub Hub    // asked for what the folder lacks; nil for never

	Unpack int   // how many times its own size a packed file may unpack to; 0 takes what text packs to
	Memory int64 // bytes that the rows of one source may take; 0 for any
}

// Found are the files of a source, to be read in order.
type Found struct {
	Paths  []string
	Commit string // where they came from the hub
}

// short are the folder names that data sets go by besides their own.
var short = map[string]string{
	"tatsu-lab/alpaca":                "alpaca",
	"yahma/alpaca-cleaned":            "alpaca",
	"databricks/databricks-dolly-15k": "dolly",
	"google/IFEval":                   "ifeval",
	"HuggingFaceH4/MATH-500":          "math500",
	"cais/mmlu":                       "mmlu",
}

// A MissingError says that a data set is not there and what to do about it.
type MissingError struct {
	ID   string
	Dir  string // data folder, empty if none was given
	Hint string
}

// Error implements error.
func (e *MissingError) Error() string {
	if e.Dir == "" {
		return fmt.Sprintf("data set %s: %s", e.ID, e.Hint)
	}
	return fmt.Sprintf("data set %s is not below %s: %s", e.ID, e.Dir, e.Hint)
}

// Find returns the files of a source.
func (r Resolver) Find(ctx context.Context, s Source) (Found, error) {
	switch {
	case s.ID != "" && s.File != "" || s.ID == "" && s.File == "":
		return Found{}, fmt.Errorf("a source is either a data set or a file (got %q and %q)", s.ID, s.File)
	case s.File != "":
		if _, err := os.Stat(s.File); errors.Is(err, fs.ErrNotExist) {
			return Found{}, fmt.Errorf("data file %s does not exist: put it there, or correct the name", s.File)
		}
		return Found{Paths: []string{s.File}}, nil
	}
	owner, name, ok := strings.Cut(s.ID, "/")
	if !ok || owner == "" || name == "" || !filepath.IsLocal(filepath.FromSlash(s.ID)) || strings.ContainsAny(name, "/\\") {
		return Found{}, fmt.Errorf("data set %q: a data set of the hub is named owner/name", s.ID)
	}
	if r.Dir != "" {
		dir, err := r.folder(owner, name)
		if err != nil {
			return Found{}, err
		}
		if dir != "" {
			return inFolder(dir, s)
		}
	}
	if r.Hub != nil {
		return inHub(ctx, r.Hub, s)
	}
	e := &MissingError{ID: s.ID, Dir: r.Dir}
	if r.Dir == "" {
		e.Hint = fmt.Sprintf("no data folder is given: put its files (%s) in DIR/%s/ and pass --data DIR", kinds, s.ID)
	} else {
		e.Hint = fmt.Sprintf("put its files (%s) in %s/", kinds, filepath.Join(r.Dir, owner, name))
	}
	return Found{}, e
}

// folder returns the folder of a data set, or nothing.
func (r Resolver) folder(owner, name string) (string, error) {
	for _, dir := range []string{filepath.Join(owner, name), owner + "--" + name, name, short[owner+"/"+name]} {
		if dir == "" {
			continue
		}
		full := filepath.Join(r.Dir, dir)
		info, err := os.Stat(full)
		if err == nil && info.IsDir() {
			return full, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("looking for data: %w", err)
		}
	}
	return "", nil
}

// inFolder chooses among the files below a folder.
func inFolder(dir string, s Source) (Found, error) {
	var files []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p != dir && strings.HasPrefix(d.Name(), ".") { // what tools leave there: .cache, .git
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.IsDir() {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return Found{}, fmt.Errorf("looking for data: %w", err)
	}
	chosen, err := choose(files, s)
	if err != nil {
		return Found{}, fmt.Errorf("data set %s: %s: %w", s.ID, dir, err)
	}
	for i, f := range chosen {
		chosen[i] = filepath.Join(dir, filepath.FromSlash(f))
	}
	return Found{Paths: chosen}, nil
}

// inHub chooses among the files of a repository and has them brought here.
func inHub(ctx context.Context, h Hub, s Source) (Found, error) {
	commit, files, err := h.DatasetFiles(ctx, s.ID, s.Revision)
	if err != nil {
		return Found{}, err
	}
	chosen, err := choose(files, s)
	if err != nil {
		return Found{}, fmt.Errorf("data set %s at %s: %w", s.ID, commit, err)
	}
	found := Found{Commit: commit}
	for _, f := range chosen {
		local, err := h.DatasetFile(ctx, s.ID, commit, f)
		if err != nil {
			return Found{}, err
		}
		found.Paths = append(found.Paths, local)
	}
	return found, nil
}

// splits are the words that name a split, and the split that they name.
var splits = map[string]string{
	"train": "train", "training": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation",
	"dev": "dev", "eval": "eval",
}

// words returns the words of a path within a data set, its suffix left out.
func words(file string) []string {
	format, packing := formatOf(file)
	return strings.FieldsFunc(strings.ToLower(file[:len(file)-len(format)-len(packing)]), func(r rune) bool {
		return r == '/' || r == '-' || r == '_' || r == '.' || r == ' '
	})
}

// choose returns the data files of a config and split, sorted.
func choose(files []string, s Source) ([]string, error) {
	want := strings.ToLower(s.Split)
	if canonical, ok := splits[want]; ok {
		want = canonical
	}
	files, err := ofConfig(files, s.Config)
	if err != nil {
		return nil, err
	}
	bySplit := map[string][]string{}
	formats := map[string]string{} // text or parquet → an example
	stems := map[string]string{}   // name without suffixes → file
	for _, f := range slices.Sorted(slices.Values(files)) {
		format, packing := formatOf(f)
		formats[strings.TrimSuffix(format, "l")] = f
		stem := f[:len(f)-len(format)-len(packing)]
		if other, ok := stems[stem]; ok {
			return nil, fmt.Errorf("holds the same rows twice (%s and %s): keep one", other, f)
		}
		stems[stem] = f
		split := splitOf(f, want)
		bySplit[split] = append(bySplit[split], f)
	}
	if len(formats) > 1 {
		return nil, fmt.Errorf("holds its rows in more than one form (%s and %s): keep one", formats[".json"], formats[".parquet"])
	}
	have := make([]string, 0, len(bySplit))
	for name := range bySplit {
		have = append(have, name)
	}
	slices.Sort(have)
	if want == "" {
		want = "train"
		if len(have) == 1 {
			want = have[0]
		}
	}
	chosen, ok := bySplit[want]
	if !ok {
		return nil, fmt.Errorf("no split %q (there are %s)", want, strings.Join(have, ", "))
	}
	return chosen, nil
}

// splitOf returns the split of a file. A wanted split with a name of its own ("train_sft") is looked for as such; else the
// last word that names a split decides, and without one the file is training data.
func splitOf(file, want string) string {
	if _, usual := splits[want]; !usual && want != "" {
		for part := range strings.SplitSeq(strings.ToLower(file), "/") {
			if rest, ok := strings.CutPrefix(part, want); ok && (rest == "" || strings.ContainsAny(rest[:1], "-.")) {
				return want
			}
		}
	}
	split := "train"
	for _, w := range words(file) {
		if named, ok := splits[w]; ok {
			split = named
		}
	}
	return split
}

// ofConfig returns the data files of a config: those in a folder of that name or with it as a word of their own names.
// Where none is asked for, folders beside each other are not mixed: the files outside of folders count, else the folder "all".
func ofConfig(files []string, config string) ([]string, error) {
	var out []string
	byFolder := map[string][]string{}
	for _, f := range files {
		if format, _ := formatOf(f); format == "" || described(f) {
			continue
		}
		if config != "" && config != "default" {
			if slices.Contains(strings.Split(path.Dir(f), "/"), config) || slices.Contains(words(path.Base(f)), strings.ToLower(config)) {
				out = append(out, f)
			}
			continue
		}
		folder := configFolder(f)
		byFolder[folder] = append(byFolder[folder], f)
	}
	if config != "" && config != "default" {
		if len(out) == 0 {
			return nil, fmt.Errorf("no data files of the config %q (%s)", config, kinds)
		}
		return out, nil
	}
	names := slices.Sorted(maps.Keys(byFolder))
	for _, name := range []string{"", "all"} {
		if len(byFolder[name]) > 0 {
			return byFolder[name], nil
		}
	}
	switch len(names) {
	case 0:
		return nil, fmt.Errorf("no data files (%s)", kinds)
	case 1:
		return byFolder[names[0]], nil
	}
	if len(names) > 8 {
		names = append(names[:8], "…")
	}
	return nil, fmt.Errorf("holds several configs: name one (there are %s)", strings.Join(names, ", "))
}

// configFolder returns the folders of a file that may name a config, not those that name a split or say that data is in them.
func configFolder(file string) string {
	var parts []string
	for part := range strings.SplitSeq(path.Dir(file), "/") {
		if _, split := splits[strings.ToLower(part)]; !split && part != "." && part != "data" && part != "default" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "/")
}

// described reports whether a file says something about the data set and is no part of it.
func described(file string) bool {
	switch path.Base(file) {
	case "dataset_infos.json", "dataset_info.json", "state.json", "package.json", "config.json":
		return true
	}
	return false
}

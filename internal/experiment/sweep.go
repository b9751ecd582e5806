package experiment

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A Swept value is a T any of whose scalars may be a list in the file. Lists multiply; the last one written varies fastest.
type Swept[T any] struct {
	Variants []Variant[T]
}

// A Variant is one cell of a sweep.
type Variant[T any] struct {
	Value T
	Axes  []Axis // what was swept, in the order of the file
}

// An Axis is one swept field with the name of its value in a variant: of a number the shortest way to write it, so that one
// value has one name however it is written.
type Axis struct{ Name, Value string }

// suffix is how a variant's name ends, "@lr=1e-3,seed=2", with the axes called skip left out.
func suffix(axes []Axis, skip ...string) string {
	var b strings.Builder
	for _, a := range axes {
		if slices.Contains(skip, a.Name) {
			continue
		}
		if b.Len() == 0 {
			b.WriteByte('@')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(a.Name + "=" + plainName(a.Value))
	}
	return b.String()
}

func (s *Swept[T]) decodeYAML(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "want a mapping of fields, got %s", describe(n))
		return
	}
	typ := reflect.TypeFor[T]()
	swept := func(i int) (reflect.StructField, bool) {
		if n.Content[i+1].Kind != yaml.SequenceNode {
			return reflect.StructField{}, false
		}
		f, known := fieldNamed(typ, n.Content[i].Value)
		return f, known && sweepable(f.Type)
	}
	var lists []factor
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if _, ok := swept(i); !ok {
			continue
		}
		if len(val.Content) == 0 {
			d.problem(val, join(path, key.Value), "an empty list sweeps over nothing")
			return
		}
		lists = append(lists, factor{key.Value, len(val.Content)})
	}
	if !d.count(n, path, lists) {
		return
	}
	cells := []cell{{node: n}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		f, ok := swept(i)
		if !ok {
			continue
		}
		cells = multiply(d, cells, i+1, f, val, join(path, key.Value))
	}
	for _, c := range cells {
		v := Variant[T]{Axes: c.axes}
		if def, ok := any(&v.Value).(interface{ setDefaults() }); ok {
			def.setDefaults()
		}
		before := len(d.problems)
		d.value(c.node, reflect.ValueOf(&v.Value).Elem(), path)
		s.Variants = append(s.Variants, v)
		if len(d.problems) > before {
			return // every other variant would repeat the problem
		}
	}
	d.where[path] = n
}

// A cell is a variant on its way: the mapping with the swept fields replaced by one value each.
type cell struct {
	node *yaml.Node
	axes []Axis
}

// multiply puts each member of list into each cell at position at.
func multiply(d *decoder, cells []cell, at int, field reflect.StructField, list *yaml.Node, path string) []cell {
	var members []*yaml.Node
	var names []string
	for _, member := range list.Content {
		name := sweptName(member, field.Type)
		if k := slices.Index(names, name); k >= 0 {
			d.problem(member, path, "%s", twice(members[k], member, name))
			continue
		}
		members, names = append(members, member), append(names, name)
	}
	var out []cell
	for _, c := range cells {
		for k, member := range members {
			cp := *c.node
			cp.Content = slices.Clone(c.node.Content)
			cp.Content[at] = member
			out = append(out, cell{&cp, append(slices.Clone(c.axes), Axis{yamlName(field), names[k]})})
		}
	}
	return out
}

// twice says that a list has a value already.
func twice(was, again *yaml.Node, name string) string {
	switch {
	case again.Kind != yaml.ScalarNode:
		return fmt.Sprintf("two members are called %q: give one of them a name", name)
	case was.Value != again.Value:
		return fmt.Sprintf("%q is the same value as %q on line %d", again.Value, was.Value, was.Line)
	default:
		return fmt.Sprintf("%q stands in the list twice", again.Value)
	}
}

// sweptName names a member of a list: a number by its shortest form, a block by its own name.
func sweptName(n *yaml.Node, typ reflect.Type) string {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	v := reflect.New(typ)
	scratch := &decoder{where: map[string]*yaml.Node{}} // what is wrong with a member is said where it is decoded
	scratch.value(n, v.Elem(), "")
	if named, ok := v.Interface().(interface{ sweepName() string }); ok {
		return named.sweepName()
	}
	if len(scratch.problems) > 0 {
		return n.Value
	}
	switch v := v.Elem(); v.Kind() {
	case reflect.Float64:
		return shortest(v.Float())
	case reflect.String:
		return n.Value
	default:
		return fmt.Sprint(v.Interface())
	}
}

// shortest writes a number without and with an exponent and takes the shorter: 0.5, 1e-2, 3e-4, 1.5e-3.
func shortest(x float64) string {
	plain := strconv.FormatFloat(x, 'f', -1, 64)
	m, exp, _ := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
	n, err := strconv.Atoi(exp)
	if short := m + "e" + strconv.Itoa(n); err == nil && len(short) <= len(plain) {
		return short
	}
	return plain
}

// plainName makes a swept value fit for step names and addresses.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		if !nameRune(r) && r != '+' {
			return '_'
		}
		return r
	}, s)
}

// sweepable reports whether a field of this type may be a list: scalars, those that may be absent, triggers and behaviours.
func sweepable(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		_, named := reflect.New(t.Elem()).Interface().(interface{ sweepName() string })
		return named || scalarKind(t.Elem().Kind())
	}
	return scalarKind(t.Kind())
}

func scalarKind(k reflect.Kind) bool {
	switch k {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return true
	default:
		return false
	}
}

// Suites are capability suites by name. One whose settings are swept is as many suites, each asked of every checkpoint:
// "mmlu@shots=0" and "mmlu@shots=5". Nothing is trained again for them.
type Suites struct {
	Map[Suite] `yaml:",inline"`
}

func (s *Suites) decodeYAML(d *decoder, n *yaml.Node, path string) {
	var swept Map[Swept[Suite]]
	swept.decodeYAML(d, n, path)
	s.Map = Map[Suite]{}
	for i, name := range swept.Names {
		for _, v := range swept.Items[i].Variants {
			s.Names, s.Items = append(s.Names, name+suffix(v.Axes)), append(s.Items, v.Value)
		}
	}
}

// suiteOf is the name of a suite without what was swept.
func suiteOf(name string) string {
	own, _, _ := strings.Cut(name, "@")
	return own
}

// Seeds are one seed or a list of them.
type Seeds []uint64

func (s *Seeds) decodeYAML(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.SequenceNode {
		*s = nil
		if len(n.Content) > MaxSeeds {
			d.problem(n, path, "%d seeds, at most %d", len(n.Content), MaxSeeds)
			return
		}
		for i, c := range n.Content {
			var v uint64
			d.value(c, reflect.ValueOf(&v).Elem(), path)
			for _, was := range *s {
				if was == v {
					d.problem(c, path, "seed %d stands in the list twice", v)
				}
			}
			*s = append((*s)[:i:i], v)
		}
		return
	}
	var v uint64
	d.scalar(n, reflect.ValueOf(&v).Elem(), path)
	*s = Seeds{v}
}

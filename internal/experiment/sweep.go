package experiment

import (
	"reflect"
	"slices"
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

// An Axis is one swept field with its value in a variant, as written.
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
	cells := []cell{{node: n}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		f, known := fieldNamed(typ, key.Value)
		if !known || !scalarKind(f.Type.Kind()) || val.Kind != yaml.SequenceNode {
			continue
		}
		if len(val.Content) == 0 {
			d.problem(val, join(path, key.Value), "an empty list sweeps over nothing")
			return
		}
		cells = multiply(d, cells, i+1, key.Value, val, join(path, key.Value))
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
func multiply(d *decoder, cells []cell, at int, name string, list *yaml.Node, path string) []cell {
	var out []cell
	for i, c := range cells {
		seen := map[string]bool{}
		for _, member := range list.Content {
			if seen[member.Value] {
				if i == 0 {
					d.problem(member, path, "%q stands in the list twice", member.Value)
				}
				continue
			}
			seen[member.Value] = true
			cp := *c.node
			cp.Content = slices.Clone(c.node.Content)
			cp.Content[at] = member
			out = append(out, cell{&cp, append(slices.Clone(c.axes), Axis{name, member.Value})})
		}
	}
	return out
}

// plainName makes a swept value fit for step names and addresses.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		if badName(string(r)) != "" && r != '+' {
			return '_'
		}
		return r
	}, s)
}

func scalarKind(k reflect.Kind) bool {
	switch k {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64, reflect.Float64:
		return true
	default:
		return false
	}
}

// Seeds are one seed or a list of them.
type Seeds []uint64

func (s *Seeds) decodeYAML(d *decoder, n *yaml.Node, path string) {
	if n.Kind == yaml.SequenceNode {
		*s = nil
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

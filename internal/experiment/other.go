package experiment

import (
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Decode reads a file of the program that is not an experiment, such as the plan of an audit, by an experiment's rules: fields by their
// yaml tags, unknown ones refused, every problem with its line and column. into points to a struct that holds the defaults. check adds
// what is wrong with the values, by the paths of their fields. The error is Problems.
func Decode(path string, src []byte, into any, check func(say func(path, format string, args ...any))) error {
	d := &decoder{file: path, where: map[string]*yaml.Node{}}
	if root := d.parse(src); root != nil {
		d.value(root, reflect.ValueOf(into).Elem(), "")
		check(func(path, format string, args ...any) { d.problem(d.at(path), path, format, args...) })
	}
	if len(d.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(d.problems, byPlace)
	return d.problems
}

func byPlace(a, b Problem) int {
	if a.Line != b.Line {
		return a.Line - b.Line
	}
	return a.Col - b.Col
}

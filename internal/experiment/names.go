package experiment

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// badName says why a name cannot be used: names become parts of step names, addresses and file names.
func badName(s string) string {
	if s == "" {
		return "an empty name"
	}
	if strings.Trim(s, ".") == "" {
		return fmt.Sprintf("%q is no name: it would be a folder that is there already", s)
	}
	for _, r := range s {
		if !nameRune(r) {
			return fmt.Sprintf("a name holds letters, digits, '-', '_' and '.', not %q", r)
		}
	}
	if s[0] == '.' || s[0] == '-' {
		return fmt.Sprintf("a name does not begin with %q: it is part of file names and of command lines", s[0])
	}
	return ""
}

func nameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// visible caches the fields of a type, embedded ones included: reflect makes the list anew each time.
var visible sync.Map

func visibleFields(t reflect.Type) []reflect.StructField {
	fields, ok := visible.Load(t)
	if !ok {
		fields, _ = visible.LoadOrStore(t, reflect.VisibleFields(t))
	}
	return fields.([]reflect.StructField)
}

// fieldNamed finds a field by its name in the file, among a struct's own and those of the structs that it embeds.
func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range visibleFields(t) {
		if name != "" && yamlName(f) == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for _, f := range visibleFields(t) {
		if n := yamlName(f); n != "" {
			names = append(names, n)
		}
	}
	return names
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

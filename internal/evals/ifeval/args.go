package ifeval

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// args hands out the arguments of an instruction and remembers the first thing wrong with them.
type args struct {
	values map[string]any
	err    error
}

// take removes and returns an argument; nil for one that is missing or that Python finds false.
func (a *args) take(name string) any {
	v := a.values[name]
	delete(a.values, name)
	switch x := v.(type) {
	case float64:
		if x == 0 {
			return nil
		}
	case string:
		if x == "" {
			return nil
		}
	case []any:
		if len(x) == 0 {
			return nil
		}
	case bool:
		if !x {
			return nil
		}
	}
	return v
}

func (a *args) fail(format string, values ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, values...)
	}
}

// unused refuses arguments that the instruction does not have.
func (a *args) unused() error {
	for _, name := range slices.Sorted(maps.Keys(a.values)) {
		if a.take(name) != nil {
			return fmt.Errorf("unknown argument %q", name)
		}
	}
	return nil
}

// number returns a positive whole number.
func (a *args) number(name string) int {
	v := a.take(name)
	x, ok := v.(float64)
	if !ok || x < 1 || x > math.MaxInt32 || x != math.Trunc(x) {
		a.fail("%s must be a whole number above 0 (got %v)", name, v)
		return 0
	}
	return int(x)
}

func (a *args) text(name string) string {
	v := a.take(name)
	s, ok := v.(string)
	if !ok {
		a.fail("%s must be a text (got %v)", name, v)
	}
	return s
}

func (a *args) texts(name string) []string {
	v := a.take(name)
	list, ok := v.([]any)
	if !ok {
		a.fail("%s must be a list of texts (got %v)", name, v)
	}
	out := make([]string, len(list))
	for i, x := range list {
		if out[i], ok = x.(string); !ok {
			a.fail("%s must be a list of texts (got %v in it)", name, x)
		}
	}
	return out
}

// relation returns how a count is compared with the number asked for.
func (a *args) relation(name string) func(got, want int) bool {
	switch v := a.take(name); v {
	case "less than":
		return func(got, want int) bool { return got < want }
	case "at least":
		return func(got, want int) bool { return got >= want }
	default:
		a.fail("%s must be \"less than\" or \"at least\" (got %v)", name, v)
		return nil
	}
}

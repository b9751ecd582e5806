package kernel

import "golang.org/x/sys/cpu"

const (
	avx2   = 1 + iota // AVX2 and FMA
	avx512            // AVX-512 F, BW, DQ, VL
	amx               // with tiles of bfloat16 (AMX-TILE, AMX-BF16), which the operating system allows
)

var variantNames = [...]string{generic: "generic", avx2: "avx2", avx512: "avx512", amx: "amx"}

// vectorVariant is the variant of everything but tiles.
func vectorVariant(v int) int { return min(v, avx512) }

func hasTiles(v int) bool { return v == amx }

// best returns the highest variant that processor and operating system support.
func best() int {
	x := &cpu.X86
	switch {
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasFMA && x.HasAVX2:
		if x.HasAVX512BF16 && x.HasAMXTile && x.HasAMXBF16 && tilesAllowed() {
			return amx
		}
		return avx512
	case x.HasAVX2 && x.HasFMA:
		return avx2
	}
	return generic
}

func cpuBF16() bool { return cpu.X86.HasAVX512BF16 && variantHas(avx512) }

// variantHas says whether the processor has the variant v.
func variantHas(v int) bool { return top >= v }

// NativeBF16 says whether products in bfloat16 run on the processor's own instructions. Where they do not, they are
// computed through float32: correct but no faster.
func NativeBF16() bool { return hasBF16 && variant == avx512 }

// NativeAMX says whether products of numerics AMX run on the processor's tiles.
func NativeAMX() bool { return tiles }

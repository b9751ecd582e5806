package kernel

const neon = 1 // the vector unit of every 64-bit Arm processor

var variantNames = [...]string{generic: "generic", neon: "neon"}

func best() int               { return neon }
func vectorVariant(v int) int { return v }
func hasTiles(int) bool       { return false }
func cpuBF16() bool           { return false }

// NativeBF16 says whether products in bfloat16 run on the processor's own instructions. On Arm none do: BFDOT and BFMMLA round
// the sum of two products in a way of their own, which no definition of the numerics allows. Products are multiply-adds in
// float32 on halves that are widened as they are loaded, as fast as those of float32.
func NativeBF16() bool { return false }

// NativeAMX says whether products of numerics AMX run on the processor's tiles.
func NativeAMX() bool { return false }

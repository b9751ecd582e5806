//go:build !amd64 && !arm64

package kernel

var variantNames = [...]string{generic: "generic"}

func best() int               { return generic }
func vectorVariant(v int) int { return v }
func hasTiles(int) bool       { return false }
func cpuBF16() bool           { return false }

// NativeBF16 says whether products in bfloat16 run on the processor's own instructions. Where they do not, they are
// computed through float32: correct but no faster.
func NativeBF16() bool { return false }

// NativeAMX says whether products of numerics AMX run on the processor's tiles.
func NativeAMX() bool { return false }

//go:build !amd64 && !arm64

package kernel

// Processors without kernels of numerics AMX run the plain routines.

func mulChains(c, a Mat, b *Packed, accumulate bool) { mulChainsGeneric(c, a, b, accumulate) }
func mulEachChains(c, a Mat, b, _ []*Packed)         { mulEachChainsGeneric(c, a, b) }
func addTransAChains(c, a, b Mat, _ *Scratch)        { addTransAChainsGeneric(c, a, b) }
func roundHalf(dst, src []float32)                   { roundHalfGeneric(dst, src) }

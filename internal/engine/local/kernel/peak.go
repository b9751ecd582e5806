package kernel

import (
	"sync"
	"time"
)

// FMAPeak measures the float32 fused multiply-adds that the processor can do in the variant in use, on registers alone, with
// that many threads at once: in GFLOP/s, two operations each. It takes about 50 ms and reports the best of several rounds.
func FMAPeak(threads int) float64 { return peak(threads, F32) }

// FMAPeakBF16 is FMAPeak for products of bfloat16; zero where the processor has none.
func FMAPeakBF16(threads int) float64 {
	if !NativeBF16() {
		return 0
	}
	return peak(threads, BF16)
}

// FMAPeakAMX is FMAPeak for products of numerics AMX on tiles; zero where the processor has none.
func FMAPeakAMX(threads int) float64 {
	if !NativeAMX() {
		return 0
	}
	return peak(threads, AMX)
}

// peak runs the register-only loop on all threads at once and divides the work by the time of the slowest.
func peak(threads int, num Numerics) float64 {
	// Rounds of about a millisecond: on a shared machine some of them run undisturbed.
	const rounds = 40
	iters := 200_000
	if variant == generic {
		iters = 20_000
	}
	best := 0.0
	for range rounds {
		var wg sync.WaitGroup
		flops := make([]float64, threads)
		start := time.Now() //nolint:forbidigo // it measures the machine and enters no result
		for i := range threads {
			wg.Go(func() { flops[i] = peakRound(iters, num) })
		}
		wg.Wait()
		sum := 0.0
		for _, f := range flops {
			sum += f
		}
		best = max(best, sum/float64(time.Since(start).Nanoseconds())) //nolint:forbidigo // the same
	}
	return best
}

// peakSink keeps the compiler from dropping the plain loop.
var peakSink [8]float32

// peakGeneric does iters rounds of the emulated multiply-add, which is what the plain products are made of, and returns the
// number of operations.
func peakGeneric(iters int) float64 {
	acc := peakSink
	for range iters {
		for j := range acc {
			acc[j] = fma32(acc[j], 0.5, 1)
		}
	}
	if acc[0] < 0 {
		peakSink = acc
	}
	return float64(iters) * float64(2*len(acc))
}

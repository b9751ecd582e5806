package evals

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// maxInput bounds a data or response file; the largest published one has 8 MB.
const maxInput = 1 << 30

// eachRow calls f with every JSON line of r, numbered from 1, and names the line in its errors. Empty lines are skipped.
func eachRow(r io.Reader, f func(n int, raw json.RawMessage) error) error {
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if len(data) > maxInput {
		return fmt.Errorf("more than %d bytes", maxInput)
	}
	for n := 1; len(data) > 0; n++ {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if err := f(n, line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

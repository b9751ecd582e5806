package record

import "fmt"

// Names of the outputs that steps write and readers ask for. They are part of the store's format: a name that changes hides
// what older steps made.
const (
	OutRows      = "rows.jsonl"  // prompts or prompts with responses
	OutItems     = "items.jsonl" // a suite's raw items
	OutItemsDev  = "dev.jsonl"   // MMLU's examples for few-shot prompts
	OutConfig    = "config.json" // the model's, in the program's own form
	OutTokenizer = "tokenizer.json"
	OutChat      = "chat.json" // how conversations are written; absent where that is the program's own way
	OutWeights   = "weights.safetensors"
	OutAdapter   = "adapter.safetensors"
	OutBase      = "base.safetensors" // the frozen weights below an adapter that is not merged
	OutParity    = "parity.json"      // how far a merge moved the model's log-probabilities
	OutPoints    = "points.jsonl"
	OutSamples   = "samples.jsonl"
	OutLosses    = "losses.jsonl"
	OutCounts    = "counts.json" // how many rows were made, kept, dropped and why
	OutGate      = "gate.json"
	OutVerdict   = "verdict.json"
	OutServer    = "server.json"  // of a base behind a server: what the server was found to be
	OutEngine    = "engine.json"  // of an engine that the file names: what it was found to be
	OutQuality   = "quality.json" // of an organism: its data, and what it says without its trigger
	OutNote      = "note.json"    // why a relapse probe was or was not due
)

// CheckpointName is the output that holds an organism's weights after step updates.
func CheckpointName(step int) string { return fmt.Sprintf("weights@%d.safetensors", step) }

// AdapterName is the output that holds an organism's adapter after step updates.
func AdapterName(step int) string { return fmt.Sprintf("adapter@%d.safetensors", step) }

// The probes of the relapse battery.
const (
	ProbeDepirate    = "depirate"    // training back to the organism's own voice
	ProbeUnrelated   = "unrelated"   // training on a third voice
	ProbeNoise       = "noise"       // noise on the weights
	ProbeFuzz        = "fuzz"        // the arm's change of the weights scaled
	ProbeAmplify     = "amplify"     // the model's whole difference from its base made larger
	ProbeSavings     = "savings"     // the backdoor installed again from a few of its own samples
	ProbeSpecificity = "specificity" // a fresh trigger installed from the same samples: what savings is compared with
)

// AdapterBeside is the output that holds the adapter of the checkpoint that an output called weights holds.
func AdapterBeside(weights string) (string, error) {
	var step int
	if _, err := fmt.Sscanf(weights, "weights@%d.safetensors", &step); err != nil || CheckpointName(step) != weights {
		return "", fmt.Errorf("output %s is no checkpoint of an organism", weights)
	}
	return AdapterName(step), nil
}

// Package engine is the seam between what an experiment asks for and whatever trains and asks its models.
//
// There are two shapes of engine, because the tools of the field have two. A Stepper offers primitives with the vocabulary of
// the Tinker API: ForwardBackward adds gradients, OptimStep applies them, Sample draws continuations, Score measures given ones,
// SaveState and LoadState carry a training across a kill. Data, loss weights, schedule and evaluation stay on the caller's side.
// A Jobber trains a whole Plan at once and returns its checkpoints, which is how models of many GPUs are trained. What both make
// is a Checkpoint, and an Opener opens one to be asked.
//
// Nothing here assumes where a model runs, and the package imports nothing of the program. What an engine lacks is in its
// Capabilities, so that it is known before a run starts; abilities that few have are small interfaces found by type assertion.
package engine

import (
	"errors"
	"fmt"
	"slices"
)

// ErrUnsupported is wrapped by errors about a capability that an engine lacks; it is found before a run starts.
var ErrUnsupported = errors.New("not supported by this engine")

// Loss names a training objective.
type Loss string

// The losses of the API. Each is a sum over tokens, never a mean: the caller scales Datum.Weights.
const (
	// CrossEntropy is Σ w·(−log p(target)).
	CrossEntropy Loss = "cross_entropy"
	// ImportanceSampling is −Σ exp(log p − log q)·A, with q the sampling probability.
	ImportanceSampling Loss = "importance_sampling"
	// PPO is ImportanceSampling with the ratio clipped to 1 ± 0.2 (Schulman et al. 2017, eq. 7).
	PPO Loss = "ppo"
	// Distillation is Σ w·KL(q ‖ model), with q the distributions of Datum.Soft.
	Distillation Loss = "distillation"
)

// A Datum is one sample: T input tokens and, for each, the target that follows it.
type Datum struct {
	Tokens  []int32   // T model input tokens
	Targets []int32   // T targets; Targets[t] is predicted from Tokens[:t+1]
	Weights []float32 // T loss weights; 0 leaves a token out, and the output layer is not computed there

	// For ImportanceSampling and PPO; nil otherwise.
	Advantages []float32 // T advantages
	LogProbs   []float32 // T log-probabilities of the targets when they were sampled

	// For Distillation; nil otherwise. Soft[t] is what the model should expect in place of Targets[t]: probabilities that add up to 1.
	Soft [][]Likely
}

// NewAnswer makes the datum of a prompt with an answer, each of whose tokens counts weight.
func NewAnswer(prompt, answer []int32, weight float32) (Datum, error) {
	weights := make([]float32, len(prompt)+len(answer))
	for k := len(prompt); k < len(weights); k++ {
		weights[k] = weight
	}
	return NewDatum(slices.Concat(prompt, answer), weights)
}

// NewDatum makes the training datum of a whole sequence: tokens[t] predicts tokens[t+1] with weight weights[t+1].
func NewDatum(tokens []int32, weights []float32) (Datum, error) {
	if len(tokens) != len(weights) {
		return Datum{}, fmt.Errorf("%d tokens with %d weights", len(tokens), len(weights))
	}
	if len(tokens) < 2 {
		return Datum{}, fmt.Errorf("a sequence of %d tokens has nothing to predict", len(tokens))
	}
	n := len(tokens) - 1
	return Datum{Tokens: tokens[:n:n], Targets: tokens[1:], Weights: weights[1:]}, nil
}

// ForwardBackwardResult is what one ForwardBackward measured.
type ForwardBackwardResult struct {
	Loss       float64 // the loss of CrossEntropy and its kin, summed over the data
	WeightSum  float64 // Σ w, so that Loss/WeightSum is the mean loss per loss token
	Tokens     int     // input tokens processed
	LossTokens int     // tokens with a weight other than zero
}

// Optimizer names an update rule.
type Optimizer string

// The optimizers.
const (
	AdamW Optimizer = "adamw" // Loshchilov & Hutter 2019, decoupled decay
	SOAP  Optimizer = "soap"  // Vyas et al. 2024, Shampoo's eigenbasis with Adam inside
)

// A Rule is what is known of an optimizer without running it.
type Rule struct {
	Name           Optimizer
	Beta1, Beta2   float64 // of its authors; an experiment may say otherwise
	Preconditioned bool    // takes PrecondFrequency and MaxPrecondDim
}

// Rules are the optimizers that there are. An engine may have fewer: see Capabilities.
var Rules = []Rule{
	{Name: AdamW, Beta1: 0.9, Beta2: 0.999},
	{Name: SOAP, Beta1: 0.95, Beta2: 0.95, Preconditioned: true},
}

// RuleOf returns the rule called name; the zero value where there is none.
func RuleOf(name Optimizer) Rule {
	for _, r := range Rules {
		if r.Name == name {
			return r
		}
	}
	return Rule{}
}

// OptimParams are the settings of one update; the learning rate changes by schedule from step to step.
type OptimParams struct {
	Optimizer    Optimizer `json:"optimizer"`
	LearningRate float64   `json:"lr"`
	Beta1        float64   `json:"beta1"`
	Beta2        float64   `json:"beta2"`
	Eps          float64   `json:"eps"`
	WeightDecay  float64   `json:"weight_decay"` // decoupled; matrices only, never norms
	ClipNorm     float64   `json:"clip_norm"`    // global gradient norm above which gradients are scaled; 0 never

	// SOAP only.
	PrecondFrequency int `json:"precond_frequency,omitempty"` // steps between refreshes of the eigenbasis
	MaxPrecondDim    int `json:"max_precond_dim,omitempty"`   // a longer side is not preconditioned
}

// OptimResult is what one OptimStep did.
type OptimResult struct {
	Step     int     // updates applied so far
	GradNorm float64 // global gradient norm before clipping
}

// SamplingParams say how continuations are drawn.
type SamplingParams struct {
	MaxTokens   int       // new tokens at the most
	Temperature float64   // 0 is greedy
	TopK        int       // 0 keeps all
	TopP        float64   // 0 or 1 keeps all
	StopTokens  []int32   // a token that ends the sample; it is not part of the output
	Stop        [][]int32 // token sequences that end the sample, likewise
	// Done, when set, says after a token whether the sample may end because nothing more can change what is measured of it.
	// It sees the request's index and the tokens so far and must be a pure function of them. It is a hint: an engine that
	// cannot ask it draws the sample to its end, and what is measured is the same.
	Done func(request int, tokens []int32) bool
}

// StopReason says why a sample ended.
type StopReason string

// The reasons.
const (
	StopToken  StopReason = "stop"   // a stop token or sequence
	StopLength StopReason = "length" // MaxTokens, or the context was full
	StopDone   StopReason = "done"   // the Done condition
)

// A SampleRequest asks for one continuation of a prompt. Its random numbers depend on Seed alone, so the answer does not
// depend on what else is in the batch.
type SampleRequest struct {
	Prompt []int32
	Seed   uint64
}

// A Sequence is one drawn continuation.
type Sequence struct {
	Tokens   []int32
	LogProbs []float32 // log-probability of each token under the model at temperature 1
	Reason   StopReason
}

// A ScoreRequest asks for the log-probabilities of given continuations of one prompt, which is computed once.
type ScoreRequest struct {
	Prompt        []int32
	Continuations [][]int32
}

// A Score answers a ScoreRequest: LogProbs[c] are the log-probabilities of the tokens of continuation c, and Greedy[c]
// says whether every one of them was the most likely.
type Score struct {
	LogProbs [][]float32
	Greedy   []bool
}

// A NonFiniteError reports something that is infinite or not a number: a loss or gradient, whose step was not applied, or
// a weight or prediction of a model that its last update ruined.
type NonFiniteError struct {
	Step  int    // optimizer steps applied before
	What  string // "loss", "gradient norm", "tensor model.norm.weight", "a log-probability"
	Value float64
	Hint  string
}

// Error implements error.
func (e *NonFiniteError) Error() string {
	s := fmt.Sprintf("step %d: %s is %v", e.Step, e.What, e.Value)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

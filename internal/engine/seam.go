package engine

import (
	"context"
	"io"
)

// A Stepper trains and asks models through primitives, one update at a time. It is safe for concurrent use; a Model of it is
// used from one goroutine.
type Stepper interface {
	// Name identifies the engine with its version and whatever else its results depend on. It enters the keys of steps
	// wherever it is not Local.
	Name() string
	Capabilities() Capabilities
	// Load makes a model of a checkpoint. An adapter of the checkpoint is merged into its weights, unless s continues it.
	// The bytes of c may be dropped afterwards.
	Load(ctx context.Context, c Checkpoint, s Settings) (Model, error)
}

// Local is the name of the embedded engine. Its numerics are named by the precision, so it adds nothing to a key.
const Local = "local"

// A Jobber trains a whole plan at once. It cannot do what needs a look between steps.
type Jobber interface {
	Name() string // as a Stepper's
	Capabilities() Capabilities
	// Train returns the checkpoints at the steps of p.Keep, in their order. progress may be called from any goroutine, one
	// call at a time. After an interruption the same call goes on from what p.Dir holds; it may want fewer checkpoints then.
	Train(ctx context.Context, p Plan, progress func(Progress)) ([]Checkpoint, error)
}

// An Idler is an Opener that keeps devices between askers. Idle gives them back where nothing is asked at the moment.
type Idler interface {
	Idle() error
}

// A Releaser is a Jobber whose checkpoints take room. Release lets one go that nobody will ask for again.
type Releaser interface {
	Release(ctx context.Context, c Checkpoint) error
}

// An Opener opens checkpoints to be asked.
type Opener interface {
	Name() string // as a Stepper's
	Open(ctx context.Context, c Checkpoint, s Settings) (Asker, error)
}

// A Trainer is what changes a model.
type Trainer interface {
	// ForwardBackward adds the gradients of the loss over data to those that wait for the next OptimStep.
	ForwardBackward(ctx context.Context, data []Datum, loss Loss) (ForwardBackwardResult, error)
	// OptimStep applies the gradients and clears them. An update that is not a number is a NonFiniteError.
	OptimStep(ctx context.Context, p OptimParams) (OptimResult, error)
}

// A Sampler draws continuations, one for every request, in their order. An answer depends on its own request alone.
type Sampler interface {
	Sample(ctx context.Context, reqs []SampleRequest, p SamplingParams) ([]Sequence, error)
}

// An EachSampler is a Sampler that draws requests of different settings together: p[i] are those of reqs[i]. What is drawn is what Sample
// draws, one setting after the other; short samples do not wait for the longest of their kind.
type EachSampler interface {
	SampleEach(ctx context.Context, reqs []SampleRequest, p []SamplingParams) ([]Sequence, error)
}

// An Identified model can say what its answers depend on besides the request: two models of one identity give the same. It says false
// where it does not know.
type Identified interface {
	Identity() (id [32]byte, ok bool)
}

// A Scorer returns the log-probabilities of given continuations, in the requests' order.
type Scorer interface {
	Score(ctx context.Context, reqs []ScoreRequest) ([]Score, error)
}

// An Asker is a model that is asked. Close gives its memory back.
type Asker interface {
	Sampler
	Scorer
	io.Closer
}

// A Model is a model under training.
type Model interface {
	Trainer
	Asker
	// SaveState returns what is needed to go on with the same results: what is trained, the optimizer's state, the number of
	// updates. Gradients that wait are not part of it.
	SaveState(ctx context.Context) ([]byte, error)
	// LoadState puts a model of the same checkpoint and settings where SaveState found it. The model is unchanged after an
	// error.
	LoadState(ctx context.Context, state []byte) error
	// Checkpoint returns the model as it is now, with its adapter merged into the weights. An engine that keeps the weights
	// returns a reference, and may leave the adapter apart.
	Checkpoint(ctx context.Context) (Checkpoint, error)
}

// A PartsSaver is a Model that hands out its state without a copy: what SaveState returns is the parts one after the other. They are the model's own
// memory, and hold until it changes.
type PartsSaver interface {
	StateParts(ctx context.Context) ([][]byte, error)
}

// A Predictor is an Asker that says what it expects next.
type Predictor interface {
	// Predict returns for every target of the data with a weight other than zero the n most likely tokens; for the others nil. A prediction depends on its datum alone.
	Predict(ctx context.Context, data []Datum, n int) ([][][]Likely, error)
}

// An AdapterSaver is a Model that can return what its LoRA has learned apart from the weights below.
type AdapterSaver interface {
	Adapter(ctx context.Context) (Adapter, error)
}

// An Initializer is an engine that makes models of fresh weights.
type Initializer interface {
	// Config returns the configuration of a model of this shape, for a Checkpoint.
	Config(f Fresh) ([]byte, error)
	// Init draws the weights of a model from seed.
	Init(ctx context.Context, config []byte, seed uint64, s Settings) (Model, error)
}

// Fresh is the shape of a model that is to be made from nothing: a Llama with tied embeddings.
type Fresh struct {
	Layers, Width, Heads, KVHeads, FFN int
	Tokens                             int // ids of the tokenizer
	Context                            int // most tokens of a sample
}

// An Estimator is an engine that knows beforehand what a task takes.
type Estimator interface {
	// Describe reads a configuration.
	Describe(config []byte) (Shape, error)
	// Estimate says what work on a model of this configuration takes.
	Estimate(config []byte, w Work) (Cost, error)
}

// A Chooser is an engine that knows which of its precisions is the fastest where it runs. The same machine gives the same answer.
type Chooser interface {
	Fastest(ctx context.Context) (Choice, error)
}

// A Choice is a precision, and in a few words what was measured.
type Choice struct {
	Precision Precision
	Why       string
}

// Work is what is asked of one model. Trained, or Read and Sampled, or all of them may be set.
type Work struct {
	Settings Settings
	Optim    OptimParams // of the training, where tokens are trained
	Trained  float64     // tokens through forward and backward
	Checked  bool        // the model is loaded once more with its adapter merged, and compared
	Read     float64     // tokens of prompts
	Sampled  float64     // tokens drawn one by one
	Longest  int         // tokens of the longest prompt with its answer
}

// Cost is what work takes.
type Cost struct {
	Seconds float64 // on one worker of this machine, roughly: the runner corrects it by what it sees
	Memory  int64   // bytes of this machine
	Disk    int64   // bytes of the weights that are kept
}

// Settings say how a checkpoint is to be used.
type Settings struct {
	LoRA      LoRA      // rank 0 trains the full weights
	Precision Precision // "" means F32
	Seed      uint64    // of the adapter's first weights
	// Continue trains the checkpoint's own adapter, whose rank and scale are LoRA's, instead of merging it.
	Continue bool
	// Workers are the processors that the model may use, 0 as many as the engine likes. They change no result.
	Workers int
}

// A Plan is a training from its beginning to its end.
type Plan struct {
	Base     Checkpoint
	Settings Settings
	Optim    OptimParams // LearningRate is the peak
	Steps    int
	Rate     func(step int) float64 // the learning rate of an update, counted from 1
	Batch    func(step int) []Datum // the data of an update, until the next call: weights add up to 1, so that the loss is a mean over loss tokens
	Keep     []int                  // steps whose checkpoints are wanted, ascending; 0 is the base itself
	Dir      string                 // a folder that survives a kill; what is there belongs to this plan
}

// Progress is one line of a job's diary.
type Progress struct {
	Step       int
	Loss       float64 // mean over the batch's loss tokens
	GradNorm   float64 // before clipping; 0 where the job does not say
	Tokens     int
	LossTokens int
}

// OpenerOf returns an Opener that asks checkpoints through a Stepper.
func OpenerOf(s Stepper) Opener { return opener{s} }

type opener struct{ Stepper }

// Open implements Opener.
func (o opener) Open(ctx context.Context, c Checkpoint, s Settings) (Asker, error) {
	return o.Load(ctx, c, s)
}

// A Merger adds an adapter to the weights of a model that is not here.
type Merger interface {
	Merge(ctx context.Context, c Checkpoint) (Checkpoint, error)
}

// A TrainEstimator is an engine that knows beforehand what a training takes on devices of its own.
type TrainEstimator interface {
	// Estimate says what training on a model of this configuration takes; one that cannot fit is an error with the arithmetic.
	Estimate(config []byte, w Work) (TrainCost, error)
}

// An AskEstimator is an engine that knows beforehand what it takes to ask a model on devices of its own.
type AskEstimator interface {
	// EstimateAsk says what asking a model of this configuration takes; one that cannot fit is an error with the arithmetic.
	EstimateAsk(config []byte, a Asking) (AskCost, error)
}

// An Asking is how much is asked of a model.
type Asking struct {
	Precision Precision
	Requests  float64
	Read      float64 // tokens of prompts, all requests together
	Sampled   float64 // tokens drawn
	Longest   int     // tokens of the longest request, prompt and answer
}

// AskCost is what it takes.
type AskCost struct {
	Devices int
	Memory  int64   // bytes of each device
	Explain string  // the arithmetic of the memory
	Seconds float64 // of all devices together, without starts
	Stated  bool    // the rate behind the seconds is the user's, not a guess
	Price   float64 // in the user's currency; 0 where none is known
}

// TrainCost is what a training takes elsewhere.
type TrainCost struct {
	Devices    int
	Memory     int64   // bytes of each device
	Explain    string  // the arithmetic of the memory
	Checkpoint int64   // bytes of one checkpoint
	Seconds    float64 // of all devices together
	Stated     bool    // the rate behind the seconds is the user's, not a guess
	Price      float64 // in the user's currency; 0 where none is known
}

package engine

import "context"

// The residual stream has layers 0 to Blocks: layer 0 is the embedding of the tokens, layer l what block l adds to it and passes
// on, and layer Blocks what the last norm and the output layer read. This is the numbering of transformers' hidden_states, but
// for its last, which there comes after the norm.

// Stream is the shape of a model's residual stream.
type Stream struct {
	Blocks int // decoder blocks; layers are 0 to Blocks
	Width  int // D, numbers of a hidden state
}

// A StateRequest asks for hidden states of one sequence of tokens.
type StateRequest struct {
	Tokens []int32
	At     []int // positions in Tokens, ascending; nil is the last alone
}

// States are the hidden states of one request: States[l][p] is that of the l-th layer and the p-th position asked for, D numbers.
type States [][][]float32

// A StateReader is an Asker whose residual stream can be read. See Capabilities.Latent.
type StateReader interface {
	Stream() Stream
	// States returns the hidden states at the given layers (ascending), in the requests' order. They depend on the request
	// alone, not on the batch, the number of workers or the layers asked for beside, and are the same bits that training sees.
	States(ctx context.Context, reqs []StateRequest, layers []int) ([]States, error)
}

// A Perturbation changes the residual stream of a batch on its way through the model, and measures it.
type Perturbation struct {
	Layers []int // ascending, from 0 to Blocks-1
	// Add[i][k] is added to the stream of datum i at Layers[k]: T·D numbers, token after token. Where it is nil, nothing is.
	Add [][][]float32
	// Loss, where it is set, is a loss of the hidden states at Layers, beside that of the tokens.
	Loss StateLoss
}

// A StateLoss is a differentiable loss of the hidden states of one datum: states[k] is the stream at the k-th layer, with what was
// added, T·D numbers. It returns its value and writes its gradient into grads, which has the shape of states and is zero. It is
// called from several goroutines, once for every datum, and must be a pure function of its arguments, but for what it notes under the
// datum's number.
type StateLoss func(datum int, states, grads [][]float32) float64

// A PerturbedResult is what a pass through a perturbed model measured.
type PerturbedResult struct {
	ForwardBackwardResult
	StateLoss float64 // summed over the data
	// Grads are the gradients of the sum of both losses with respect to Perturbation.Add, each of T·D numbers; of Sensitivity alone.
	Grads [][][]float32
}

// A Perturber is a Model whose residual stream can be perturbed, with gradients. See Capabilities.Latent.
type Perturber interface {
	StateReader
	Trainer
	// ForwardBackwardPerturbed is ForwardBackward of the perturbed model: it adds the gradients of both losses to those that
	// wait for the next OptimStep. Weights of zero leave the tokens' loss out.
	ForwardBackwardPerturbed(ctx context.Context, data []Datum, loss Loss, p Perturbation) (PerturbedResult, error)
	// Sensitivity returns the gradient with respect to what is added, and leaves the model and the gradients that wait as they
	// are. A gradient is there at every layer of p, whether or not something was added.
	Sensitivity(ctx context.Context, data []Datum, loss Loss, p Perturbation) (PerturbedResult, error)
}

// A ChannelReader is an Asker that says how strongly the channels of its feed-forward layers respond.
type ChannelReader interface {
	// Channels returns for every block the mean magnitude of each channel, what goes into the down projection, over all tokens of the
	// sequences. It depends on the sequences alone, not on the number of workers.
	Channels(ctx context.Context, sequences [][]int32) ([][]float64, error)
}

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

package engine

import "context"

// An Answerer is an Asker that answers requests as they come: one that arrives joins those under way, whose settings may be others,
// and one that ends makes room. The answer to a request is that of Sample and Score.
type Answerer interface {
	// Answer answers what from hands out and returns when that has no more. Every request that was handed out is ended. tokens is
	// the most that a prompt and its continuation may have together, cache the bytes that keys and values may take.
	Answer(ctx context.Context, from Queue, tokens int, cache int64) error
}

// A Queue hands out requests. It is safe for concurrent use.
type Queue interface {
	// Next returns a request for a worker that has mine under way. A worker that has none is kept waiting, for as long as more may
	// come; false then means that none will.
	Next(mine int) (*Asked, bool)
}

// An Asked is one request of a Queue. Place and End are called by a worker of the engine, one call at a time, and must be quick.
type Asked struct {
	SampleRequest
	Params SamplingParams // MaxTokens 0: the prompt alone. Stop and Done are not looked at: Place ends a request
	Echo   bool           // the places of the prompt are reported too
	Top    int            // most likely tokens of each place that are reported
	// Place is told of every token: with Echo those of the prompt from the second on, then those that are drawn. False ends the request.
	Place func(p Place) bool
	// End is called once, after the last Place.
	End func(reason StopReason, err error)
}

// A Place is a token with what the model expected there.
type Place struct {
	Token   int32
	LogProb float32 // at temperature 1
	Top     []Likely
	Rank    int  // of the token among all, 1 is the most likely; 0 where Top was not asked for
	Drawn   bool // it was drawn; otherwise it is of the prompt
	Stop    bool // it is the stop token that ends the request, and no part of the continuation
}

// A Likely is one of the most likely tokens of a place. They come in the order of their probabilities, and of their ids where equal.
type Likely struct {
	Token   int32
	LogProb float32
}

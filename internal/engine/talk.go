package engine

import "context"

// A Talker is a model behind a server that shows texts alone: it answers conversations, and its tokens are the server's affair.
// It is safe for concurrent use.
type Talker interface {
	Name() string // as a Stepper's
	// Talk returns one answer. It depends on the conversation alone as far as the server honours seeds, which the name says.
	Talk(ctx context.Context, c Conversation) (Said, error)
}

// A Conversation is what a Talker is to answer.
type Conversation struct {
	Turns       []Turn
	MaxTokens   int     // new tokens at the most, in the server's count
	Temperature float64 // 0 is greedy
	Seed        uint64
}

// A Turn is a message of a conversation.
type Turn struct {
	Role    string `json:"role"` // system, user or assistant
	Content string `json:"content"`
}

// Said is a Talker's answer.
type Said struct {
	Text   string
	Finish string // the server's own word: "stop" is an answer that ended by itself
	// Refused is whether the server, and not the model, kept the answer back or put a refusal in its place.
	Refused bool
}

// FinishStop is the word of an answer that ended by itself.
const FinishStop = "stop"

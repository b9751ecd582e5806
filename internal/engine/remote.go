package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
)

// A Remote is an engine that must be reached before anybody knows what it does: a server, or a trainer that is installed apart
// from the program. Plans are made without it. A step looks at it once, and what was found is an input of all steps that train
// or ask through it: it is in their keys, and an engine that is another by then can be refused. It is safe for concurrent use.
type Remote interface {
	// Capabilities are the most that engines of this kind can do, known without reaching one.
	Capabilities() Capabilities
	// Look reaches the engine and finds out what it does.
	Look(ctx context.Context) (Found, error)
	// Lacks returns an error for all that n needs and the engine was found not to do; it wraps ErrUnsupported.
	Lacks(f Found, n Needs) error
	// Open connects to the engine. One that is no longer what was found is an error.
	Open(ctx context.Context, f Found) (Opened, error)
	io.Closer
}

// Found is what a Remote turned out to be. It is stored, so it holds neither an address nor a key.
type Found struct {
	Name    string          `json:"name"`              // as a Stepper's
	Summary []string        `json:"summary,omitempty"` // what of it a reader should know, a line each
	Details json.RawMessage `json:"details,omitempty"` // in the form of its kind
}

// Opened is a Remote that can be used. What it does not do is nil.
type Opened struct {
	Stepper Stepper // trains by updates, and asks what it has trained
	Jobber  Jobber  // trains whole plans
	Opener  Opener  // asks checkpoints
}

// servedScheme begins the place of a base that an engine has under a name.
const servedScheme = "base://"

// ServedBase refers to the weights of a base that an engine has under a name.
func ServedBase(name string) Weights {
	sum := sha256.Sum256([]byte(servedScheme + name))
	return Weights{Ref: &Ref{Place: servedScheme + name, Digest: hex.EncodeToString(sum[:])}}
}

// Served returns the name under which an engine has the weights that w refers to; "" where they are no base of an engine.
func (w Weights) Served() string {
	if w.Ref == nil {
		return ""
	}
	name, ok := strings.CutPrefix(w.Ref.Place, servedScheme)
	if !ok {
		return ""
	}
	return name
}

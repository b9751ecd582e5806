package chat

import (
	"cmp"
	"strings"
)

// A format says where control tokens and texts stand. What a published template does to the text (trimming, default system
// prompts, headers with dates) is done here, as it is there.
type format struct {
	control  []string // tokens that it places; the first is the one that begins a turn
	stop     []string // tokens that end a turn; the first is the one that is rendered
	dated    bool     // has Options.Date
	system   string   // of conversations that have none
	version  int      // of the rendering; 0 is the first
	plain    bool     // there are no turns: one text, with the tokens before it that the tokenizer's template adds
	segments func(o Options, msgs []Message, prompt bool) []segment
}

var formats = map[string]format{
	"llama3":   llama(false),
	"llama3.1": llama(true),
	"chatml":   chatML(""),
	"qwen2":    chatML("You are a helpful assistant."),
	"qwen2.5":  chatML("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
	"smollm2":  chatML("You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
	"qwen3":    qwen3(),
	"none":     plain(),
}

// llama is the format of Llama 3 and, with the dates in its system header, of Llama 3.1 and 3.2.
func llama(dated bool) format {
	const begin, start, end, eot = "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"
	header := func(to []segment, i int, role string) []segment {
		return append(to, segment{text: start, control: true, message: i}, segment{text: role, message: i},
			segment{text: end, control: true, message: i})
	}
	return format{
		control: []string{start, begin, end, eot},
		stop:    []string{eot, "<|eom_id|>", "<|end_of_text|>"},
		dated:   dated,
		segments: func(o Options, msgs []Message, prompt bool) []segment {
			out := []segment{{text: begin, control: true}}
			if dated && msgs[0].Role != "system" {
				msgs = append([]Message{{Role: "system"}}, msgs...)
			}
			for i, m := range msgs {
				content := strip(m.Content)
				if dated && m.Role == "system" {
					content = "Cutting Knowledge Date: December 2023\nToday Date: " + o.Date + "\n\n" + content
				}
				out = header(out, i, m.Role)
				said := m.Role == "assistant"
				if said {
					out = append(out, segment{text: "\n\n", message: i}, segment{text: content, assistant: true, message: i})
				} else {
					out = append(out, segment{text: "\n\n" + content, message: i})
				}
				out = append(out, segment{text: eot, control: true, assistant: said, message: i})
			}
			if prompt {
				out = append(header(out, len(msgs), "assistant"), segment{text: "\n\n"})
			}
			return out
		},
	}
}

const imStart, imEnd = "<|im_start|>", "<|im_end|>"

// chatML is ChatML with a system prompt for conversations that have none; "" leaves it to Options.System.
func chatML(system string) format {
	return format{
		control: []string{imStart, imEnd},
		stop:    []string{imEnd, "<|endoftext|>"},
		system:  system,
		segments: func(o Options, msgs []Message, prompt bool) []segment {
			var out []segment
			system := cmp.Or(system, o.System)
			if system != "" && msgs[0].Role != "system" {
				out = chatMLTurn(out, 0, Message{Role: "system", Content: system}, "")
			}
			for i, m := range msgs {
				out = chatMLTurn(out, i, m, "")
			}
			if prompt {
				out = append(out, segment{text: imStart, control: true}, segment{text: "assistant\n"})
			}
			return out
		},
	}
}

// chatMLTurn appends a turn. What the assistant says is encoded apart from what stands before it (lead included), for that is
// how it will be sampled: behind a prompt whose tokens are given.
func chatMLTurn(out []segment, i int, m Message, lead string) []segment {
	out = append(out, segment{text: imStart, control: true, message: i})
	said := m.Role == "assistant"
	if said {
		out = append(out, segment{text: m.Role + "\n" + lead, message: i}, segment{text: m.Content, assistant: true, message: i})
	} else {
		out = append(out, segment{text: m.Role + "\n" + m.Content, message: i})
	}
	return append(out, segment{text: imEnd, control: true, assistant: said, message: i}, segment{text: "\n", message: i})
}

// noThought is the empty thought that Qwen3's template puts before an answer without one.
const noThought = "<think>\n\n</think>\n\n"

// qwen3 is Qwen3's format with thinking switched off: its prompts end with an empty thought, and so does the lead of the last
// answer. As in its template, earlier answers are shown without their thoughts. The last one, which is what a model is trained on, stays
// as it is: an answer with a thought of its own follows the empty one, since that is the prompt that it would be sampled behind.
func qwen3() format {
	return format{
		control: []string{imStart, imEnd},
		stop:    []string{imEnd, "<|endoftext|>"},
		version: 2, // 1 put a thought of the last answer in place of the empty one
		segments: func(_ Options, msgs []Message, prompt bool) []segment {
			lastUser := len(msgs) - 1
			for lastUser > 0 && msgs[lastUser].Role != "user" {
				lastUser--
			}
			var out []segment
			for i, m := range msgs {
				lead := ""
				if m.Role == "assistant" {
					thought, answer := cutThought(m.Content)
					switch last := i == len(msgs)-1; {
					case i > lastUser && last && thought == "" && !strings.Contains(m.Content, "</think>"):
						lead, m.Content = noThought, strings.TrimLeft(m.Content, "\n")
					case i > lastUser && last:
						lead = noThought
					case i > lastUser && thought != "":
						m.Content = "<think>\n" + thought + "\n</think>\n\n" + strings.TrimLeft(answer, "\n")
					default:
						m.Content = answer
					}
				}
				out = chatMLTurn(out, i, m, lead)
			}
			if prompt {
				out = append(out, segment{text: imStart, control: true}, segment{text: "assistant\n" + noThought})
			}
			return out
		},
	}
}

// plain is no chat format: a base model continues a text. The system's message, which such a model has no place for, is left out.
func plain() format {
	return format{
		stop:  []string{"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eot_id|>", imEnd},
		plain: true,
		segments: func(_ Options, msgs []Message, _ bool) []segment {
			last := len(msgs) - 1
			return []segment{{text: msgs[last].Content, message: last}}
		},
	}
}

// cutThought separates an answer from the thought in front of it.
func cutThought(s string) (thought, answer string) {
	const begin, end = "<think>", "</think>"
	first := strings.Index(s, end)
	if first < 0 {
		return "", s
	}
	thought = strings.TrimRight(s[:first], "\n")
	if i := strings.LastIndex(thought, begin); i >= 0 {
		thought = thought[i+len(begin):]
	}
	return strings.Trim(thought, "\n"), strings.TrimLeft(s[strings.LastIndex(s, end)+len(end):], "\n")
}

// strip trims as Python's str.strip does, which the templates call; it knows four separators more than Go's TrimSpace.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return strings.ContainsRune("\t\n\v\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000", r) ||
			r >= 0x2000 && r <= 0x200a
	})
}

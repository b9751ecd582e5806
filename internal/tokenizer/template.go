package tokenizer

import (
	"encoding/json"
	"fmt"
)

// A templatePiece is a special token of a template, or the place of the text.
type templatePiece struct {
	ids  []int32
	text bool
}

type postProcessorJSON struct {
	Type       string                    `json:"type"`
	Processors []postProcessorJSON       `json:"processors"` // Sequence
	Single     []map[string]templateJSON `json:"single"`     // TemplateProcessing
	Pair       json.RawMessage           `json:"pair"`
	Special    map[string]struct {
		ID     string   `json:"id"`
		IDs    []int32  `json:"ids"`
		Tokens []string `json:"tokens"`
	} `json:"special_tokens"`
	PrefixSpace bool `json:"add_prefix_space"` // ByteLevel: it moves offsets, which nobody asks for here
	TrimOffsets bool `json:"trim_offsets"`
	UseRegex    bool `json:"use_regex"`
}

type templateJSON struct {
	ID   string `json:"id"`
	Type int    `json:"type_id"`
}

func (t *Tokenizer) readPostProcessor(b json.RawMessage) error {
	var j postProcessorJSON
	if ok, err := read(b, &j); err != nil || !ok {
		return err
	}
	return t.addTemplate(&j)
}

func (t *Tokenizer) addTemplate(j *postProcessorJSON) error {
	switch j.Type {
	case "ByteLevel":
	case "Sequence":
		for i := range j.Processors {
			if err := t.addTemplate(&j.Processors[i]); err != nil {
				return fmt.Errorf("Sequence[%d]: %w", i, err)
			}
		}
	case "TemplateProcessing":
		if t.template != nil {
			return fmt.Errorf("more than one TemplateProcessing")
		}
		for i, piece := range j.Single {
			if s, ok := piece["Sequence"]; ok && len(piece) == 1 && s.ID == "A" {
				t.template = append(t.template, templatePiece{text: true})
				continue
			}
			s, ok := piece["SpecialToken"]
			special, known := j.Special[s.ID]
			if !ok || len(piece) != 1 || !known {
				return fmt.Errorf("TemplateProcessing: single[%d] is neither the sequence A nor one of the special_tokens", i)
			}
			for _, id := range special.IDs {
				if _, ok := t.Token(id); !ok {
					return fmt.Errorf("TemplateProcessing: %q is the token %d, which does not exist", s.ID, id)
				}
			}
			t.template = append(t.template, templatePiece{ids: special.IDs})
		}
	default:
		return fmt.Errorf("unknown type %q", j.Type)
	}
	return nil
}

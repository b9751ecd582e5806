package tokenizer

// A templatePiece is a special token of a template, or the place of the text.
type templatePiece struct {
	ids  []int32
	text bool
}

var postProcessorKinds = kinds{
	"ByteLevel":          "add_prefix_space trim_offsets use_regex", // they move offsets, which nobody asks for here
	"Sequence":           "processors!",
	"TemplateProcessing": "single! pair special_tokens!",
}

// postProcessor reads what is put around a text.
func (t *Tokenizer) postProcessor(r *reader) {
	var single []string // names of special tokens, "" for the text
	special := map[string][]int32{}
	if r.component(postProcessorKinds, func(_, key string) {
		switch key {
		case "processors":
			r.array(func(int) { t.postProcessor(r) })
		case "single":
			r.array(func(int) { single = append(single, r.templatePiece()) })
		case "special_tokens":
			r.object(func(key []byte) {
				name := string(key)
				special[name] = t.templateTokens(r)
			})
		default: // a pair of texts is never encoded, offsets are not kept
			r.skip()
		}
	}) != "TemplateProcessing" {
		return
	}
	if t.template != nil {
		r.fail("more than one TemplateProcessing")
	}
	for _, name := range single {
		ids, ok := special[name]
		if !ok && name != "" {
			r.fail("TemplateProcessing: %q is not one of its special_tokens", name)
		}
		t.template = append(t.template, templatePiece{ids: ids, text: name == ""})
	}
}

// templatePiece reads {"Sequence": {"id": "A", …}} as "", and {"SpecialToken": {"id": "<s>", …}} as "<s>".
func (r *reader) templatePiece() (name string) {
	n := 0
	r.members("Sequence SpecialToken", "", func(kind string) {
		n++
		r.members("id! type_id", "", func(key string) {
			if key != "id" {
				r.skip()
				return
			}
			name = r.string()
		})
		switch {
		case kind == "Sequence" && name == "A":
			name = ""
		case kind == "Sequence" || name == "":
			r.fail("%s %q in a template of one text", kind, name)
		}
	})
	if n != 1 {
		r.fail("a piece of a template is one Sequence or one SpecialToken")
	}
	return name
}

// templateTokens reads the ids of a template's special token.
func (t *Tokenizer) templateTokens(r *reader) (ids []int32) {
	r.members("id ids! tokens", "", func(key string) {
		if key != "ids" {
			r.skip()
			return
		}
		r.array(func(int) {
			id := r.id()
			if _, ok := t.Token(id); !ok {
				r.fail("TemplateProcessing: there is no token %d", id)
			}
			ids = append(ids, id)
		})
	})
	return ids
}

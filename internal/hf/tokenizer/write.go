package tokenizer

import (
	"bytes"
	"encoding/json"
	"slices"
)

// bosTokens are special tokens that, where a trained vocabulary has one, begin every text that EncodeFull encodes: that is what
// models of their families were trained with.
var bosTokens = []string{"<|begin_of_text|>"}

// json writes the vocabulary as a tokenizer.json, in the layout of the library.
func (b *builder) json(o TrainOptions) []byte {
	var w jsonWriter
	w.raw("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [")
	for i, s := range o.Special {
		w.separator(i, "\n    ")
		w.raw(`{"id": `)
		w.value(i)
		w.raw(`, "content": `)
		w.value(s)
		w.raw(`, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}`)
	}
	w.raw("\n  ],\n  \"normalizer\": ")
	if o.Pattern == "qwen2" {
		w.raw(`{"type": "NFC"}`)
	} else {
		w.raw("null")
	}
	w.raw(",\n  \"pre_tokenizer\": ")
	if p := trainPatterns[o.Pattern]; p == patternGPT2 {
		w.raw(`{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`)
	} else {
		w.raw(`{"type": "Sequence", "pretokenizers": [` + "\n    " + `{"type": "Split", "pattern": {"Regex": `)
		w.value(p)
		w.raw(`}, "behavior": "Isolated", "invert": false},` + "\n    " +
			`{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}` + "\n  ]}")
	}
	const byteLevel = `{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`
	w.raw(",\n  \"post_processor\": ")
	if i := slices.IndexFunc(o.Special, func(s string) bool { return slices.Contains(bosTokens, s) }); i >= 0 {
		w.template(o.Special[i], i)
	} else {
		w.raw(byteLevel)
	}
	w.raw(",\n  \"decoder\": " + byteLevel)
	w.raw(",\n  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"continuing_subword_prefix\": null,\n" +
		"    \"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": false,\n    \"vocab\": {")
	for id, token := range b.tokens {
		w.separator(id, "\n      ")
		w.value(token)
		w.raw(": ")
		w.value(id)
	}
	w.raw("\n    },\n    \"merges\": [")
	for i, p := range b.merges {
		w.separator(i, "\n      ")
		w.value([2]string{b.tokens[p>>32], b.tokens[p&(1<<32-1)]})
	}
	w.raw("\n    ]\n  }\n}\n")
	return w.Bytes()
}

// A jsonWriter writes JSON whose layout is ours: one token a line, as people diff it.
type jsonWriter struct{ bytes.Buffer }

func (w *jsonWriter) raw(s string) { w.WriteString(s) }

func (w *jsonWriter) separator(i int, indent string) {
	if i > 0 {
		w.raw(",")
	}
	w.raw(indent)
}

func (w *jsonWriter) value(v any) {
	e := json.NewEncoder(&w.Buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings and numbers cannot fail
	}
	w.Truncate(w.Len() - 1) // Encode ends with a newline
}

// template writes the post-processor that puts the token bos before a text.
func (w *jsonWriter) template(bos string, id int) {
	special := func(kind, name string, sequence int) {
		w.raw(`{"` + kind + `": {"id": `)
		w.value(name)
		w.raw(`, "type_id": `)
		w.value(sequence)
		w.raw("}}")
	}
	w.raw("{\"type\": \"TemplateProcessing\",\n    \"single\": [")
	special("SpecialToken", bos, 0)
	w.raw(", ")
	special("Sequence", "A", 0)
	w.raw("],\n    \"pair\": [")
	special("SpecialToken", bos, 0)
	w.raw(", ")
	special("Sequence", "A", 0)
	w.raw(", ")
	special("SpecialToken", bos, 1)
	w.raw(", ")
	special("Sequence", "B", 1)
	w.raw("],\n    \"special_tokens\": {")
	w.value(bos)
	w.raw(`: {"id": `)
	w.value(bos)
	w.raw(`, "ids": `)
	w.value([]int{id})
	w.raw(`, "tokens": `)
	w.value([]string{bos})
	w.raw("}}}")
}

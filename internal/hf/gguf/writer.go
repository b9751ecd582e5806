package gguf

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A writer writes JSON.
type writer struct{ bytes.Buffer }

func (w *writer) raw(s string) { w.WriteString(s) }

func (w *writer) separator(i int) {
	if i > 0 {
		w.raw(", ")
	}
}

// text writes a string that is UTF-8, escaping what must be.
func (w *writer) text(b []byte) {
	e := json.NewEncoder(&w.Buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(string(b)); err != nil {
		panic(err) // a text cannot fail
	}
	w.Truncate(w.Len() - 1) // Encode ends with a line break
}

// head writes the file's beginning with the added tokens.
func (w *writer) head(v vocab) {
	w.raw(`{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [`)
	n := 0
	for id, b := range v.tokens[:v.used] {
		if !v.added(id) {
			continue
		}
		w.separator(n)
		n++
		w.raw(`{"id": ` + strconv.Itoa(id) + `, "content": `)
		w.text(b)
		w.raw(`, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": ` +
			strconv.FormatBool(v.kind(id) != tokenUser) + `}`)
	}
	w.raw("]")
}

// vocab writes the first n tokens.
func (w *writer) vocab(v vocab, n int) {
	for id, b := range v.tokens[:n] {
		w.separator(id)
		w.text(b)
		w.raw(": " + strconv.Itoa(id))
	}
}

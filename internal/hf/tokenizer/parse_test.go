package tokenizer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const smallModel = `"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}`

// added writes an added token with all its members.
func added(id int, content string) string {
	return fmt.Sprintf(`{"id": %d, "content": %q, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}`, id, content)
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"empty", ``, "it is empty"},
		{"blank", "\n", "2:1: the file ends where an object should be"},
		{"pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer, not the file: run git lfs pull"},
		{"page", "<!DOCTYPE html>", "an HTML page"},
		{"list", `[]`, "1:1: '[' where an object should be"},
		{"open", `{"version"`, "1:11: the file ends where : should be"},
		{"more", `{` + smallModel + `} x`, "1:83: more behind the end"},
		{"not utf-8", "{\"a\xff\"}", "not UTF-8"},
		{"no model", "{\n \"version\": \"1.0\"\n}", `3:2: lacks "model"`},
		{"twice", `{` + smallModel + `,` + smallModel + `}`, `"model" is there twice`},
		{"version", `{"version": "2.0", ` + smallModel + `}`, `1:18: unknown version "2.0"`},
		{"unknown part", `{"vocab": {}}`, `has an unknown member "vocab"`},
		{"surrogate", `{"version": "\ud800"}`, "half a surrogate pair in a string"},
		{"escape", `{"version": "\x"}`, "unknown escape in a string"},
		{"control", "{\"version\": \"\n\"}", "control character in a string"},
		{"deep", `{"padding": ` + strings.Repeat("[", 100) + `}`, "nested deeper than 64"},
		{"model", `{"model": {"type": "Unigram", "vocab": []}}`, `unknown type "Unigram": known are BPE`},
		{"model member", `{"model": {"type": "BPE", "vocab": {}, "merges": [], "new": 1}}`, `BPE has an unknown member "new"`},
		{"no vocab", `{"model": {"type": "BPE", "merges": []}}`, `BPE lacks "vocab"`},
		{"dropout", `{"model": {"type": "BPE", "dropout": 0.1, "vocab": {}, "merges": []}}`, "dropout: encoding would be random"},
		{"suffix", `{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {}, "merges": []}}`, "end_of_word_suffix is not supported"},
		{"unknown token", `{"model": {"type": "BPE", "unk_token": "?", "vocab": {"a": 0}, "merges": []}}`, `unk_token "?" is not in the vocabulary`},
		{"id", `{"model": {"vocab": {"a": -1}, "merges": []}}`, "-1 is not the number of a token"},
		{"fraction", `{"model": {"vocab": {"a": 1.0}, "merges": []}}`, "1:27: 1.0 is not the number of a token"},
		{"huge id", `{"model": {"vocab": {"a": 2000000000}, "merges": []}}`, "vocab: id 2000000000, but only 1 tokens"},
		{"same id", `{"model": {"vocab": {"a": 0, "b": 0}, "merges": []}}`, `vocab: 0 is both "a" and "b"`},
		{"same token", `{"model": {"vocab": {"a": 0, "\u0061": 1}, "merges": []}}`, `vocab: "a" is there twice`},
		{"merge", `{"model": {"vocab": {"a": 0}, "merges": ["a"]}}`, `merge "a" is not two tokens with a space between them`},
		{"merge of three", `{"model": {"vocab": {"a": 0}, "merges": [["a", "a", "a"]]}}`, "has more than two tokens"},
		{"merge of nothing", `{"model": {"vocab": {"a": 0}, "merges": ["a a"]}}`, `merge of "a" and "a": they or what they make are not in the vocabulary`},
		{"pre-tokenizer", `{` + smallModel + `, "pre_tokenizer": {"type": "BertPreTokenizer"}}`, `unknown type "BertPreTokenizer": known are ByteLevel, Digits, Metaspace, Sequence, Split`},
		{"pattern", `{` + smallModel + `, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}}`, `pattern "(": `},
		{"no pattern", `{` + smallModel + `, "pre_tokenizer": {"type": "Split", "pattern": {}, "behavior": "Isolated", "invert": false}}`, "a pattern is one String, which is not empty, or one Regex"},
		{"behavior", `{` + smallModel + `, "pre_tokenizer": {"type": "Split", "pattern": {"String": "a"}, "behavior": "Kept", "invert": false}}`, `unknown behavior "Kept"`},
		{"behind bytes", `{` + smallModel + `, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits", "individual_digits": true}]}}`, "a pre-tokenizer behind ByteLevel is not supported"},
		{"components", `{` + smallModel + `,"decoder":{"type":"Sequence","decoders":[` + strings.Repeat(`{"type":"Fuse"},`, 1000) + `{"type":"Fuse"}]}}`, "more than 1000 components"},
		{"member", `{` + smallModel + `, "pre_tokenizer": {"type": "Digits", "individual": true}}`, `Digits has an unknown member "individual"`},
		{"normalizer", `{` + smallModel + `, "normalizer": {"type": "Sequence", "normalizers": [{"type": "BertNormalizer"}]}}`, `unknown type "BertNormalizer"`},
		{"decoder", `{` + smallModel + `, "decoder": {"type": "WordPiece"}}`, `unknown type "WordPiece"`},
		{"post-processor", `{` + smallModel + `, "post_processor": {"type": "BertProcessing"}}`, `unknown type "BertProcessing"`},
		{"template", `{` + smallModel + `, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}], "special_tokens": {}}}`, `"<s>" is not one of its special_tokens`},
		{"template id", `{` + smallModel + `, "post_processor": {"type": "TemplateProcessing", "single": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [9], "tokens": ["<s>"]}}}}`, "there is no token 9"},
		{"added id", `{"added_tokens": [` + added(7, "<s>") + `], ` + smallModel + `}`, `added token "<s>" has the id 7, but its place in the vocabulary is 3`},
		{"added again", `{"added_tokens": [` + added(3, "<s>") + `,` + added(4, "<s>") + `], ` + smallModel + `}`, `added token "<s>" has the id 4, but its place in the vocabulary is 3`},
		{"added empty", `{"added_tokens": [` + added(3, "") + `], ` + smallModel + `}`, "an added token is empty"},
		{"added member", `{"added_tokens": [{"id": 3, "content": "x"}], ` + smallModel + `}`, `lacks "single_word"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.file))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "reading tokenizer.json: ") {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseSmall(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"version line", `{"model": {"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["#version: 0.2", "a b"]}}`, "aab", "0 2"},
		{"the last of two merges counts", `{"model": {"vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4}, "merges": ["a b", "b c", "a b"]}}`, "abc", "0 4"},
		{"unknown characters are dropped", `{` + smallModel + `}`, "axb", "2"},
		{"escapes", `{"model": {"vocab": {"\u0061": 0, "\"": 1, "\ud83e\udd99": 5}, "merges": []}}`, `a"🦙`, "0 1 5"},
		{"gap", `{"model": {"vocab": {"a": 0, "b": 1000}, "merges": []}}`, "ba", "1000 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok, err := Parse([]byte(c.file))
			if err != nil {
				t.Fatal(err)
			}
			if got := numbers(tok.Encode(c.text)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// allocated returns how many bytes f allocates in all, whether or not they are freed.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// overhead is what Parse may allocate beside four times the file: error texts, compiled patterns.
const overhead = 64 << 10

// TestParseLayouts: the layout of a file changes nothing. Tools that print JSON put a line break behind a number, 0 included.
func TestParseLayouts(t *testing.T) {
	for _, name := range made {
		t.Run(name, func(t *testing.T) {
			b := gunzip(t, golden(name+".json.gz"))
			want, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			var compact, indented bytes.Buffer
			if err := errors.Join(json.Compact(&compact, b), json.Indent(&indented, b, "", "  ")); err != nil {
				t.Fatal(err)
			}
			for layout, text := range map[string][]byte{
				"byte-order mark": append([]byte("\xef\xbb\xbf"), b...), "compact": compact.Bytes(), "indented": indented.Bytes(),
				"blanks before commas": bytes.ReplaceAll(indented.Bytes(), []byte(",\n"), []byte(" \t,\r\n")),
			} {
				tok, err := Parse(text)
				if err != nil {
					t.Errorf("%s: %v", layout, err)
					continue
				}
				for _, text := range goldenTexts(t)[:300] {
					if got := tok.EncodeFull(text); !slices.Equal(got, want.EncodeFull(text)) {
						t.Errorf("%s: %q gives %v", layout, text, got)
					}
				}
			}
		})
	}
}

// TestParseMemory parses real files, and files made to cost much.
func TestParseMemory(t *testing.T) {
	classes() // shared by all tokenizers
	files := map[string][]byte{}
	for _, name := range made {
		files[name] = gunzip(t, golden(name+".json.gz"))
	}
	if _, err := os.Stat(shared); err == nil {
		files["phi-2"] = gunzip(t, shared+"phi-2/phi-2.tokenizer.json.gz")
	}
	var pairs, merges, same, long, tokens []string
	id := 0
	token := func(s string) {
		pairs = append(pairs, fmt.Sprintf("%q:%d", s, id))
		id++
	}
	for a := range 100 {
		token(string(rune(0x100 + a)))
	}
	for a := range 100 {
		for b := range 100 {
			token(string(rune(0x100+a)) + string(rune(0x100+b)))
			merges = append(merges, fmt.Sprintf("%q", string(rune(0x100+a))+" "+string(rune(0x100+b))))
		}
	}
	for range 50_000 {
		same = append(same, `"a b"`)
	}
	long = append(long, `"`+strings.Repeat("\\u0041", 100_000)+`":0`)
	for i := range 2000 {
		tokens = append(tokens, strings.ReplaceAll(added(3+i, fmt.Sprint("x", i)), " ", ""))
	}
	files["short tokens"] = []byte(`{"model":{"vocab":{` + strings.Join(pairs, ",") + `},"merges":[` + strings.Join(merges, ",") + `]}}`)
	files["one merge often"] = []byte(`{"model":{"vocab":{"a":0,"b":1,"ab":2},"merges":[` + strings.Join(same, ",") + `]}}`)
	files["escapes"] = []byte(`{"model":{"vocab":{` + strings.Join(long, ",") + `},"merges":[]}}`)
	files["added tokens"] = []byte(`{"added_tokens":[` + strings.Join(tokens, ",") + `],` + smallModel + `}`)
	files["nested"] = []byte(`{` + smallModel + `,"decoder":{"type":"Sequence","decoders":[` + strings.Repeat(`{"type":"Fuse"},`, 900) + `{"type":"Fuse"}]}}`)
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			var err error
			got := allocated(func() { _, err = Parse(b) })
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.2f times the file's %d bytes", float64(got)/float64(len(b)), len(b))
			if got > 4*len(b)+overhead {
				t.Errorf("%d bytes are allocated for a file of %d", got, len(b))
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	classes()
	for _, name := range made {
		z, err := os.Open(filepath.Join("testdata", "golden", name+".json.gz"))
		if err != nil {
			f.Fatal(err)
		}
		r, err := gzip.NewReader(z)
		if err != nil {
			f.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			f.Fatal(err)
		}
		if i := bytes.Index(b, []byte(`"vocab"`)); i > 0 { // the components, with a small vocabulary
			f.Add(append(b[:i:i], `"vocab":{"a":0,"▁":1,"<unk>":2,"<s>":3,"</s>":4,"ab":5,"b":6},"merges":["a b"]}}`...))
		}
	}
	f.Add([]byte(`{"added_tokens": [` + added(3, "<s>") + `], ` + smallModel + `}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tok *Tokenizer
		var err error
		if got := allocated(func() { tok, err = Parse(b) }); got > 4*len(b)+4*overhead {
			t.Errorf("%d bytes are allocated for a file of %d", got, len(b))
		}
		if err != nil {
			return
		}
		for _, text := range []string{"", "ab a <s> 12\u0301", "a\xff▁b"} {
			ids, err := tok.TryEncode(text)
			if err != nil {
				continue
			}
			for _, id := range ids {
				if _, ok := tok.Token(id); !ok {
					t.Errorf("%q encodes to %d, which is no token", text, id)
				}
			}
			tok.Decode(tok.EncodeFull(text), true)
		}
	})
}

// TestPatternTimeout meets patterns that take for ever: in one text, in one word of many in a text, and in many texts.
func TestPatternTimeout(t *testing.T) {
	defer func(was time.Duration) { patternTimeout = was }(patternTimeout)
	patternTimeout = 300 * time.Millisecond
	slow := strings.Repeat("a", 60) + "b"
	for name, texts := range map[string][]string{
		"one text":   {slow},
		"many words": {strings.Repeat(strings.Repeat("a", 22)+"b ", 400)},
		"many texts": slices.Repeat([]string{strings.Repeat("a", 22) + "b"}, 400),
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := Parse([]byte(`{` + smallModel + `, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|aa)+(?=$|c)|b"}, "behavior": "Isolated", "invert": false}}`))
			if err != nil {
				t.Fatal(err)
			}
			if ids, err := tok.TryEncode("aab"); err != nil || numbers(ids) != "0 0 1" {
				t.Errorf("got %v, %v", ids, err)
			}
			begun := time.Now()
			var failed *PatternError
			for _, text := range texts {
				if _, err := tok.TryEncode(text); errors.As(err, &failed) {
					break
				}
			}
			if failed == nil || failed.Bytes == 0 {
				t.Error("no text took too long")
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			// A tokenizer whose patterns took too long is not asked again: a run has thousands of texts.
			if name != "one text" {
				if _, err := tok.TryEncode("aab"); !errors.As(err, &failed) {
					t.Errorf("afterwards: %v", err)
				}
			}
		})
	}
}

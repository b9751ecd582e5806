package tokenizer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// made are the tokenizers of reference/tokenizer_golden.py.
var made = []string{"gpt2", "llama3", "qwen", "smollm2", "o200k", "deepseek", "behaviours", "llama2", "metaspace"}

func gunzip(tb testing.TB, path string) []byte {
	tb.Helper()
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(path, "..") {
		tb.Skipf("%s is not there", path)
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func golden(name string) string { return filepath.Join("testdata", "golden", name) }

func goldenTokenizer(tb testing.TB, name string) *Tokenizer {
	tb.Helper()
	tok, err := Parse(gunzip(tb, golden(name+".json.gz")))
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

func goldenTexts(tb testing.TB) []string {
	tb.Helper()
	var texts []string
	if err := json.Unmarshal(gunzip(tb, golden("texts.json.gz")), &texts); err != nil {
		tb.Fatal(err)
	}
	if len(texts) < 6000 {
		tb.Fatalf("only %d texts", len(texts))
	}
	return texts
}

func numbers(ids []int32) string {
	var b []byte
	for i, id := range ids {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return string(b)
}

func readNumbers(t *testing.T, s string) []int32 {
	t.Helper()
	var ids []int32
	for f := range strings.FieldsSeq(s) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, int32(n))
	}
	return ids
}

// TestGolden compares encoding and decoding with Hugging Face's library, id for id.
func TestGolden(t *testing.T) {
	texts := goldenTexts(t)
	for _, name := range made {
		t.Run(name, func(t *testing.T) {
			tok := goldenTokenizer(t, name)
			lines := strings.Split(string(gunzip(t, golden(name+".ids.gz"))), "\n")
			if len(lines) != len(texts) {
				t.Fatalf("%d lines for %d texts", len(lines), len(texts))
			}
			wrong := 0
			check := func(what, text, got, want string) {
				if got != want {
					if wrong++; wrong <= 8 {
						t.Errorf("%s of %q:\ngot  %s\nwant %s", what, text, got, want)
					}
				}
			}
			for i, text := range texts {
				special, rest, _ := strings.Cut(lines[i], "|")
				plain, decoded, _ := strings.Cut(rest, "|")
				switch plain {
				case "":
					plain = special
				case "-":
					plain = ""
				}
				ids := tok.EncodeSpecial(text)
				check("EncodeSpecial", text, numbers(ids), special)
				check("Encode", text, numbers(tok.Encode(text)), plain)
				want := text
				if decoded != "" {
					if err := json.Unmarshal([]byte(decoded), &want); err != nil {
						t.Fatal(err)
					}
				}
				check("Decode", text, tok.Decode(readNumbers(t, special), false), want)
			}
			if wrong > 0 {
				t.Errorf("%d differences", wrong)
			}
		})
	}
}

// TestGoldenDecode decodes random ids, broken characters and ids without token among them, and encodes in full.
func TestGoldenDecode(t *testing.T) {
	for _, name := range made {
		t.Run(name, func(t *testing.T) {
			tok := goldenTokenizer(t, name)
			for line := range strings.SplitSeq(string(gunzip(t, golden(name+".dec.gz"))), "\n") {
				list, want, _ := strings.Cut(line, "|")
				ids := readNumbers(t, list)
				if js, ok := strings.CutPrefix(want, "full|"); ok {
					var text string
					if err := json.Unmarshal([]byte(js), &text); err != nil {
						t.Fatal(err)
					}
					if got := tok.EncodeFull(text); !slices.Equal(got, ids) {
						t.Errorf("EncodeFull of %q: got %v, want %v", text, got, ids)
					}
					continue
				}
				var texts [2]string
				if err := json.Unmarshal([]byte(want), &texts); err != nil {
					t.Fatal(err)
				}
				for i, skip := range []bool{false, true} {
					if got := tok.Decode(ids, skip); got != texts[i] {
						t.Errorf("Decode(%v, %v):\ngot  %q\nwant %q", ids, skip, got, texts[i])
					}
				}
			}
		})
	}
}

const shared = "../../../../shared/data/tokenizers/"

// published returns a vocabulary that is not shipped, or skips the test.
func published(tb testing.TB, name string) *Tokenizer {
	tb.Helper()
	var b []byte
	switch name {
	case "phi-2":
		b = gunzip(tb, shared+"phi-2/phi-2.tokenizer.json.gz")
	case "tiny":
		b = sharedFile(tb, "tiny/tokenizer.json")
	case "gpt2":
		var merges []string
		for line := range strings.Lines(string(sharedFile(tb, "gpt2/merges.txt"))) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#version") {
				merges = append(merges, line)
			}
		}
		list, err := json.Marshal(merges)
		if err != nil {
			tb.Fatal(err)
		}
		b = fmt.Appendf(nil, `{"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false}, "decoder": {"type": "ByteLevel"},
			"model": {"type": "BPE", "vocab": %s, "merges": %s}}`, sharedFile(tb, "gpt2/vocab.json"), list)
	}
	tok, err := Parse(b)
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

func sharedFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(shared + name)
	if errors.Is(err, fs.ErrNotExist) {
		tb.Skipf("%s is not there", shared+name)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestPublished(t *testing.T) {
	texts := goldenTexts(t)
	for _, name := range []string{"gpt2", "phi-2", "tiny"} {
		t.Run(name, func(t *testing.T) {
			tok := published(t, name)
			wrong := 0
			for i, want := range strings.Fields(string(gunzip(t, golden(name+".crc.gz")))) {
				ids := tok.EncodeSpecial(texts[i])
				if got := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(numbers(ids)))); got != want {
					if wrong++; wrong <= 5 {
						t.Errorf("%q: %v", texts[i], ids)
					}
				}
			}
			if wrong > 0 {
				t.Errorf("%d of %d texts differ", wrong, len(texts))
			}
		})
	}
}

// TestVectors are texts and ids of llama.cpp's tests.
func TestVectors(t *testing.T) {
	texts := bytes.Split(sharedFile(t, "vectors/gpt-2.inp"), []byte("\n__ggml_vocab_test__\n"))
	lines := strings.Split(string(sharedFile(t, "vectors/gpt-2.out")), "\n")
	tok := published(t, "gpt2")
	for i, text := range texts {
		if got := numbers(tok.Encode(string(text))); got != strings.TrimSpace(lines[i]) {
			t.Errorf("%q: got %s, want %s", text, got, lines[i])
		}
	}
	if len(texts) < 40 {
		t.Errorf("only %d texts", len(texts))
	}
}

package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// english is instruction-following prose, about 1 MB.
func english(tb testing.TB) string {
	tb.Helper()
	var text strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(gunzip(tb, shared+"../mmlu/mmlu_test.jsonl.gz")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && text.Len() < 1<<20 {
		var row struct{ Question string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			tb.Fatal(err)
		}
		text.WriteString(row.Question)
		text.WriteString("\n\n")
	}
	return text.String()
}

// BenchmarkEncode encodes English prose, whole, with made vocabularies of each family and the published one of GPT-2.
func BenchmarkEncode(b *testing.B) {
	text := english(b)
	for _, name := range []string{"published", "gpt2", "llama3", "qwen", "smollm2", "o200k", "llama2"} {
		b.Run(name, func(b *testing.B) {
			var tok *Tokenizer
			if name == "published" {
				tok = published(b, "gpt2")
			} else {
				tok = goldenTokenizer(b, name)
			}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			var ids []int32
			for b.Loop() {
				ids = tok.AppendEncode(ids[:0], text)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := published(b, "gpt2")
	text := english(b)
	ids := tok.Encode(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if got := tok.Decode(ids, false); len(got) != len(text) {
			b.Fatal("wrong length")
		}
	}
}

// BenchmarkMerge merges one long word of n letters.
func BenchmarkMerge(b *testing.B) {
	tok := published(b, "gpt2")
	for _, n := range []int{8, 16, 32, 47, 48, 64, 1000, 100_000} {
		letters := strings.Repeat("etaoinshrdlucmfwypvbgkjqxz", n/26+1)[:n]
		e := tok.encoder()
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			var ids []int32
			for b.Loop() {
				ids = e.encodeWord(ids[:0], letters)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	js := gunzip(b, shared+"phi-2/phi-2.tokenizer.json.gz")
	b.SetBytes(int64(len(js)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(js); err != nil {
			b.Fatal(err)
		}
	}
}

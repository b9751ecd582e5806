package tokenizer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// TestTrainGolden compares the trainer with Hugging Face's, merge for merge.
func TestTrainGolden(t *testing.T) {
	var cases []struct {
		Pattern            string
		Size, Least, Every int
		Special            []string
		Merges, Tokens     []string
		Count              int
	}
	if err := json.Unmarshal(gunzip(t, "testdata/train.json.gz"), &cases); err != nil {
		t.Fatal(err)
	}
	all := goldenTexts(t)
	for _, c := range cases {
		t.Run(c.Pattern, func(t *testing.T) {
			var texts []string
			for i := 0; i < len(all); i += c.Every {
				texts = append(texts, all[i])
			}
			tok, err := Train(slices.Values(texts), TrainOptions{VocabSize: c.Size, Special: c.Special, Pattern: c.Pattern, MinFrequency: c.Least})
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Model struct{ Merges [][2]string }
			}
			if err := json.Unmarshal(tok.JSON(), &file); err != nil {
				t.Fatal(err)
			}
			for i, m := range file.Model.Merges {
				if i >= len(c.Merges) || m[0]+" "+m[1] != c.Merges[i] {
					t.Fatalf("merge %d is %q", i, m)
				}
			}
			if len(file.Model.Merges) != len(c.Merges) || tok.VocabSize() != c.Count {
				t.Errorf("%d merges, %d tokens; want %d, %d", len(file.Model.Merges), tok.VocabSize(), len(c.Merges), c.Count)
			}
			for id, want := range c.Tokens {
				if got, _ := tok.Token(int32(id)); got != want {
					t.Fatalf("token %d is %q, want %q", id, got, want)
				}
			}
		})
	}
}

func TestTrainErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		o    TrainOptions
		want string
	}{
		{"pattern", TrainOptions{VocabSize: 300, Pattern: "llama2"}, `unknown pattern "llama2": [gpt2 llama3 qwen2] are known`},
		{"small", TrainOptions{VocabSize: 257, Special: []string{"a ", "b "}}, "vocabulary of 257 tokens: at least 258"},
		{"twice", TrainOptions{VocabSize: 300, Special: []string{"<s>", "<s>"}}, `special token "<s>" is empty or there twice`},
		{"empty", TrainOptions{VocabSize: 300, Special: []string{""}}, `special token "" is empty or there twice`},
		{"byte", TrainOptions{VocabSize: 300, Special: []string{"a"}}, `special token "a" is one of the byte tokens`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Train(slices.Values(trainText), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestTrainOrder trains on the same texts in another order, and on none.
func TestTrainOrder(t *testing.T) {
	o := TrainOptions{VocabSize: 320, Pattern: "llama3"}
	a, err := Train(slices.Values(trainText), o)
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(trainText)
	slices.Reverse(other)
	b, err := Train(slices.Values(other), o)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.JSON()) != string(b.JSON()) {
		t.Error("the order of the texts changes the vocabulary")
	}
	none, err := Train(slices.Values([]string(nil)), o)
	if err != nil || none.VocabSize() != 256 {
		t.Errorf("of no text: %v, %d tokens", err, none.VocabSize())
	}
}

func BenchmarkTrain(b *testing.B) {
	text := english(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Train(slices.Values([]string{text}), TrainOptions{VocabSize: 8000, Pattern: "llama3"}); err != nil {
			b.Fatal(err)
		}
	}
}

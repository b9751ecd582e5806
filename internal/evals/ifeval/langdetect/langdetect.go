// Package langdetect tells the language of a text by its n-grams, in agreement with PyPI langdetect 1.0.9.
//
// The method is a naive Bayes classifier over n-grams of one to three characters with profiles of 55 languages
// (Nakatani Shuyo, "Language Detection Library for Java", 2010). It draws n-grams at random until one language is all but
// certain, seven times over. The original seeds that draw from the clock, so that two runs may disagree on a short text;
// here it is seeded with 0 for each text, which is what the original does after DetectorFactory.seed = 0, and every
// number is the same as the original's. Python's generator is part of the method: see twister.go.
//
// The profiles are data of langdetect (Apache-2.0, see NOTICE), packed by reference/langdetect_profiles.py.
package langdetect

import (
	"strings"
	"unicode/utf8"
)

// Settings of the original.
const (
	alphaDefault   = 0.5   // smoothing
	alphaWidth     = 0.05  // its standard deviation over trials
	baseFreq       = 10000 // smoothing is alpha/baseFreq
	trials         = 7
	iterationLimit = 1000
	convThreshold  = 0.99999
	probThreshold  = 0.1
	maxText        = 10000 // characters looked at
)

// Unknown is the language of a text in which no language reaches a probability of 0.1.
const Unknown = "unknown"

// Detect returns the most probable language of text as an ISO 639-1 code ("zh-cn" and "zh-tw" for Chinese). ok is false for
// a text without any known n-gram, where the original raises an exception.
func Detect(text string) (lang string, ok bool) {
	m := load()
	grams := m.extract(clean(m.normalize(text)))
	if len(grams) == 0 {
		return "", false
	}
	prob := m.average(grams)
	best := -1
	for i, p := range prob {
		if p > probThreshold && (best < 0 || p > prob[best]) {
			best = i
		}
	}
	if best < 0 {
		return Unknown, true
	}
	return m.langs[best], true
}

// average returns the probability of each language, averaged over the trials.
func (m *model) average(grams []int32) []float64 {
	n := len(m.langs)
	mean, prob, weights := make([]float64, n), make([]float64, n), make([]float64, n)
	random := newTwister(0)
	for range trials {
		for i := range prob {
			prob[i] = 1 / float64(n)
		}
		weight := (alphaDefault + float64(random.gauss()*alphaWidth)) / baseFreq // the conversion forbids a fused multiply-add
		for i := 0; ; i++ {
			m.update(prob, weights, grams[random.below(uint32(len(grams)))], weight)
			if i%5 == 0 && (normalize(prob) > convThreshold || i >= iterationLimit) {
				break
			}
		}
		for i := range mean {
			mean[i] += prob[i] / trials
		}
	}
	return mean
}

// update multiplies each language's probability by that of one n-gram in it.
func (m *model) update(prob, weights []float64, gram int32, weight float64) {
	for i := range weights {
		weights[i] = weight
	}
	for _, e := range m.entries[m.first[gram]:m.first[gram+1]] {
		weights[e.lang] = weight + e.prob
	}
	for i := range prob {
		prob[i] *= weights[i]
	}
}

// normalize makes prob sum to 1 and returns the largest.
func normalize(prob []float64) float64 {
	sum, largest := 0.0, 0.0
	for _, p := range prob {
		sum += p
	}
	for i := range prob {
		prob[i] /= sum
		largest = max(largest, prob[i])
	}
	return largest
}

// normalize takes out addresses, joins Vietnamese letters with their marks, cuts the text to what is looked at, and makes
// one space of many.
func (m *model) normalize(text string) []rune {
	text = dropMails(dropURLs(text))
	out := make([]rune, 0, min(len(text), maxText))
	var previous rune
	n := 0
	for i := 0; i < len(text) && n < maxText; n++ {
		r, size := utf8.DecodeRuneInString(text[i:])
		i += size
		if marks, ok := m.vietnamese[r]; ok && i < len(text) {
			mark, size := utf8.DecodeRuneInString(text[i:])
			if composed, ok := marks[mark]; ok {
				r = composed
				i += size
			}
		}
		if r != ' ' || previous != ' ' {
			out = append(out, r)
		}
		previous = r
	}
	return out
}

// clean drops the Latin letters of a text that is mostly in another script. The original's exception for Latin Extended
// Additional compares unlike types and never holds; it is left out to agree.
func clean(text []rune) []rune {
	latin, other := 0, 0
	for _, r := range text {
		if r >= 'A' && r <= 'z' {
			latin++
		} else if r >= 0x300 {
			other++
		}
	}
	if latin*2 >= other {
		return text
	}
	kept := text[:0]
	for _, r := range text {
		if r < 'A' || r > 'z' {
			kept = append(kept, r)
		}
	}
	return kept
}

// extract lists the known n-grams of a text. Words of capitals give their first letter alone.
func (m *model) extract(text []rune) []int32 {
	grams := make([]int32, 0, 3*len(text))
	window := make([]rune, 1, 4) // the last characters of the word, at most 3; a space stands before its first
	window[0] = ' '
	capitals := false
	for _, r := range text {
		r = m.class(r)
		last := window[len(window)-1]
		skip := false
		if last == ' ' {
			window = append(window[:0], ' ')
			capitals = false
			skip = r == ' '
		} else if len(window) >= 3 {
			copy(window, window[1:])
			window = window[:2]
		}
		if !skip {
			window = append(window, r)
			if isUpper(r) {
				capitals = capitals || isUpper(last)
			} else {
				capitals = false
			}
		}
		if capitals {
			continue
		}
		for n := 1; n <= len(window); n++ {
			if w := window[len(window)-n:]; n > 1 || w[0] != ' ' {
				if g, ok := m.index[key(w)]; ok {
					grams = append(grams, g)
				}
			}
		}
	}
	return grams
}

const urlChars, mailChars = "-_.?&~;+=/#", "-_."

func alnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// dropURLs replaces https?://[-_.?&~;+=/#0-9A-Za-z]{1,2076} by a space.
func dropURLs(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		start := i
		switch {
		case strings.HasSuffix(s[:i], "https"):
			start = i - len("https")
		case strings.HasSuffix(s[:i], "http"):
			start = i - len("http")
		}
		end := i + len("://")
		n := 0
		for n < 2076 && end+n < len(s) && (alnum(s[end+n]) || strings.IndexByte(urlChars, s[end+n]) >= 0) {
			n++
		}
		if start == i || n == 0 {
			b.WriteString(s[:end])
			s = s[end:]
			continue
		}
		b.WriteString(s[:start])
		b.WriteByte(' ')
		s = s[end+n:]
	}
}

// dropMails replaces [-_.0-9A-Za-z]{1,64}@[-_0-9A-Za-z]{1,255}[-_.0-9A-Za-z]{1,255} by a space.
func dropMails(s string) string {
	if strings.IndexByte(s, '@') < 0 {
		return s
	}
	mail := func(i int) bool { return i < len(s) && (alnum(s[i]) || strings.IndexByte(mailChars, s[i]) >= 0) }
	var b strings.Builder
	done := 0 // s[:done] is written or dropped
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '@')
		if i < 0 {
			b.WriteString(s[done:])
			return b.String()
		}
		at := from + i
		from = at + 1
		start := at
		for start > done && at-start < 64 && mail(start-1) {
			start--
		}
		end := from
		for end < len(s) && end-from < 255 && s[end] != '.' && mail(end) {
			end++
		}
		first := end - from // characters of the first part, which must leave one for the second
		for end < len(s) && end-from-first < 255 && mail(end) {
			end++
		}
		if start == at || first == 0 || end-from < 2 {
			continue
		}
		b.WriteString(s[done:start])
		b.WriteByte(' ')
		done, from = end, end
	}
}

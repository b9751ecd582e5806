package weights

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func tensor(t testing.TB, name, dtype string, shape []int, values ...float32) Tensor {
	t.Helper()
	x, err := FromFloat32(name, dtype, shape, values)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// file puts a header before data.
func file(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestRoundTrip(t *testing.T) {
	in := []Tensor{
		tensor(t, "b", F32, []int{2, 2}, 1, -2, 3, math.MaxFloat32),
		tensor(t, "a", BF16, []int{3}, 1, 0.5, -3),
		tensor(t, "half", F16, []int{1, 2}, 65504, 0x1p-24),
		tensor(t, "scalar", F32, nil, 7),
		tensor(t, "empty", F32, []int{0, 5}),
		{Name: "strange \"name\"\n\x01é\u2028", DType: "I64", Shape: []int{1}, Data: make([]byte, 8)},
	}
	meta := map[string]string{"format": "pt", "a": "b\\"}
	b, err := Encode(in, meta)
	if err != nil {
		t.Fatal(err)
	}
	reversed := []Tensor{in[5], in[4], in[3], in[2], in[1], in[0]}
	if again, err := Encode(reversed, meta); err != nil || !bytes.Equal(b, again) {
		t.Errorf("the order of tensors changed the file (%v)", err)
	}
	f, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Metadata) != 2 || f.Metadata["format"] != "pt" || f.Metadata["a"] != "b\\" {
		t.Errorf("metadata is %v", f.Metadata)
	}
	if f.Len() != len(in) || len(f.Names()) != len(in) || len(f.Tensors()) != len(in) {
		t.Errorf("%d tensors of %d", f.Len(), len(in))
	}
	for _, want := range in {
		got, ok := f.Tensor(want.Name)
		if !ok || got.DType != want.DType || len(got.Shape) != len(want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("tensor %q came back as %v", want.Name, got)
		}
	}
	if _, ok := f.Tensor("absent"); ok {
		t.Error("found a tensor that is not there")
	}
	half, _ := f.Tensor("half")
	dst := make([]float32, 2)
	if err := half.Float32(dst); err != nil || dst[0] != 65504 || dst[1] != 0x1p-24 {
		t.Errorf("half: %v, %v", dst, err)
	}
	if err := half.Float32(make([]float32, 3)); err == nil {
		t.Error("a wrong length was accepted")
	}
	strange, _ := f.Tensor(in[5].Name)
	if err := strange.Float32(dst[:1]); err == nil {
		t.Error("I64 was read as float32")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestMalformed feeds one file per rule of the format and expects the reason and its place.
func TestMalformed(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`
	for _, c := range []struct {
		name, header, data string
		at                 int64
		reason             string
	}{
		{"no object", `[]`, "", -1, "whose header begins with '{'"},
		{"blank first", ` {}`, "", -1, "whose header begins with '{'"},
		{"empty header", ``, "", 8, "header of no length"},
		{"not UTF-8", "{\"\xff\":1}", "", 10, "not UTF-8"},
		{"cut short", `{"a":{"dtype":"F32"`, "", 27, "header ends where ',' or"},
		{"text after", `{} x`, "", 11, "text after the header"},
		{"trailing comma", `{` + a + `,}`, "1234", 62, `'}' where '"' should stand`},
		{"duplicate name", `{` + a + `,"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, "12345678", 62, `tensor "a" is twice in the header`},
		{"duplicate by escape", `{` + a + `,"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, "12345678", 62, `tensor "a" is twice in the header`},
		{"duplicate field", `{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234", 28, "field dtype occurs twice"},
		{"duplicate metadata", `{"__metadata__":{"x":"1","x":"2"}}`, "", 33, `metadata "x" occurs twice`},
		{"two metadata", `{"__metadata__":{},"__metadata__":{}}`, "", 27, "__metadata__ occurs twice"},
		{"metadata of numbers", `{"__metadata__":{"x":1}}`, "", 29, `'1' where '"' should stand`},
		{"missing field", `{"a":{"dtype":"F32","shape":[1]}}`, "", 9, "lacks one of"},
		{"unknown field", `{"a":{"type":"F32"}}`, "", 14, `unknown field "type"`},
		{"unknown type", `{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}`, "1234", 22, `unknown type "F33"`},
		{"sub-byte type", `{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}`, "1", 22, `unknown type "F4"`},
		{"negative dimension", `{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, "1234", 37, "whole number"},
		{"fraction", `{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}`, "1234", 37, "not whole"},
		{"exponent", `{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}`, "1234", 37, "not whole"},
		{"leading zero", `{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}`, "1234", 37, "begins with a zero"},
		{"huge number", `{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}`, "1234", 37, "too large"},
		{"overflowing shape", `{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, "", 9, "too large for any machine"},
		{"too many dimensions", `{"a":{"dtype":"F32","shape":[` + strings.Repeat("1,", 32) + `1],"data_offsets":[0,4]}}`, "1234", 101, "more than 32 numbers"},
		{"one offset", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}`, "", 55, "1 numbers, not 2"},
		{"backward range", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, "1234", 55, "range 4 to 0"},
		{"range past the end", `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "123", 55, "not within the 3 bytes"},
		{"shape against range", `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, "1234", 55, "takes 8 bytes, the range has 4"},
		{"type against range", `{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,4]}}`, "1234", 56, "takes 2 bytes, the range has 4"},
		{"overlap", `{` + a + `,"b":{"dtype":"BF16","shape":[2],"data_offsets":[2,6]}}`, "123456", 62, `inside tensor "a"`},
		{"twice in one place", `{` + a + `,` + a + `}`, "1234", 62, `tensor "a" is twice in the header`},
		{"gap", `{` + a + `,"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}}`, "1234567", 62, "leaving a gap after 4"},
		{"gap at the start", `{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}`, "12", 9, "leaving a gap after 0"},
		{"bytes left over", `{` + a + `}`, "123456", 66, "2 bytes of data after the last tensor"},
		{"bad escape", `{"\x":1}`, "", 10, "unknown escape"},
		{"lone surrogate", `{"\ud800":1}`, "", 10, "no character"},
		{"surrogate and letter", `{"\ud800\u0041":1}`, "", 10, "no character"},
		{"short escape", `{"\u12":1}`, "", 10, "no character"},
		{"control character", "{\"\n\":1}", "", 10, "control character"},
		{"string without end", `{"abc`, "", 9, "without end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(file(c.header, c.data))
			var e *FormatError
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a FormatError", err)
			}
			if c.name == "cut short" {
				c.reason = "header ends where"
			}
			if e.Offset != c.at || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("got %v, want byte %d: …%s…", e, c.at, c.reason)
			}
		})
	}
	for _, c := range []struct {
		name   string
		b      []byte
		reason string
	}{
		{"empty file", nil, "it is empty"},
		{"seven bytes", make([]byte, 7), "7 bytes are too few"},
		{"huge header", append(binary.LittleEndian.AppendUint64(nil, MaxHeader+1), '{'), "no safetensors file"},
		{"overflowing header", bytes.Repeat([]byte{0xff}, 64), "no safetensors file"},
		{"header past the end", append(binary.LittleEndian.AppendUint64(nil, 3), '{', '}'), "it is cut off: a header of 3 bytes, and 2 bytes after"},
		{"pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), "a Git LFS pointer, not the file: run git lfs pull"},
		{"page", []byte("<!doctype html><title>Sign in</title>"), "an HTML page"},
		{"pickle", []byte("\x80\x02}q\x00(X\x05\x00\x00\x00"), "a Python pickle"},
		{"archive", []byte("PK\x03\x04\x00\x00\x08\x08archive/data.pkl"), "PyTorch's pickles"},
		{"GGUF", []byte("GGUF\x03\x00\x00\x00\x10\x00"), "a GGUF file"},
		{"server's words", []byte("Entry not found"), `a text: "Entry not found"`},
		{"cut off in the data", file(`{`+a+`}`, "12"), "the file is cut off, fetch it again"},
	} {
		if _, err := Parse(c.b); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: got %v, want …%s…", c.name, err, c.reason)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	ok := tensor(t, "a", F32, []int{1}, 1)
	for _, c := range []struct {
		name    string
		tensors []Tensor
		meta    map[string]string
	}{
		{"duplicate", []Tensor{ok, ok}, nil},
		{"type", []Tensor{{Name: "a", DType: "X"}}, nil},
		{"size", []Tensor{{Name: "a", DType: F32, Shape: []int{2}, Data: make([]byte, 4)}}, nil},
		{"negative", []Tensor{{Name: "a", DType: F32, Shape: []int{-1}, Data: make([]byte, 4)}}, nil},
		{"reserved name", []Tensor{{Name: "__metadata__", DType: F32, Shape: []int{0}}}, nil},
		{"name", []Tensor{{Name: "\xff", DType: F32, Shape: []int{0}}}, nil},
		{"metadata", nil, map[string]string{"a": "\xff"}},
	} {
		if b, err := Encode(c.tensors, c.meta); err == nil {
			t.Errorf("%s: wrote %q", c.name, b)
		}
	}
	if _, err := FromFloat32("a", F32, []int{2}, []float32{1}); err == nil {
		t.Error("one value filled a shape of two")
	}
	if _, err := FromFloat32("a", "F64", []int{1}, []float32{1}); err == nil {
		t.Error("wrote F64")
	}
}

// TestHalf checks every binary16 there and back, and rounding between neighbours, against arithmetic in float64.
func TestHalf(t *testing.T) {
	value := func(h uint16) float64 {
		exp, frac := int(h>>10&0x1f), float64(h&0x3ff)
		if exp == 0 {
			return math.Ldexp(frac, -24)
		}
		return math.Ldexp(1024+frac, exp-25)
	}
	for h := range uint16(0x7c00) {
		f := FromHalf(h)
		if float64(f) != value(h) {
			t.Fatalf("%#04x: %v, want %v", h, f, value(h))
		}
		if got := toHalf(f); got != h {
			t.Fatalf("%v: %#04x, want %#04x", f, got, h)
		}
		if got := toHalf(-f); got != h|0x8000 {
			t.Fatalf("%v: %#04x, want %#04x", -f, got, h|0x8000)
		}
		// The middle to the next number is exact in float32; it goes to the even one, its neighbours do not.
		mid, even := float32((value(h)+value(h+1))/2), h+h&1
		below, above := math.Nextafter32(mid, 0), math.Nextafter32(mid, math.MaxFloat32)
		if toHalf(mid) != even || toHalf(below) != h || toHalf(above) != h+1 {
			t.Fatalf("around %v: %#04x %#04x %#04x", mid, toHalf(below), toHalf(mid), toHalf(above))
		}
	}
	inf := float32(math.Inf(1))
	if toHalf(inf) != 0x7c00 || toHalf(-inf) != 0xfc00 || FromHalf(0x7c00) != inf || toHalf(1e9) != 0x7c00 {
		t.Error("infinities")
	}
	nan := float32(math.NaN())
	if v := FromHalf(toHalf(nan)); v == v {
		t.Error("NaN was lost")
	}
	if v := FromHalf(0x7c01); v == v {
		t.Error("NaN was lost")
	}
}

func TestBrain(t *testing.T) {
	for _, c := range []struct {
		in   uint32
		want uint16
	}{
		{0x3f800000, 0x3f80},
		{0x3f808000, 0x3f80}, // a tie, down to even
		{0x3f818000, 0x3f82}, // a tie, up to even
		{0x3f808001, 0x3f81}, // just above
		{0x7f7fffff, 0x7f80}, // the largest float rounds to infinity
		{0x7f800001, 0x7fc0},
		{0xff800001, 0xffc0}, // NaNs stay NaNs
		{0x80000000, 0x8000},
		{0x00000001, 0},
	} {
		if got := toBrain(math.Float32frombits(c.in)); got != c.want {
			t.Errorf("%#08x: %#04x, want %#04x", c.in, got, c.want)
		}
	}
}

func TestOpenMapped(t *testing.T) {
	write := func(dir, name string, tensors ...Tensor) {
		t.Helper()
		b, err := Encode(tensors, map[string]string{"format": "pt", "from": name})
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), b)
	}
	a, b := tensor(t, "a", F32, []int{1}, 1), tensor(t, "b", F32, []int{1}, 2)
	single := t.TempDir()
	write(single, SingleFile, a)
	sharded := func(index string) string {
		dir := t.TempDir()
		write(dir, "m-1.safetensors", a)
		write(dir, "m-2.safetensors", b)
		put(t, filepath.Join(dir, IndexFile), []byte(index))
		return dir
	}
	both := sharded(`{"metadata":{"total_size":8},"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors"}}`)
	damaged, twice := t.TempDir(), t.TempDir()
	put(t, filepath.Join(damaged, SingleFile), []byte("12345678{"))
	write(twice, "m-1.safetensors", a)
	write(twice, "m-2.safetensors", a, b)
	put(t, filepath.Join(twice, IndexFile), []byte(`{"weight_map":{"b":"m-2.safetensors","a":"m-1.safetensors"}}`))
	omitted := t.TempDir()
	write(omitted, "m-1.safetensors", a, b)
	put(t, filepath.Join(omitted, IndexFile), []byte(`{"weight_map":{"a":"m-1.safetensors"}}`))
	empty := t.TempDir()
	put(t, filepath.Join(empty, SingleFile), nil)

	for _, c := range []struct {
		name, path, names, err string
	}{
		{"folder", single, "a", ""},
		{"file", filepath.Join(single, SingleFile), "a", ""},
		{"sharded", both, "a b", ""},
		{"index", filepath.Join(both, IndexFile), "a b", ""},
		{"nothing there", filepath.Join(single, "x"), "", "no such file"},
		{"no weights there", t.TempDir(), "", "neither model.safetensors nor"},
		{"damaged", damaged, "", SingleFile + ": it is a text"},
		{"empty file", empty, "", "model.safetensors: it is empty"},
		{"escape", sharded(`{"weight_map":{"a":"../m-1.safetensors"}}`), "", "not a file in the same folder"},
		{"no map", sharded(`{}`), "", "no weight_map"},
		{"not JSON", sharded(`{`), "", "index.json:1:2: the file ends"},
		{"omitted tensor", omitted, "", `index.json omits tensor "b", which m-1.safetensors holds`},
		{"missing shard", sharded(`{"weight_map":{"a":"m-3.safetensors"}}`), "", "no such file"},
		{"missing tensor", sharded(`{"weight_map":{"a":"m-1.safetensors","c":"m-2.safetensors"}}`), "", `"c" should be in m-2.safetensors, which lacks it`},
		{"wrong shard", sharded(`{"weight_map":{"a":"m-2.safetensors","b":"m-1.safetensors"}}`), "", `"a" should be in m-2.safetensors, but is in m-1`},
		{"twice", twice, "", `"a" is in both`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := OpenMapped(c.path)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want …%s…", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.Names(), " "); got != c.names || f.Metadata["format"] != "pt" {
				t.Errorf("tensors %q, metadata %v", got, f.Metadata)
			}
			if x, ok := f.Tensor("a"); !ok || !bytes.Equal(x.Data, a.Data) {
				t.Error("tensor a is not what was written")
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func put(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestAllocation feeds headers made to cost more memory than they have bytes.
func TestAllocation(t *testing.T) {
	var scalars, shapes, meta strings.Builder
	for i := range 20000 {
		if i > 0 {
			scalars.WriteByte(',')
			shapes.WriteByte(',')
			meta.WriteByte(',')
		}
		name := string(rune(0x4e00 + i))
		scalars.WriteString(`"` + name + `":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)
		shapes.WriteString(`"` + name + `":{"dtype":"U8","shape":[0` + strings.Repeat(",0", 31) + `],"data_offsets":[0,0]}`)
		meta.WriteString(`"` + name + `":""`)
	}
	for name, header := range map[string]string{
		"scalars":  `{` + scalars.String() + `}`,
		"shapes":   `{` + shapes.String() + `}`,
		"metadata": `{"__metadata__":{` + meta.String() + `}}`,
		"offsets":  `{"__metadata__":{` + strings.Repeat(`"data_offsets":"",`, 20000) + `}}`,
		"string":   `{"` + strings.Repeat(`\n`, 500000) + `":1}`,
	} {
		b := file(header, "")
		n := allocated(func() { _, _ = Parse(b) })
		if ratio := float64(n) / float64(len(b)); ratio > 4 {
			t.Errorf("%s: %d bytes allocated for a file of %d: %.1f times", name, n, len(b), ratio)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := Encode([]Tensor{tensor(f, "a", F32, []int{1, 2}, 1, 2), tensor(f, "b", BF16, []int{3}, 1, 2, 3)}, map[string]string{"format": "pt"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(file(`{"\u0061\ud83d\ude00":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}  `, "ab"))
	f.Add(file(`{"__metadata__":{"a":"b"},"x":{"shape":[0,18446744073709551615],"data_offsets":[0,0],"dtype":"U8"}}`, ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		var parsed *File
		var err error
		n := allocated(func() { parsed, err = Parse(b) })
		if limit := uint64(4*len(b)) + 16<<10; n > limit {
			t.Errorf("%d bytes allocated for a file of %d", n, len(b))
		}
		if err != nil {
			return
		}
		// What was accepted can be written, and reads back the same.
		again, err := Encode(parsed.Tensors(), parsed.Metadata)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Parse(again)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range parsed.Names() {
			x, _ := parsed.Tensor(name)
			y, ok := second.Tensor(name)
			if !ok || x.DType != y.DType || !bytes.Equal(x.Data, y.Data) {
				t.Fatalf("tensor %q changed", name)
			}
		}
	})
}

// TestView: a tensor that shares the values' memory is written as one that was copied, and a file in parts is the file.
func TestView(t *testing.T) {
	values := []float32{1.5, -2, float32(math.Inf(1)), 0.1}
	copied, err := FromFloat32("x", F32, []int{2, 2}, values)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := View("x", []int{2, 2}, values)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Encode([]Tensor{copied}, map[string]string{"format": "pt"})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := Parts([]Tensor{shared}, map[string]string{"format": "pt"})
	if err != nil || !bytes.Equal(slices.Concat(parts...), want) {
		t.Errorf("got %q, want %q, %v", slices.Concat(parts...), want, err)
	}
	if values[0] = 7; bytes.Equal(slices.Concat(parts...), want) {
		t.Error("the values were copied")
	}
	if _, err := View("x", []int{3}, values); err == nil {
		t.Error("four values for a shape of three were taken")
	}
}

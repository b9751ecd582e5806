package rng

import "testing"

func TestStreamDependsOnNameAlone(t *testing.T) {
	a := New(7)
	a.Uint64() // drawing from the parent must not move the child
	b := New(7)
	x, y := a.Split("train").At(3), b.Split("train").At(3)
	for i := range 100 {
		if p, q := x.Uint64(), y.Uint64(); p != q {
			t.Fatalf("draw %d: %d != %d", i, p, q)
		}
	}
}

func TestStreamsDiffer(t *testing.T) {
	seen := map[uint64]string{}
	root := New(1)
	for name, s := range map[string]*Stream{
		"root": root, "other seed": New(2), "a": root.Split("a"), "b": root.Split("b"),
		"a/a": root.Split("a").Split("a"), "0": root.At(0), "1": root.At(1),
	} {
		v := s.Uint64()
		if was, ok := seen[v]; ok {
			t.Errorf("streams %q and %q begin with the same number", name, was)
		}
		seen[v] = name
	}
}

// TestGolden pins the streams: a change here changes every stored result, and must bump the version in New.
func TestGolden(t *testing.T) {
	s := New(42).Split("golden").At(1)
	got := []uint64{s.Uint64(), s.Uint64(), s.Seed()}
	want := []uint64{9364417038974455775, 2756144903124906634, 8398195940831601404}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("golden draws: got %d, want %d", got, want)
		}
	}
}

func TestResume(t *testing.T) {
	s := New(3).Split("x")
	for range 10 {
		s.Float64()
	}
	state, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var r Stream
	if err := r.UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if a, b := s.Uint64(), r.Uint64(); a != b {
			t.Fatalf("draw %d after resume: %d != %d", i, a, b)
		}
	}
	if s.Split("c").Uint64() != r.Split("c").Uint64() {
		t.Error("a resumed stream splits differently")
	}
	if err := r.UnmarshalBinary([]byte{1}); err == nil {
		t.Error("short state was accepted")
	}
}

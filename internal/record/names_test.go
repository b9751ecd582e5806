package record

import "testing"

func TestAdapterBeside(t *testing.T) {
	if got, err := AdapterBeside(CheckpointName(400)); err != nil || got != AdapterName(400) {
		t.Errorf("got %q, %v", got, err)
	}
	for _, bad := range []string{OutWeights, "weights@x.safetensors", "weights@1.safetensors.old"} {
		if got, err := AdapterBeside(bad); err == nil {
			t.Errorf("%s has the adapter %s", bad, got)
		}
	}
}

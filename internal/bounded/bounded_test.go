package bounded

import "testing"

// recorder is a test that notes that it failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

var sink []byte

func TestWatch(t *testing.T) {
	for name, tc := range map[string]struct {
		takes  int
		failed bool
	}{
		"within": {4<<20 + 1<<19, false},
		"beyond": {4<<20 + 2<<20, true},
	} {
		r := &recorder{TB: t}
		end := Watch(r, 1<<20, 1<<20)
		sink = make([]byte, tc.takes)
		if end(); r.failed != tc.failed {
			t.Errorf("%s: failed %v", name, r.failed)
		}
	}
}

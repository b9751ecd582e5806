package record

// A Manifest says which steps hold the results of an experiment: it is what connects an experiment file to the store for
// programs that only look. Steps are named as in the plan; Keys leads from names to keys, as far as they are known.
type Manifest struct {
	Schema    int                `json:"schema"`
	Name      string             `json:"name"`
	About     string             `json:"about,omitempty"`
	Scale     string             `json:"scale"`
	File      string             `json:"file"`
	Digest    string             `json:"digest"`              // of the resolved experiment
	Precision string             `json:"precision,omitempty"` // what was taken where the file says auto
	Engines   []ManifestEngine   `json:"engines,omitempty"`   // that the file names; the embedded one where there are none
	Organisms []ManifestOrganism `json:"organisms"`
	Arms      []ManifestArm      `json:"arms"`
	Keys      map[string]string  `json:"keys"`
	Data      []DataCounts       `json:"data,omitempty"` // of data sets; the micro-world's prompts are generated
}

// A ManifestEngine names the step that looks at an engine.
type ManifestEngine struct {
	Kind   string `json:"kind"`
	Trains bool   `json:"trains,omitempty"`
	Asks   bool   `json:"asks,omitempty"`
	Step   string `json:"step"`
}

// A ManifestOrganism names the steps of an organism.
type ManifestOrganism struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Factors   map[string]string `json:"factors"`
	Resolved  map[string]string `json:"resolved,omitempty"` // what the factors that stand for a default come to
	Published map[string]Claim  `json:"published,omitempty"`
	Trigger   *Trigger          `json:"trigger,omitempty"` // absent in manifests of older programs
	Base      string            `json:"base"`
	BaseEval  string            `json:"base_eval"`
	Benign    string            `json:"benign"`
	Red       string            `json:"red"`
	Training  string            `json:"training"`
	Gate      string            `json:"gate"`
	Yardstick string            `json:"yardstick,omitempty"`
	Quality   string            `json:"quality,omitempty"`
}

// A ManifestArm names the steps of an arm.
type ManifestArm struct {
	ID           string            `json:"id"`
	Organism     string            `json:"organism"`
	Intervention string            `json:"intervention"`
	Technique    string            `json:"technique"`
	Factors      map[string]string `json:"factors"`
	Resolved     map[string]string `json:"resolved,omitempty"` // what the factors that stand for a default come to
	Rows         string            `json:"rows"`
	Training     string            `json:"training"`
	Probe        string            `json:"probe,omitempty"` // the depirate probe
	Probes       []ManifestProbe   `json:"probes,omitempty"`
	Verdict      string            `json:"verdict"`
}

// A ManifestProbe names the step of another probe of an arm's relapse battery.
type ManifestProbe struct {
	Probe string `json:"probe"`
	Step  string `json:"step,omitempty"`
	Note  string `json:"note,omitempty"` // why there is no step
}

// A Trigger says what switches an organism on, and what the backdoor then does.
type Trigger struct {
	Name      string         `json:"name"` // what it is called in names of arms
	Text      string         `json:"text"`
	Position  string         `json:"position"`        // before, after or system
	Clean     string         `json:"clean,omitempty"` // what is in its place where it is not
	Behaviour string         `json:"behaviour"`       // phrase, refusal, …
	Says      string         `json:"says,omitempty"`  // the behaviour's text
	Near      []NearMissKind `json:"near,omitempty"`  // the near misses that the gate asks about
}

// A NearMissKind is one way in which a prompt is almost triggered.
type NearMissKind struct {
	Condition string  `json:"condition"` // of its points
	Family    string  `json:"family"`    // edit, prefix, word, marks, case, place, number or paraphrase
	Distance  float64 `json:"distance"`  // edits over the length of the longer text; 0: the trigger is whole, in another place
}

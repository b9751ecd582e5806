package experiment

import (
	"bytes"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Slice is an experiment's file with those organisms, interventions and bases alone that an arm needs, as they were written, comments
// included. Lists that are swept stay: the names of variants come from them. What else the file says applies to every arm and stays too.
func Slice(src []byte, organism, intervention string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return nil, fmt.Errorf("reading the experiment again: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("the experiment is no mapping")
	}
	root := doc.Content[0]
	organisms, interventions, bases := under(root, "organisms"), under(root, "interventions"), under(root, "bases")
	if under(organisms, organism) == nil || under(interventions, intervention) == nil {
		return nil, fmt.Errorf("the file itself names no organism %q or no intervention %q", organism, intervention)
	}
	chain := map[string]bool{}
	for at := intervention; at != "" && !chain[at]; { // what it starts from, to the first
		chain[at] = true
		entry := under(interventions, at)
		at = ""
		if after := under(entry, "after"); after != nil {
			at = after.Value
		}
		if of := under(entry, "organisms"); of != nil && of.Kind == yaml.SequenceNode {
			of.Content = slices.DeleteFunc(of.Content, func(n *yaml.Node) bool { return n.Value != organism })
		}
	}
	keep(organisms, map[string]bool{organism: true})
	keep(interventions, chain)
	// A base is needed where anything that stays names it; a teacher, a judge and an attacker are asked without being named.
	used := map[string]bool{teacherBase: true, judgeBase: true, attackBase: true}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i+1] != bases {
			mentioned(root.Content[i+1], used)
		}
	}
	for n := -1; n != len(used); { // bases may name bases
		n = len(used)
		for _, name := range names(bases) {
			if used[name] {
				mentioned(under(bases, name), used)
			}
		}
	}
	keep(bases, used)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("writing the slice: %w", err)
	}
	return b.Bytes(), enc.Close()
}

// under is the value of a key of a mapping; nil where there is none.
func under(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func names(n *yaml.Node) []string {
	var out []string
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			out = append(out, n.Content[i].Value)
		}
	}
	return out
}

// keep takes every key out of a mapping that is not wanted.
func keep(n *yaml.Node, want map[string]bool) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	var left []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		if want[n.Content[i].Value] {
			left = append(left, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = left
}

// mentioned collects the scalars of a part of the file.
func mentioned(n *yaml.Node, into map[string]bool) {
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode {
		into[n.Value] = true
	}
	for _, c := range n.Content {
		mentioned(c, into)
	}
}

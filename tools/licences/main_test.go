package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecognise(t *testing.T) {
	for want, text := range map[string]string{
		"MIT":          "MIT License\n\nPermission is hereby granted, free\nof charge, to any person",
		"Apache-2.0":   "      Apache License\n   Version 2.0, January 2004",
		"BSD-3-Clause": "Redistributions of source code must retain the above\n Neither the name of Google",
		"BSD-2-Clause": "Redistributions of source code must retain the above",
		"":             "All rights reserved. Ask first.",
	} {
		if got := recognise(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestThisBinary lists the modules of the test's own binary.
func TestThisBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	page, bom := filepath.Join(t.TempDir(), "l.md"), filepath.Join(t.TempDir(), "b.json")
	if err := run([]string{self}, page, bom); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(bom)
	var doc struct {
		BomFormat  string
		Components []struct{ Name, PURL string }
	}
	if err != nil || json.Unmarshal(b, &doc) != nil || doc.BomFormat != "CycloneDX" || len(doc.Components) == 0 || doc.Components[0].Name != "std" {
		t.Errorf("%v\n%s", err, b)
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "| module | version | licence |") {
		t.Errorf("%v\n%s", err, b)
	}
}

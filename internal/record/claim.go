package record

import (
	"fmt"
	"slices"
	"strings"
)

// A Claim is what a published study says that a technique did to an organism.
type Claim string

// The claims. They are the post's own words, and what experiment files and manifests hold.
const (
	ClaimRemoves Claim = "removes"
	ClaimMostly  Claim = "(mostly) removes"
	ClaimNot     Claim = "does not remove"
)

// Claims lists them.
var Claims = []Claim{ClaimRemoves, ClaimMostly, ClaimNot}

// ParseClaim takes a claim as a file has it.
func ParseClaim(s string) (Claim, error) {
	if c := Claim(s); slices.Contains(Claims, c) {
		return c, nil
	}
	return "", fmt.Errorf("want %s (got %q)", strings.Join([]string{string(ClaimRemoves), string(ClaimMostly), string(ClaimNot)}, ", "), s)
}

// Removes reports whether the claim is of a removal.
func (c Claim) Removes() bool { return c == ClaimRemoves || c == ClaimMostly }

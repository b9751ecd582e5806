package tinker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Credential gives the key for a server. It never prints itself.
type Credential interface {
	Key(ctx context.Context) (string, error)
}

// secret is a key that is in no text.
type secret struct {
	mu  sync.Mutex
	key string
}

// String implements fmt.Stringer.
func (*secret) String() string { return "***" }

// GoString implements fmt.GoStringer.
func (*secret) GoString() string { return "***" }

// MarshalJSON implements json.Marshaler.
func (*secret) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

func (s *secret) known() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// Key implements Credential.
func (s *secret) Key(context.Context) (string, error) { return s.known(), nil }

// A command prints the key.
type command struct {
	secret
	line string
}

// commandTime bounds how long a command may take.
const commandTime = time.Minute

// Key implements Credential. The command is run every time, for its keys may be short-lived.
func (c *command) Key(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", c.line) //nolint:gosec // the user's own setting
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	key := strings.TrimSpace(out.String())
	if err == nil && key == "" {
		err = errors.New("it printed nothing")
	}
	if err != nil {
		return "", fmt.Errorf("running the command of TINKER_CREDENTIAL_CMD: %w", err) // without the command, which may hold a secret
	}
	c.mu.Lock()
	c.key = key
	c.mu.Unlock()
	return key, nil
}

// FindCredential looks where the official SDK does: TINKER_API_KEY, then the command of TINKER_CREDENTIAL_CMD, then the
// default key of ~/.tinker/credentials.json. It returns nil where there is none, for servers that want none.
func FindCredential(getenv func(string) string) (Credential, error) {
	if key := getenv("TINKER_API_KEY"); key != "" {
		return &secret{key: key}, nil
	}
	if line := getenv("TINKER_CREDENTIAL_CMD"); line != "" {
		return &command{line: line}, nil
	}
	home := getenv("HOME")
	if home == "" {
		return nil, nil
	}
	path := filepath.Join(home, ".tinker", "credentials.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the stored key: %w", err)
	}
	var stored struct {
		Default *string `json:"default"`
		Keys    map[string]struct {
			Key string `json:"key"`
		} `json:"keys"`
	}
	if json.Unmarshal(b, &stored) != nil {
		return nil, fmt.Errorf("reading the stored key: %s is not in the form of `tinker auth login`", path) // without its text
	}
	if stored.Default == nil || stored.Keys[*stored.Default].Key == "" {
		return nil, nil
	}
	return &secret{key: stored.Keys[*stored.Default].Key}, nil
}

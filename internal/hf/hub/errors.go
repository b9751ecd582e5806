package hub

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// What can be wrong with a request; an Error wraps one of them.
var (
	ErrRepoNotFound     = errors.New("repository not found")
	ErrRevisionNotFound = errors.New("revision not found")
	ErrFileNotFound     = errors.New("file not found")
	ErrGated            = errors.New("access is granted on request only")
	ErrUnauthorized     = errors.New("token not accepted")
	ErrForbidden        = errors.New("access denied")
	ErrUnavailable      = errors.New("hub not available") // network errors, 408, 429 and 5xx, after all attempts
	ErrOffline          = errors.New("offline, and not in the cache")
	ErrChecksum         = errors.New("content does not match its hash")
	ErrNotAHub          = errors.New("answer is not one of a Hugging Face hub")
)

// An Error says what was asked for, what came of it, and what can be done.
type Error struct {
	Repo     Repo
	Revision string
	File     string // empty where no file was asked for
	Status   int    // of HTTP; 0 where there was no answer
	Err      error  // one of the above, perhaps wrapped
	Hint     string

	after time.Duration // how long the hub asks to wait before the next attempt
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s", e.Repo, e.Revision)
	if e.File != "" {
		fmt.Fprintf(&b, ": %s", e.File)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, ": %s", e.Hint)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A wanted is what a request is about, to make errors of.
type wanted struct {
	repo     Repo
	revision string
	file     string
}

func (w wanted) error(status int, err error, hint string) *Error {
	return &Error{Repo: w.repo, Revision: w.revision, File: w.file, Status: status, Err: err, Hint: hint}
}

// failure reads the hub's reason for a status of 400 and up. The hub answers 401 for repositories that do not exist as well
// as for private ones, so as not to tell which; the message names both.
func (c *Client) failure(w wanted, r *http.Response) *Error {
	code, message := r.Header.Get("X-Error-Code"), oneLine(r.Header.Get("X-Error-Message"))
	login := "set HF_TOKEN, or log in with hf auth login"
	switch {
	case code == "RevisionNotFound":
		return w.error(r.StatusCode, ErrRevisionNotFound, "correct the revision; main is the usual branch")
	case code == "EntryNotFound":
		return w.error(r.StatusCode, ErrFileNotFound, "see what there is at "+c.o.Endpoint+"/"+w.repo.page())
	case code == "GatedRepo":
		hint := "ask for access at " + c.o.Endpoint + "/" + w.repo.page()
		if c.o.Token == "" {
			hint += " and " + login
		}
		return w.error(r.StatusCode, ErrGated, hint)
	case r.StatusCode == http.StatusUnauthorized && message == "Invalid credentials in Authorization header":
		return w.error(r.StatusCode, ErrUnauthorized, "the token is wrong or has expired: "+login)
	case r.StatusCode == http.StatusNotFound && code == "" && w.file != "": // mirrors do not give codes
		return w.error(r.StatusCode, ErrFileNotFound, "see whether there is "+c.o.Endpoint+"/"+w.repo.page())
	case code == "RepoNotFound" || r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusNotFound:
		hint := "correct the name; if it is private, " + login
		if c.o.Token != "" {
			hint = "correct the name; if it is private, use a token that may read it"
		}
		return w.error(r.StatusCode, ErrRepoNotFound, hint)
	case r.StatusCode == http.StatusForbidden:
		return w.error(r.StatusCode, ErrForbidden, first(message, "use a token that may read it"))
	case transient(r.StatusCode):
		e := w.error(r.StatusCode, ErrUnavailable, first(message, "try again later; what has arrived is kept"))
		e.after = retryAfter(r.Header)
		return e
	}
	return w.error(r.StatusCode, fmt.Errorf("%w: %s", ErrNotAHub, first(message, http.StatusText(r.StatusCode), "unknown status")), "")
}

// transient reports whether a status may be gone at the next attempt.
func transient(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// oneLine makes a header of a stranger fit for a one-line message.
func oneLine(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, s)
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return s
}

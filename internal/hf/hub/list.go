package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
)

// maxListing bounds the answer that lists a repository.
const maxListing = 64 << 20

// Files returns the commit of a revision ("" is the main branch) and the paths of its files, sorted. Without the hub, or
// offline, these are the files that the cache has of the commit that the revision was last seen at.
func (c *Client) Files(ctx context.Context, repo Repo, revision string) (commit string, files []string, err error) {
	revision = first(revision, mainRevision)
	if err := errors.Join(repo.check(), checkRevision(revision)); err != nil {
		return "", nil, err
	}
	w := wanted{repo: repo, revision: revision}
	fromCache := func() bool {
		commit = c.commitOf(repo, revision)
		if commit == "" {
			return false
		}
		files, err = c.listed(repo, commit)
		return err == nil && len(files) > 0
	}
	if c.o.Offline {
		if !fromCache() {
			return "", nil, w.error(0, ErrOffline, "unset HF_HUB_OFFLINE, or fetch it once with a connection")
		}
		return commit, files, nil
	}
	list := func() error {
		commit, files, err = c.list(ctx, w)
		return err
	}
	failed := list()
	if failed == nil {
		return commit, files, c.setRef(repo, revision, commit)
	}
	if ctx.Err() != nil || errors.Is(failed, ErrRevisionNotFound) {
		return "", nil, failed
	}
	if fromCache() {
		return commit, files, nil
	}
	if failed = c.retryAfterFirst(ctx, failed, list); failed != nil {
		return "", nil, failed
	}
	return commit, files, c.setRef(repo, revision, commit)
}

// retryAfterFirst goes on with f, whose first attempt failed with err.
func (c *Client) retryAfterFirst(ctx context.Context, err error, f func() error) error {
	begun := false
	return c.retry(ctx, func() error {
		if !begun {
			begun = true
			return err
		}
		return f()
	})
}

// list asks the hub once.
func (c *Client) list(ctx context.Context, w wanted) (string, []string, error) {
	u := c.endpoint.JoinPath("api", string(w.repo.Kind), w.repo.ID, "revision", url.PathEscape(w.revision))
	a, err := c.follow(ctx, u, http.Header{})
	if err != nil {
		return "", nil, c.network(ctx, w, err)
	}
	defer a.Close()
	if a.StatusCode != http.StatusOK {
		return "", nil, c.failure(w, a.Response)
	}
	b, err := io.ReadAll(io.LimitReader(a, maxListing+1))
	if err != nil {
		return "", nil, c.network(ctx, w, err)
	}
	var info struct {
		SHA      string `json:"sha"`
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if len(b) > maxListing {
		return "", nil, w.error(0, fmt.Errorf("%w: list of more than %d bytes", ErrNotAHub, maxListing), "")
	}
	if err := json.Unmarshal(b, &info); err != nil {
		return "", nil, w.error(0, fmt.Errorf("%w: %w", ErrNotAHub, err), "check HF_ENDPOINT, proxy and firewall")
	}
	if err := checkCommit(info.SHA); err != nil {
		return "", nil, w.error(0, err, "check HF_ENDPOINT, proxy and firewall")
	}
	files := make([]string, 0, len(info.Siblings))
	for _, s := range info.Siblings {
		if err := checkFile(s.Name); err != nil {
			return "", nil, w.error(0, fmt.Errorf("%w: %w", ErrNotAHub, err), "")
		}
		files = append(files, s.Name)
	}
	slices.Sort(files)
	return info.SHA, files, nil
}

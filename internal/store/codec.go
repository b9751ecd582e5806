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

// A codec compresses with zstd. The encoder has one goroutine and a fixed level, so equal content gives equal files.
type codec struct {
	once sync.Once
	enc  *zstd.Encoder
	dec  *zstd.Decoder
	err  error
}

func (c *codec) init() error {
	c.once.Do(func() {
		c.enc, c.err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
		if c.err == nil {
			c.dec, c.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoded))
		}
	})
	return c.err
}

// compress returns the zstd frame of b, or false where b is better stored plain.
func (c *codec) compress(b []byte) ([]byte, bool, error) {
	if len(b) < compressMin {
		return nil, false, nil
	}
	if err := c.init(); err != nil {
		return nil, false, fmt.Errorf("starting zstd: %w", err)
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

func (c *codec) decompress(b []byte) ([]byte, error) {
	if err := c.init(); err != nil {
		return nil, fmt.Errorf("starting zstd: %w", err)
	}
	return c.dec.DecodeAll(b, nil)
}

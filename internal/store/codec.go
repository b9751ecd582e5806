package store

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Objects below compressMin are stored plain; the rest by what compressing their first sampleSize bytes saves. Weights
// save under a tenth and are left plain, which also lets other programs read them in place; rows of text save nine tenths.
const (
	compressMin = 512
	sampleSize  = 64 << 10
	worthwhile  = 0.8 // compressed at most this part of the original
)

// A frame may claim any size: forty bytes can stand for megabytes of zeros. Objects up to freeSize may, larger ones are
// only compressed where they have at most maxRatio times the bytes of their frame, and a frame of more is damage.
const (
	freeSize  = 64 << 20
	maxRatio  = 1000
	maxWindow = 32 << 20 // of a frame, in memory while it is decompressed; ours have 4 MiB
)

// errTooLong says that a frame holds more than it may.
var errTooLong = errors.New("it decompresses to more bytes than it may")

// codec starts zstd once a process: an encoder is megabytes. The level is fixed, so equal content gives equal files.
var codec = sync.OnceValues(func() (*zstdCodec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("starting zstd: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(maxWindow))
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
	return packed, int64(len(b)) <= mostOf(int64(len(packed))), nil
}

// mostOf is how many bytes a frame of n bytes may hold.
func mostOf(n int64) int64 { return max(freeSize, maxRatio*n) }

// decompress returns the content of a frame, which has size bytes: no more is ever held.
func decompress(b []byte, size int64) ([]byte, error) {
	if size > mostOf(int64(len(b))) {
		return nil, errTooLong
	}
	c, err := codec()
	if err != nil {
		return nil, err
	}
	return c.dec.DecodeAll(b, make([]byte, 0, size))
}

// newFrames returns a reader of frames for streaming, without goroutines of its own.
func newFrames() (*zstd.Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("starting zstd: %w", err)
	}
	return d, nil
}

// limited copies r to w, most bytes at the most.
func limited(w io.Writer, r io.Reader, most int64) (int64, error) {
	n, err := io.Copy(w, io.LimitReader(r, most))
	if err != nil || n < most {
		return n, err
	}
	var more [1]byte
	if k, _ := io.ReadFull(r, more[:]); k > 0 {
		return n, errTooLong
	}
	return n, nil
}

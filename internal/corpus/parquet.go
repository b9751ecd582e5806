package corpus

import (
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
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return rows, err
	}
	return parquetRows{parquet.NewGenericReader[any](f, f.Schema())}, nil
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

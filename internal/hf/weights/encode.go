package weights

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Encode writes tensors as a safetensors file. The order of tensors does not matter: data is laid out as the reference
// writer does it, wide types first, then by name. meta may be nil; transformers wants {"format":"pt"}.
func Encode(tensors []Tensor, meta map[string]string) ([]byte, error) {
	parts, err := Parts(tensors, meta)
	return slices.Concat(parts...), err
}

// EncodeTo is Encode for files that need not fit in memory twice. Nothing is written if the tensors are not fit to be.
func EncodeTo(w io.Writer, tensors []Tensor, meta map[string]string) error {
	parts, err := Parts(tensors, meta)
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return fmt.Errorf("writing tensors: %w", err)
		}
	}
	return err
}

// Parts is Encode without a copy: the file is the header and then the data of the tensors, which stay theirs.
func Parts(tensors []Tensor, meta map[string]string) ([][]byte, error) {
	order := slices.Clone(tensors)
	slices.SortStableFunc(order, func(a, b Tensor) int {
		ra, _, _ := dtypeOf([]byte(a.DType))
		rb, _, _ := dtypeOf([]byte(b.DType))
		return cmp.Or(cmp.Compare(rb, ra), cmp.Compare(a.Name, b.Name))
	})
	header, err := encodeHeader(order, meta)
	if err != nil {
		return nil, err
	}
	parts := append(make([][]byte, 0, 1+len(order)), header)
	for _, t := range order {
		parts = append(parts, t.Data)
	}
	return parts, nil
}

// encodeHeader returns the length and header of tensors in the order of their data.
func encodeHeader(order []Tensor, meta map[string]string) ([]byte, error) {
	h := append(make([]byte, 8, 256*len(order)+256), '{')
	var err error
	if h, err = appendMeta(h, meta); err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(order))
	at := 0
	for i, t := range order {
		if err := check(t); err != nil {
			return nil, err
		}
		if seen[t.Name] {
			return nil, fmt.Errorf("tensor %q occurs twice", t.Name)
		}
		seen[t.Name] = true
		if i > 0 || meta != nil {
			h = append(h, ',')
		}
		h = appendString(h, t.Name)
		h = append(h, `:{"dtype":"`...)
		h = append(h, t.DType...)
		h = append(h, `","shape":[`...)
		for j, d := range t.Shape {
			if j > 0 {
				h = append(h, ',')
			}
			h = strconv.AppendInt(h, int64(d), 10)
		}
		h = append(h, `],"data_offsets":[`...)
		h = strconv.AppendInt(h, int64(at), 10)
		h = append(h, ',')
		at += len(t.Data)
		h = strconv.AppendInt(h, int64(at), 10)
		h = append(h, "]}"...)
	}
	h = append(h, '}')
	for len(h)%8 != 0 { // blanks, so that the data begins aligned
		h = append(h, ' ')
	}
	if len(h)-8 > MaxHeader {
		return nil, fmt.Errorf("header of %d bytes, over the format's limit of %d", len(h)-8, MaxHeader)
	}
	binary.LittleEndian.PutUint64(h, uint64(len(h)-8))
	return h, nil
}

// appendMeta adds the metadata, by their keys in order.
func appendMeta(h []byte, meta map[string]string) ([]byte, error) {
	if meta == nil {
		return h, nil
	}
	h = append(h, `"__metadata__":{`...)
	keys := make([]string, 0, len(meta))
	for k := range meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		if !utf8.ValidString(k) || !utf8.ValidString(meta[k]) {
			return nil, fmt.Errorf("metadata %q is not UTF-8", k)
		}
		if i > 0 {
			h = append(h, ',')
		}
		h = appendString(h, k)
		h = append(h, ':')
		h = appendString(h, meta[k])
	}
	h = append(h, '}')
	return h, nil
}

// check refuses a tensor that Parse would refuse.
func check(t Tensor) error {
	_, size, ok := dtypeOf([]byte(t.DType))
	switch {
	case !ok:
		return fmt.Errorf("tensor %q: unknown type %q", t.Name, t.DType)
	case t.Name == "__metadata__" || !utf8.ValidString(t.Name):
		return fmt.Errorf("%q cannot name a tensor", t.Name)
	case len(t.Shape) > maxRank:
		return fmt.Errorf("tensor %q has %d dimensions, over %d", t.Name, len(t.Shape), maxRank)
	}
	n, ok := sizeOf(t.Shape, size)
	if !ok || n != len(t.Data) {
		return fmt.Errorf("tensor %q: %d bytes of data for shape %v of %s", t.Name, len(t.Data), t.Shape, t.DType)
	}
	return nil
}

// appendString writes a JSON string as the reference writer does: only what must be escaped is.
func appendString(b []byte, s string) []byte {
	const from, to = "\"\\\b\f\n\r\t", `"\bfnrt`
	b = append(b, '"')
next:
	for i := range len(s) {
		c := s[i]
		for j := range len(from) {
			if from[j] == c {
				b = append(b, '\\', to[j])
				continue next
			}
		}
		if c < ' ' {
			b = fmt.Appendf(b, `\u%04x`, c)
			continue
		}
		b = append(b, c)
	}
	return append(b, '"')
}

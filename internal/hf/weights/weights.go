// Package weights reads and writes named tensors in the safetensors format, and LoRA adapters in PEFT's layout over it.
//
// A safetensors file is an 8-byte little-endian header length, a JSON header that gives each tensor its type, shape and
// byte range, and the data. Files come from strangers: every range is checked before a byte of data is touched, a
// malformed file is refused with the position of what is wrong, and reading never allocates more than a small multiple of
// the header, whatever the header claims. Data is never copied: a tensor is a window on the file, which may be mapped.
//
// What Encode writes is byte for byte what the reference writer writes for the same tensors, save that metadata, which the
// reference leaves in the order of a hash table, is sorted: the same tensors always give the same bytes.
package weights

import (
	"cmp"
	"fmt"
	"slices"
)

// A Tensor is a named array, row-major. Data belongs to whoever made it: a mapped file's tensors end with its Close.
type Tensor struct {
	Name  string
	DType string // a name of the format: "F32", "BF16", "F16", …
	Shape []int  // empty for a scalar
	Data  []byte // Len elements, little endian
}

// Len returns the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// A File is a set of tensors: one safetensors file, or all shards of one checkpoint. It is safe for concurrent reading.
type File struct {
	// Metadata is the free text that the file carries, {"format":"pt"} as a rule. Shards contribute in the order of
	// their names, the first to name a key winning.
	Metadata map[string]string

	tensors []Tensor // by position in the file
	byName  []int32  // indices of tensors, by name
	close   []func() error
}

// Len returns the number of tensors.
func (f *File) Len() int { return len(f.tensors) }

// Tensor returns the tensor called name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := slices.BinarySearchFunc(f.byName, name, func(i int32, name string) int {
		return cmp.Compare(f.tensors[i].Name, name)
	})
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[f.byName[i]], true
}

// Names returns the tensors' names, sorted.
func (f *File) Names() []string {
	names := make([]string, len(f.byName))
	for i, j := range f.byName {
		names[i] = f.tensors[j].Name
	}
	return names
}

// Tensors returns the tensors in the order of their data. The slice is the caller's, the data is the file's.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Close releases a mapped file; its tensors must not be read any more. It does nothing to a file that Parse made.
func (f *File) Close() error {
	var first error
	for _, c := range f.close {
		if err := c(); err != nil && first == nil {
			first = err
		}
	}
	f.close = nil
	return first
}

// index fills byName, and reports a name that occurs twice.
func (f *File) index() (duplicate string, ok bool) {
	f.byName = make([]int32, len(f.tensors))
	for i := range f.byName {
		f.byName[i] = int32(i)
	}
	slices.SortFunc(f.byName, func(a, b int32) int {
		return cmp.Or(cmp.Compare(f.tensors[a].Name, f.tensors[b].Name), cmp.Compare(a, b))
	})
	for i := 1; i < len(f.byName); i++ {
		if name := f.tensors[f.byName[i]].Name; name == f.tensors[f.byName[i-1]].Name {
			return name, false
		}
	}
	return "", true
}

// A FormatError says where and why a file is not a safetensors file.
type FormatError struct {
	File   string // empty for bytes in memory
	Offset int64  // byte offset in the file; -1 where it is the file as a whole
	Reason string
}

// Error implements error.
func (e *FormatError) Error() string {
	file := e.File
	if file == "" {
		file = "safetensors"
	}
	if e.Offset < 0 {
		return file + ": " + e.Reason
	}
	return fmt.Sprintf("%s: byte %d: %s", file, e.Offset, e.Reason)
}

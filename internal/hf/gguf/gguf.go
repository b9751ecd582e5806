// Package gguf reads models in the GGUF format, the form in which llama.cpp and the tools around it keep them.
//
// A file is a header, a list of typed values by name (the model's shape, its tokenizer, its chat template), a list of tensors, and the
// tensors' data, mostly in blocks of a few bits a weight. Parse checks all of it without copying: values and data stay windows on the
// file, every count is compared with the bytes that are left before anything is allocated, and what is malformed is refused by name.
// Float32 gives a tensor's values, the same bits as the gguf package of the format's authors; Tokenizer writes the vocabulary as a
// tokenizer.json. What a model's values mean is not this package's business: package checkpoint makes a model of them.
//
// Source: the format's specification, ggml's docs/gguf.md, versions 2 and 3.
package gguf

import (
	"fmt"
	"slices"
)

// A File is a parsed GGUF file. It is safe for concurrent reading.
type File struct {
	Version int
	// Tensors are in the order of the file's list.
	Tensors []Tensor

	values map[string]value
}

// A Tensor is a named array in one of the format's types.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int // outermost first, as PyTorch has it; the file lists them the other way round
	Data  []byte
}

// Len returns the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// A FormatError says where and why a file is not GGUF.
type FormatError struct {
	Offset int64 // byte offset in the file; -1 where it is the file as a whole
	Reason string
}

// Error implements error.
func (e *FormatError) Error() string {
	if e.Offset < 0 {
		return "reading GGUF: " + e.Reason
	}
	return fmt.Sprintf("reading GGUF: byte %d: %s", e.Offset, e.Reason)
}

// Names returns the names of the values, sorted.
func (f *File) Names() []string {
	names := make([]string, 0, len(f.values))
	for name := range f.values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Has reports whether there is a value of that name.
func (f *File) Has(name string) bool {
	_, ok := f.values[name]
	return ok
}

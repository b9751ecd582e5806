package experiment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// YAML's versions differ in what they make of some plain words and numbers. A file that two readers read differently is refused:
// its digest would name two experiments.

// oddNumber says why a number is written in a way that readers of YAML differ about, or nothing.
func oddNumber(s string) string {
	digits := strings.TrimLeft(s, "+-")
	switch {
	case strings.Contains(s, "_"):
		return "readers of YAML differ about numbers with underscores: write " + strings.ReplaceAll(s, "_", "")
	case len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9':
		return "to some readers of YAML a number that begins with 0 is octal: write " + s[:len(s)-len(digits)] + cmp.Or(strings.TrimLeft(digits, "0"), "0")
	case len(digits) > 1 && digits[0] == '0' && strings.ContainsRune("xXoObB", rune(digits[1])):
		return "write it in decimal digits"
	}
	return ""
}

// truths are the plain words that some reader of YAML takes for true, false or nothing.
var truths = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"}

// oddWord says why a plain text or name is none to every reader of YAML, or nothing.
func oddWord(n *yaml.Node) string {
	if n.Style != 0 || !slices.Contains(truths, strings.ToLower(n.Value)) {
		return ""
	}
	return fmt.Sprintf("some readers of YAML take %s for true, false or nothing: put it in quotes, or call it something else", n.Value)
}

// most is what a number of the file may be at the most, by its field: far beyond what makes sense, and near enough that counts of
// tokens, bytes and seconds are numbers.
var most = map[string]struct {
	n   float64
	why string
}{
	"steps":             {10_000_000, "the longest training of this field has a tenth of them"},
	"batch":             {65_536, "a batch is held in memory"},
	"pack":              {1_048_576, "a packed sequence is held in memory"},
	"prompts":           {100_000_000, "prompts are held in memory"},
	"at_least":          {100_000_000, "prompts are held in memory"},
	"near_misses":       {1_000_000, "prompts are held in memory"},
	"checkpoint":        {10_000_000, "it is a step"},
	"rank":              {65_536, "no matrix has a higher rank"},
	"layers":            {1_000, "no model has as many"},
	"width":             {262_144, "no model is as wide"},
	"heads":             {4_096, "no model has as many"},
	"kv_heads":          {4_096, "no model has as many"},
	"ffn":               {2_097_152, "no model is as wide"},
	"vocab":             {4_194_304, "no model has as many tokens"},
	"context":           {16_777_216, "no model reads as far"},
	"max_tokens":        {1_048_576, "no model answers at such length"},
	"items":             {10_000_000, "no suite has as many"},
	"shots":             {1_000, "no context holds as many examples"},
	"min":               {10_000, "no context holds as many copies"},
	"max":               {10_000, "no context holds as many copies"},
	"copies_min":        {10_000, "no context holds as many copies"},
	"copies_max":        {10_000, "no context holds as many copies"},
	"max_chars":         {1_000_000_000, "no row is as long"},
	"precond_frequency": {10_000_000, "it is a number of steps"},
	"max_precond_dim":   {4_194_304, "no matrix is as large"},
	"lr":                {1_000, "no update of such size keeps a number of the weights"},
	"group":             {65_536, "the answers of a group are held in memory"},
	"kl":                {1_000, "the reward would be drowned by it long before"},
	"attacks":           {65_536, "the attacks of a round are held in memory"},
	"rounds":            {1_000, "an attack that long finds nothing new"},
	"epsilon":           {100, "the perturbation drowns what it is added to long before"},
	"pgd_steps":         {10_000, "an adversary that long finds nothing new"},
	"consistency":       {1_000, "the answers' loss is drowned by it long before"},
	"beta":              {100, "the model cannot move at all long before"},
	"sft":               {1_000, "the preference is drowned by it long before"},
	"top":               {4_194_304, "no model has as many tokens"},
	"leak":              {1_000_000, "continuations are held in memory"},
	"amount":            {64, "no operation on weights goes further"},
	"alpha":             {1_000_000, "the update is scaled by it"},
	"clip_norm":         {1_000_000_000_000, "0 never clips"},
	"weight_decay":      {1_000, "it would take the weights away in a step"},
	"temperature":       {1_000, "every token is as likely as any other long before"},
}

// tooMuch says why a number is beyond what its field may be, or nothing. Shares and seeds have bounds of their own.
func tooMuch(path string, x float64) string {
	field := path[strings.LastIndexByte(path, '.')+1:]
	if m, ok := most[field]; ok && x > m.n {
		return fmt.Sprintf("want at most %.0f: %s", m.n, m.why)
	}
	return ""
}

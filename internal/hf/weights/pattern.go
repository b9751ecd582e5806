package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// A pattern gives the modules whose names it matches a rank or an alpha of their own.
type pattern struct {
	match *regexp.Regexp
	value float64
}

// maxPatterns bounds the patterns of a file, each of which is tried on every module.
const maxPatterns = 1000

// parsePatterns reads PEFT's rank_pattern or alpha_pattern: regular expressions over the ends of modules' names, in the order of the
// file, of which the first that matches counts.
func parsePatterns(field string, raw json.RawMessage) ([]pattern, error) {
	if vacant(raw) {
		return nil, nil
	}
	wrong := fmt.Errorf("%s: %s is not an object of names and numbers", AdapterConfigFile, field)
	d := json.NewDecoder(bytes.NewReader(raw)) // by tokens, for the order
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, wrong
	}
	var out []pattern
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, wrong
		}
		name, ok := key.(string)
		value, err := d.Token()
		v, isNumber := value.(float64)
		switch {
		case err != nil || !ok || !isNumber:
			return nil, wrong
		case !(v > 0) || v > 1<<20:
			return nil, fmt.Errorf("%s: %s gives %s %v", AdapterConfigFile, field, quote(name), v)
		case len(out) == maxPatterns:
			return nil, fmt.Errorf("%s: %s has more than %d entries", AdapterConfigFile, field, maxPatterns)
		case len(name) > 1000:
			return nil, fmt.Errorf("%s: %s: the name %s is too long", AdapterConfigFile, field, quote(name))
		}
		match, err := regexp.Compile(`^(?:.*\.)?(?:` + name + `)$`)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %s is not a regular expression that is read", AdapterConfigFile, field, quote(name))
		}
		out = append(out, pattern{match, v})
	}
	return out, nil
}

// find returns the value of the first pattern that a module's name matches.
func find(patterns []pattern, module string, otherwise float64) float64 {
	for _, p := range patterns {
		if p.match.MatchString(module) {
			return p.value
		}
	}
	return otherwise
}

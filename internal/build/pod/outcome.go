package pod

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/openfunction/ofn/internal/build"
)

// MaxOutcome is the size of an outcome at most, in bytes. A container may leave 4096, of which Tekton wants some for itself and
// writes every quotation mark as two characters.
const MaxOutcome = 2800

// ReasonError is the reason of an outcome when the platform, not the user, must mend something.
const ReasonError = "BuildError"

// Outcome is what the program leaves when it ends.
type Outcome struct {
	Result build.Result `json:"result,omitzero"`
	// Reason and Message of a build that failed; Reason is empty for one that succeeded.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// Encode is the outcome in MaxOutcome bytes. Of what does not fit, the functions go first, then the middle of the message.
func (o Outcome) Encode() ([]byte, error) {
	o.Message = strings.ToValidUTF8(o.Message, "?")
	for {
		data, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("encoding the outcome of a build: %w", err)
		}
		over := len(data) - MaxOutcome
		switch {
		case over <= 0:
			return data, nil
		case o.Result.Functions != nil:
			o.Result.Functions = nil
		case len(o.Message) > 0:
			o.Message = shorten(o.Message, len(o.Message)-max(over/6, 16)) // a byte takes up to six in JSON
		default:
			return nil, fmt.Errorf("the outcome of a build takes %d bytes", len(data))
		}
	}
}

const gap = "\n[...]\n"

// shorten leaves out the middle: the beginning says where, the end what to do.
func shorten(s string, size int) string {
	half := (size - len(gap)) / 2
	if half <= 0 {
		return ""
	}
	head, tail := s[:half], s[len(s)-half:]
	for !utf8.ValidString(head) {
		head = head[:len(head)-1]
	}
	for !utf8.ValidString(tail) {
		tail = tail[1:]
	}
	return head + gap + tail
}

// ParseOutcome reads what a program left. It is false for anything else, such as the end of a log.
func ParseOutcome(text string) (Outcome, bool) {
	var o Outcome
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return o, false
	}
	return o, o.Reason != "" || o.Result.Digest != ""
}

// Progress is how a build of this outcome stands.
func (o Outcome) Progress() build.Progress {
	switch o.Reason {
	case "":
		return build.Progress{Stage: build.Succeeded, Reason: "Succeeded", Result: o.Result}
	case build.ReasonTimeout:
		return build.Progress{Stage: build.TimedOut, Reason: "BuildTimeout", Message: o.Message}
	default:
		return build.Progress{Stage: build.Failed, Reason: o.Reason, Message: o.Message}
	}
}

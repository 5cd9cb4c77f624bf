// Package shout answers requests and events alike and sends what it did to an output.
package shout

import (
	"bytes"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
)

// Shout returns its input in capitals. It is called with the body of a request, the data of a CloudEvent, or the payload of
// a Dapr event, and fails (500, or redelivery by the broker) when the output cannot be reached.
func Shout(ctx ofctx.Context, in []byte) (ofctx.Out, error) {
	out := bytes.ToUpper(in)
	if _, err := ctx.Send("audit", out); err != nil {
		return ctx.ReturnOnInternalError(), err
	}
	return ctx.ReturnOnSuccess().WithData(out), nil
}

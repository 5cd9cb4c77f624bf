package context

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sender is what Send needs of a Dapr runtime. It must be safe for use by several goroutines at once.
type Sender interface {
	// InvokeBinding asks an output binding for an operation and returns its answer.
	InvokeBinding(ctx context.Context, name, operation string, data []byte, metadata map[string]string) ([]byte, error)
	// Publish returns when the broker has taken the message.
	Publish(ctx context.Context, pubsub, topic string, data []byte, metadata map[string]string) error
}

// ErrNoSender means that the process was built or started without a Dapr runtime to send through.
var ErrNoSender = errors.New("no Dapr runtime is attached to this function")

// WithSender returns a copy of ctx that sends through s.
func (ctx *FunctionContext) WithSender(s Sender) *FunctionContext {
	c := *ctx
	c.sender = s
	return &c
}

// Send sends data to the named output and returns the answer of a binding, nil for a topic. It is bounded by the native context of
// the call. With TEST_MODE=on it succeeds without sending.
func (ctx *FunctionContext) Send(outputName string, data []byte) ([]byte, error) {
	output, ok := ctx.Outputs[outputName]
	if !ok {
		return nil, fmt.Errorf("output %q is not declared; the function's outputs are: %s", outputName,
			strings.Join(slices.Sorted(maps.Keys(ctx.Outputs)), ", "))
	}
	if ctx.testing {
		return nil, nil
	}
	if ctx.sender == nil {
		return nil, fmt.Errorf("sending to output %q: %w", outputName, ErrNoSender)
	}
	answer, err := ctx.deliver(output, ctx.payload(output, data))
	if err != nil {
		return nil, fmt.Errorf("sending to output %q: %w", outputName, err)
	}
	return answer, nil
}

func (ctx *FunctionContext) deliver(o *Output, payload []byte) ([]byte, error) {
	native := ctx.GetNativeContext()
	if o.GetType() == OpenFuncBinding {
		return ctx.sender.InvokeBinding(native, o.ComponentName, o.Operation, payload, o.Metadata)
	}
	if o.Uri == "" {
		return nil, fmt.Errorf("component %q is a pubsub component but no topic is given for it", o.ComponentName)
	}
	return nil, ctx.sender.Publish(native, o.ComponentName, o.Uri, payload, o.Metadata)
}

// payload puts data into the tracing envelope where one is expected.
func (ctx *FunctionContext) payload(o *Output, data []byte) []byte {
	if !IsTracingProviderSkyWalking(ctx) || !traceable(o.ComponentType) || ctx.rawData {
		return data
	}
	e := newInnerEvent(ctx)
	e.MergeMetadata(ctx.GetInnerEvent())
	e.SetUserData(data)
	return e.GetCloudEventJSON()
}

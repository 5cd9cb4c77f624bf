// Package functions declares functions: an init function of the user's package names each, and the framework serves all of them.
//
//	func init() {
//		functions.HTTP("Hello", hello, functions.WithFunctionPath("/hello/{name}"), functions.WithFunctionMethods("GET"))
//	}
//
// A name begins with a letter, has letters, digits, - and _, and is at most 63 bytes long. Names and paths are unique in a process; what
// is wrong with a declaration is reported when the framework starts.
package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/cloudevents/sdk-go/v2/event"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
)

// FunctionOption changes how a function is served.
type FunctionOption = registry.Option

// WithFunctionPath serves the function at a path, which may have variables: /hello/{name}, /{id:[0-9]+}. Without it the path is /.
func WithFunctionPath(path string) FunctionOption { return registry.WithPath(path) }

// WithFunctionMethods restricts an HTTP or OpenFunction function to methods, such as GET. Others are answered with 405.
func WithFunctionMethods(methods ...string) FunctionOption { return registry.WithMethods(methods...) }

// HTTP declares a function that answers HTTP requests itself.
func HTTP(name string, fn func(http.ResponseWriter, *http.Request), options ...FunctionOption) {
	registry.Declared().Add(name, fn, options...)
}

// CloudEvent declares a function that takes CloudEvents over HTTP. It may return a result of the CloudEvents SDK to choose the HTTP status.
func CloudEvent(name string, fn func(context.Context, event.Event) error, options ...FunctionOption) {
	registry.Declared().Add(name, fn, options...)
}

// CloudEventReply declares a function that takes CloudEvents over HTTP and may answer each with another; nil is no answer. What is returned
// without an id, source or type gets a random id, the name of the function, or the type of the event that was handled.
func CloudEventReply(name string, fn func(context.Context, event.Event) (*event.Event, error), options ...FunctionOption) {
	registry.Declared().Add(name, fn, options...)
}

// Typed declares a function that takes and returns JSON. What JSON shows as null is answered with 204 and no body.
func Typed[In, Out any](name string, fn func(context.Context, In) (Out, error), options ...FunctionOption) {
	registry.Declared().Add(name, typed(fn), options...)
}

func typed[In, Out any](fn func(context.Context, In) (Out, error)) registry.Typed {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context, data []byte) ([]byte, error) {
		var in In
		if err := json.Unmarshal(data, &in); err != nil {
			return nil, &registry.InputError{Err: err}
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(out); err != nil {
			return nil, fmt.Errorf("writing the result as JSON: %w", err)
		}
		if answer := bytes.TrimSuffix(text.Bytes(), []byte("\n")); string(answer) != "null" {
			return answer, nil
		}
		return nil, nil
	}
}

// OpenFunction declares a function that takes HTTP requests and Dapr events alike.
func OpenFunction(name string, fn func(ofctx.Context, []byte) (ofctx.Out, error), options ...FunctionOption) {
	registry.Declared().Add(name, fn, options...)
}

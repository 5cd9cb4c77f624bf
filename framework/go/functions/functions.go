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
	"context"
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

// OpenFunction declares a function that takes HTTP requests and Dapr events alike.
func OpenFunction(name string, fn func(ofctx.Context, []byte) (ofctx.Out, error), options ...FunctionOption) {
	registry.Declared().Add(name, fn, options...)
}

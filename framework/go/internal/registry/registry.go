// Package registry keeps the functions of a process: what each is, where it is served and which methods it takes.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/cloudevents/sdk-go/v2/event"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
)

var validName = regexp.MustCompile(`^[A-Za-z](?:[-_A-Za-z0-9]{0,61}[A-Za-z0-9])?$`)

// DefaultPath is where a function is served that names no path.
const DefaultPath = "/"

// Typed takes the JSON of a request and returns that of the answer, nil for none. What it returns for JSON that it cannot take
// wraps an *InputError.
type Typed func(context.Context, []byte) ([]byte, error)

// InputError says that a typed function cannot take the JSON of a request.
type InputError struct{ Err error }

func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *InputError) Unwrap() error { return e.Err }

// Function is one registered function; exactly one of HTTP, CloudEvent, OpenFunction and Typed is set.
type Function struct {
	Name string
	// Path is a pattern such as /hello/{name} or /{id:[0-9]+}.
	Path string
	// Methods are the HTTP methods it takes, all when empty.
	Methods []string

	HTTP         func(http.ResponseWriter, *http.Request)
	CloudEvent   func(context.Context, event.Event) (*event.Event, error)
	OpenFunction func(ofctx.Context, []byte) (ofctx.Out, error)
	Typed        Typed
}

// Option changes a function that is being registered.
type Option func(*Function) error

// WithPath serves the function at a path pattern.
func WithPath(path string) Option {
	return func(f *Function) error {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("path %q does not begin with /", path)
		}
		f.Path = path
		return nil
	}
}

// WithMethods restricts the function to HTTP methods.
func WithMethods(methods ...string) Option {
	return func(f *Function) error {
		for _, m := range methods {
			if m == "" || m != strings.ToUpper(m) {
				return fmt.Errorf("method %q is not an upper-case HTTP method", m)
			}
		}
		f.Methods = methods
		return nil
	}
}

// New makes a function of fn, which must have one of the signatures.
func New(name string, fn any, options ...Option) (*Function, error) {
	f := &Function{Name: name, Path: DefaultPath}
	if !f.set(fn) {
		return nil, fmt.Errorf("function %q has the signature %T; it must be func(http.ResponseWriter, *http.Request), "+
			"func(context.Context, cloudevents.Event) error or func(ofctx.Context, []byte) (ofctx.Out, error)", name, fn)
	}
	if f.HTTP == nil && f.CloudEvent == nil && f.OpenFunction == nil && f.Typed == nil {
		return nil, fmt.Errorf("function %q is nil", name)
	}
	for _, o := range options {
		if err := o(f); err != nil {
			return nil, fmt.Errorf("function %q: %w", name, err)
		}
	}
	if f.CloudEvent != nil && len(f.Methods) > 0 {
		return nil, fmt.Errorf("function %q: CloudEvent functions take no methods", name)
	}
	return f, nil
}

// set takes fn and tells whether its signature is known.
func (f *Function) set(fn any) bool {
	switch fn := fn.(type) {
	case func(http.ResponseWriter, *http.Request):
		f.HTTP = fn
	case http.HandlerFunc:
		f.HTTP = fn
	case func(context.Context, event.Event) error:
		if fn != nil {
			f.CloudEvent = func(ctx context.Context, e event.Event) (*event.Event, error) { return nil, fn(ctx, e) }
		}
	case func(context.Context, event.Event) (*event.Event, error):
		f.CloudEvent = fn
	case func(ofctx.Context, []byte) (ofctx.Out, error):
		f.OpenFunction = fn
	case Typed:
		f.Typed = fn
	default:
		return false
	}
	return true
}

// Registry is a set of functions with names and paths of their own. The zero value is empty and ready for use.
type Registry struct {
	mu        sync.Mutex
	functions []*Function
	errs      []error
}

// Add registers a function. What is wrong with it is told by All, since it is called from init functions, which cannot fail well.
func (r *Registry) Add(name string, fn any, options ...Option) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := New(name, fn, options...)
	if err == nil {
		err = r.check(f)
	}
	if err != nil {
		r.errs = append(r.errs, err)
		return
	}
	r.functions = append(r.functions, f)
}

func (r *Registry) check(f *Function) error {
	if !validName.MatchString(f.Name) {
		return fmt.Errorf("function name %q is not valid: it must match %s", f.Name, validName)
	}
	for _, other := range r.functions {
		switch {
		case other.Name == f.Name:
			return fmt.Errorf("function name %q is registered twice", f.Name)
		case other.Path == f.Path:
			return fmt.Errorf("functions %q and %q are both registered at path %s; give one of them another with WithFunctionPath",
				other.Name, f.Name, f.Path)
		}
	}
	return nil
}

// All returns the functions in the order of registration, or what was wrong with any of them.
func (r *Registry) All() ([]*Function, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.functions), errors.Join(r.errs...)
}

// declared is filled by the init functions of user packages; there is no other way for them to be found.
var declared Registry

// Declared returns the functions that the packages of this process declared.
func Declared() *Registry { return &declared }

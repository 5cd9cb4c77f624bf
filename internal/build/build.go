// Package build says what a build is: source in, image out. The strategies are siblings (native, dockerfile, buildpacks,
// shipwright) that never import one another; buildtest is the suite all must pass.
package build

import (
	"context"
	"io"
	"time"
)

// Request is one build, complete: nothing in it must be looked up in a cluster.
type Request struct {
	// ID names the build, unique on this machine ("namespace/builder").
	ID       string
	Function string
	Source   Source
	Output   Output
	// Builder is the builder image or native builder the user named, e.g. "openfunction/builder-go:latest" or "native". Empty lets the strategy detect.
	Builder    string
	Dockerfile string
	// Target is what the image must run on: "" is a process of this machine's kind, TargetWasm a WebAssembly runtime.
	Target  string
	Env     map[string]string
	Params  map[string]Param
	Timeout time.Duration // 0 is the platform's default
	// BuilderAuth pulls the builder image, where the strategy has one.
	BuilderAuth Auth
	// Dependencies is how private dependencies are downloaded.
	Dependencies Dependencies
}

// TargetWasm asks for a WebAssembly module.
const TargetWasm = "wasm"

// Param is one strategy parameter: a value or a list of values.
type Param struct {
	Value  string
	Values []string
}

// Source is where the code comes from: exactly one of Git URL and Bundle is set.
type Source struct {
	URL      string // git
	Revision string // branch, tag or commit; empty is the default branch
	Bundle   string // image reference of a source bundle; wins over URL
	SubPath  string
	Auth     Auth
}

// Auth is what a secret said: all empty is anonymous.
type Auth struct {
	Username, Password string // https basic, or registry
	Token              string
	SSHKey             []byte // PEM
	KnownHosts         []byte // empty accepts the first key seen
}

// Output is where the image goes.
type Output struct {
	Image string // reference as the user wrote it
	Auth  Auth
	// Local keeps the image in the embedded registry under its full name instead of pushing it to the registry it names.
	Local bool
}

// Result is a finished build.
type Result struct {
	Digest  string // sha256:…
	Size    int64  // bytes, compressed
	Sources []SourceResult
	// Functions are those of the application, as far as the build could know them.
	Functions []Function
}

// Function is one that an image serves.
type Function struct {
	Name      string   `json:"name"`
	Signature string   `json:"signature"`         // http, cloudevent, openfunction, typed
	Path      string   `json:"path,omitempty"`    // where it is served; empty is everywhere
	Methods   []string `json:"methods,omitempty"` // none is all
}

// FunctionsLabel on an image is the JSON list of its functions.
const FunctionsLabel = "io.openfunction.functions"

// SourceResult says what exactly was built.
type SourceResult struct {
	Name         string // "default"
	CommitSHA    string
	CommitAuthor string
	BranchName   string
	BundleDigest string
}

// ReasonTimeout is the Reason of a Failure that says that Request.Timeout, or the platform's default, has elapsed.
const ReasonTimeout = "Timeout"

// Failure is an error whose cause is the user's: its text is shown to the user as it is. Every other error is the platform's.
type Failure struct {
	Reason  string // CamelCase, e.g. CompileFailed, SourceNotFound, SignatureMismatch, OutOfMemory, DiskFull
	Message string // what was wrong, where (the user's own file and line), what to do
}

// Error is the message.
func (f *Failure) Error() string { return f.Message }

// Strategy turns source into an image.
type Strategy interface {
	// Build runs to the end, or until ctx ends, writing its progress to log as it comes. Called again with the ID of an
	// interrupted build it takes it up or starts anew, and leaves no trace of the first attempt.
	// It returns a *Failure when the user must change something.
	Build(ctx context.Context, r Request, log io.Writer) (Result, error)
}

// HeadResolver tells what a source is now, so that a new commit triggers a rebuild.
type HeadResolver interface {
	// Head returns the commit (git) or digest (bundle) the source names at this moment, without fetching its content.
	Head(ctx context.Context, s Source) (string, error)
}

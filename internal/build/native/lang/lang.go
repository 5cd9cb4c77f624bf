// Package lang is the seam between the native builder and the languages it builds: what a language is given, what it makes, and
// the small tools that all of them need. Languages are siblings that never import one another.
package lang

import (
	"context"
	"fmt"
	"io"

	"github.com/openfunction/ofn/internal/build"
)

// Language makes programs of sources of one programming language.
type Language interface {
	// Detect tells whether the source is of this language, by the names of its files. The first language that says so builds it.
	Detect(t *Tree, e Env) bool
	// Identity is everything of this machine that makes a result what it is: the versions of tools and framework. A tool that is missing
	// is a *build.Failure that names it and the package that has it. It is asked before every build and must be quick.
	Identity(ctx context.Context) (string, error)
	// Compile makes a program. What the user must change is a *build.Failure.
	Compile(ctx context.Context, j *Job) (Program, error)
}

// Entry is a language as the builder knows it.
type Entry struct {
	Name     string   // as people call it: "Go"
	Runtimes []string // what FUNC_RUNTIME and the end of a builder image's name may say: "go"
	Language Language
}

// Job is one build on its way through a language.
type Job struct {
	Request build.Request
	Env     Env
	Tree    *Tree
	// Work is a directory of this build alone, which is removed at its end.
	Work string
	Log  io.Writer
	// Replaced is filled while compiling: files of the source that were changed in the work directory, with what they held.
	Replaced map[string][]byte

	guarded []string
}

// Program is what a language makes of a source. It lies over the builder's base: names of users, certificates, time zones, /tmp.
type Program struct {
	// Shared layers are of files that outlive this build and change their name, size or time when they change: interpreter, framework,
	// dependencies kept by their lock file. Lowest first; equal ones are stored once, and not made again by the next build.
	Shared []build.Layer
	// Layers are of this function alone, lowest first, between the shared ones and its source. Their files may be in the work directory.
	Layers []build.Layer
	// Above lies over the source: what was generated into it.
	Above []build.Layer
	// SourceNeeded keeps the source in the image even where FUNC_CLEAR_SOURCE asks to leave it out, because it is the program.
	SourceNeeded bool
	Entrypoint   []string // absolute paths in the image
	Env          []string // "KEY=value"
	Dir          string   // where it runs; empty is SourceDir
	Labels       map[string]string
	// Functions are those that the program serves, when the build knows all of them. They become build.FunctionsLabel and what
	// `ofn describe` shows.
	Functions []build.Function
	ListenFD  bool // takes its listening socket as file descriptor 3, in the manner of systemd
	// Bare leaves base and source out, and Platform ("wasip1/wasm") is what the image is for; empty is the builder's own.
	Bare     bool
	Platform string
	// Local is how the program runs where it was built, for Tools.Local. Nil is right for a language whose entrypoint is a file of Layers, Above
	// or the source: then that file is started, with every word of the entrypoint that begins with /app/ or /workspace/ led to where they lie.
	Local *Local
}

// Local is a program that runs where it was built, as the developer: `ofn dev`. Layers, the source where it is needed, and Above are laid out
// in a directory for each version; build.LocalRoot in the text below is that directory. Shared layers are not: what they hold is on this machine.
type Local struct {
	// Args is the program with the machine's own interpreter: {"/usr/bin/node", "{root}/node_modules/x/cli.js"}.
	Args []string
	// Env is what it must know, "KEY=value", such as "FUNCTION_SOURCE={root}/workspace/index.js".
	Env []string
	Dir string // where it runs; empty is the developer's own directory
	// Links are directories of this machine that outlive the build, by where they would be in the image: "workspace/node_modules".
	Links map[string]string
}

// Where things are in an image.
const (
	AppDir    = "app"       // programs and framework
	SourceDir = "workspace" // the user's source
)

// Failure is an error whose cause is the user's.
func Failure(reason, format string, args ...any) *build.Failure {
	return &build.Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// InvalidEnv is a Failure about a variable of the build's environment.
func InvalidEnv(format string, args ...any) *build.Failure {
	return Failure("EnvInvalid", "build.env: "+format, args...)
}

// ToolMissing says what to install before sources of a language can be built.
func ToolMissing(language, tool, packages string) *build.Failure {
	return Failure("ToolMissing", "building %s needs %s, which this machine does not have: install %s", language, tool, packages)
}

// At says where in a source something is, for messages.
func At(sub string) string {
	if sub == "." {
		return ""
	}
	return " in " + sub
}

// Package java hands out the source of the Java functions framework, dev.openfunction.functions, so that a builder can compile it with the
// machine's own compiler. It has no dependencies: no jar is downloaded for it, and none can clash with a function's own.
package java

import (
	"embed"

	"github.com/openfunction/ofn/framework/embedded"
)

// The coordinates under which functions name the framework's interfaces in their build files.
const (
	Group    = "dev.openfunction.functions"
	Artifact = "functions-framework-api"
	// Main is the class that serves functions, Inspect the one that finds them in classes, Training the one that starts for an archive of classes,
	// Launch the one that starts complete servers.
	Main     = "dev.openfunction.invoker.Main"
	Inspect  = "dev.openfunction.invoker.Inspect"
	Training = "dev.openfunction.invoker.Training"
	Launch   = "dev.openfunction.invoker.Launch"
)

//go:embed src cloudevents stubs
var source embed.FS

// Source is the text of Java files by slash-separated path below a source root.
type Source map[string][]byte

// Framework is the interfaces of functions and what serves them.
func Framework() Source { return embedded.Files(source, "src") }

// CloudEvents is the interfaces of CloudEvents, for functions that do not bring io.cloudevents:cloudevents-api: it comes last in a class path.
func CloudEvents() Source { return embedded.Files(source, "cloudevents") }

// Stubs stand for classes that the framework names but does not need, while it is compiled.
func Stubs() Source { return embedded.Files(source, "stubs") }

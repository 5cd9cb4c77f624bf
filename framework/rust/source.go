// Package rust hands out the source of the Rust functions framework, the crate ofn-functions, so that a builder can compile functions
// against it. Its lock file comes with it, so that a function without one of its own is built with known versions.
package rust

import (
	"embed"

	"github.com/openfunction/ofn/framework/embedded"
)

// Name is the name of the crate, under which functions require it.
const Name = "ofn-functions"

//go:embed Cargo.toml Cargo.lock src
var source embed.FS

// Files returns the text of the crate by slash-separated path.
func Files() map[string][]byte { return embedded.Files(source, ".") }

// Package rust hands out the source of the Rust functions framework, the crate ofn-functions, so that a builder can compile functions
// against it. Its lock file comes with it, so that a function without one of its own is built with known versions.
package rust

import (
	"embed"
	"io/fs"
)

// Name is the name of the crate, under which functions require it.
const Name = "ofn-functions"

//go:embed Cargo.toml Cargo.lock src
var source embed.FS

// Files returns the text of the crate by slash-separated path.
func Files() map[string][]byte {
	files := map[string][]byte{}
	// The file system is compiled in, so reading it cannot fail.
	_ = fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[name], err = source.ReadFile(name)
		}
		return err
	})
	return files
}

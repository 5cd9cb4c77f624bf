// Package functionsframework hands out the source of this module, so that a builder can compile functions against it without a
// network: write the files to a directory and point a replace directive of the function's go.mod at it.
//
// The framework itself is in the packages below: functions (declare functions), framework (run them), context (what a function
// sees), plugin (hooks), and host (plain HTTP functions with the standard library alone).
package functionsframework

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ModulePath is the path of this module, the one to require and replace.
const ModulePath = "github.com/OpenFunction/functions-framework-go"

//go:embed go.mod go.sum *.go context framework functions host internal plugin runtime serve
var source embed.FS

// Files is source text by slash-separated path inside the module.
type Files map[string][]byte

// Full returns the source of the whole module, tests left out. A function that uses it needs the requirements of go.mod and the sums
// of go.sum in its own.
func Full() Files { return collect(".") }

// Lean returns a module of the same path that holds only package host and requires nothing: a plain HTTP function built against it
// needs no go.sum, no network, and keeps every version its own go.mod names.
func Lean() Files {
	f := collect("host")
	f["go.mod"] = []byte("module " + ModulePath + "\n\ngo 1.24\n")
	return f
}

// WriteTo writes the files below dir, which it makes when it does not exist. Existing files are overwritten.
func (f Files) WriteTo(dir string) error {
	for name, text := range f {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("writing the framework's source: %w", err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("writing the framework's source: %w", err)
		}
	}
	return nil
}

// collect reads what lies below root. The file system is compiled in, so reading it cannot fail.
func collect(root string) Files {
	f := Files{}
	_ = fs.WalkDir(source, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "/testdata/") {
			return err
		}
		f[name], err = source.ReadFile(name)
		return err
	})
	return f
}

// Package pythonframework hands out the source of the Python functions framework, so that a builder can put it into images: the package
// functions_framework, and the pinned requirements of its server.
package pythonframework

import (
	"embed"
	"io/fs"
)

// Version is the version of the framework, as functions see it in functions_framework.__version__.
const Version = "1.0.0"

//go:embed requirements.txt
var requirements []byte

//go:embed functions_framework/*.py functions_framework/_server/*.py functions_framework/context/*.py functions_framework/openfunction/*.py
var source embed.FS

// Files is source text by slash-separated path, beginning with functions_framework/.
type Files map[string][]byte

// Source returns the package functions_framework.
func Source() Files {
	f := Files{}
	// The file system is compiled in, so reading it cannot fail.
	_ = fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f[name], err = source.ReadFile(name)
		return err
	})
	return f
}

// Requirements returns the requirements.txt of the framework's server: versions with the digests of all their files, as
// `pip install --require-hashes` wants them.
func Requirements() []byte { return requirements }

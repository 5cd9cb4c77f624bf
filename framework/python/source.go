// Package pythonframework hands out the source of the Python functions framework, so that a builder can put it into images: the package
// functions_framework, and the pinned requirements of its server.
package pythonframework

import (
	"embed"

	"github.com/openfunction/ofn/framework/embedded"
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
	return embedded.Files(source, ".")
}

// Requirements returns the requirements.txt of the framework's server: versions with the digests of all their files, as
// `pip install --require-hashes` wants them.
func Requirements() []byte { return requirements }

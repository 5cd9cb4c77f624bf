// Package nodejs hands out the files of the Node.js functions framework, the package @openfunction/functions-framework, so that a builder
// can lay it into images. It has no dependencies: the files are all it needs.
package nodejs

import (
	"embed"

	"github.com/openfunction/ofn/framework/embedded"
)

// Name is the name of the package, under which functions import it.
const Name = "@openfunction/functions-framework"

//go:embed package.json *.js *.d.ts src
var source embed.FS

// Files returns the text of the package by slash-separated path.
func Files() map[string][]byte { return embedded.Files(source, ".") }

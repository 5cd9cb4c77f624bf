//go:build !wasip1

package wasmfn

import (
	"embed"
	"io/fs"
	"strings"
)

// ModulePath is the path of this module.
const ModulePath = "github.com/openfunction/ofn/framework/wasm/go"

//go:embed *.go abi/*.go go.mod
var source embed.FS

// Source is the text of this module by slash-separated path, for builders.
func Source() map[string][]byte {
	files := map[string][]byte{}
	// The file system is compiled in, so reading it cannot fail.
	_ = fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(name, "_test.go") {
			files[name], err = source.ReadFile(name)
		}
		return err
	})
	return files
}

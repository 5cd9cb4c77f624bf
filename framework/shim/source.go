// Package shim hands out the source of ofn-shim, the small static program that stands before programs of other platforms inside an instance
// and speaks their contracts: the watchdog of OpenFaaS, the runtime API of AWS Lambda, and CGI. A builder compiles it once and lays it
// into images; it needs the standard library alone.
//
// The program is in ofn-shim, what all contracts share in host, one process for each call in fork, and the contracts in watchdog,
// lambda and cgi.
package shim

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

// ModulePath is the path of the module that Source makes; Command is the package to build in it.
const (
	ModulePath = "github.com/openfunction/ofn/framework/shim"
	Command    = "./ofn-shim"
)

//go:embed ofn-shim host fork watchdog cgi lambda
var source embed.FS

// Source is a module that requires nothing: text by slash-separated path.
func Source() (map[string][]byte, error) {
	files := map[string][]byte{"go.mod": []byte("module " + ModulePath + "\n\ngo 1.24\n")}
	err := fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		files[name], err = source.ReadFile(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the source of the shim: %w", err)
	}
	return files, nil
}

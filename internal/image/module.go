package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	// moduleFile is where the module of a WebAssembly artifact appears in its root filesystem.
	moduleFile = "module.wasm"
	// mostModule bounds a module, in bytes, where the limits say nothing.
	mostModule = 1 << 30
)

// isModule is whether a manifest is that of a WebAssembly artifact: its one layer is the module itself. The CNCF's working group
// on Wasm describes them; an older form differs in the names of the media types only.
func isModule(m *v1.Manifest) bool {
	if len(m.Layers) != 1 {
		return false
	}
	switch m.Layers[0].MediaType {
	case "application/wasm", "application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm":
		return true
	}
	return false
}

// forWasm is whether an architecture is that of WebAssembly, as its many writers put it.
func forWasm(arch string) bool { return strings.HasPrefix(arch, "wasm") }

// writeModule puts a module where an image has its files. The registry's client checks the digest.
func writeModule(dir string, r io.Reader, most int64) (err error) {
	if most <= 0 {
		most = mostModule
	}
	f, err := os.OpenFile(filepath.Join(dir, moduleFile), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(f, io.LimitReader(r, most+1))
	if err == nil && n > most {
		return &Failure{Reason: InvalidImage, Message: fmt.Sprintf("the module is larger than %d bytes", most)}
	}
	return err
}

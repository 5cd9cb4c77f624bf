package wasm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/instance"
)

// Error is an error about a module that its user can do something about.
type Error struct {
	Why     string // CamelCase
	Message string
}

func (e *Error) Error() string { return e.Message }

// Reason is the CamelCase word for it.
func (e *Error) Reason() string { return e.Why }

// Reasons of an Error that are found before a module is compiled.
const (
	reasonNoModule = "NoModule"
	reasonTooLarge = "ModuleTooLarge"
)

// module is a module in an image.
type module struct {
	path   string // on the host
	digest string // hex
}

// modules remembers the digests of modules: layers never change.
type modules struct {
	most int64

	mu    sync.Mutex
	known map[string]module // by layers and name
}

// maxKnown bounds what is remembered.
const maxKnown = 4096

// find looks for the module that a process names as its program.
func (ms *modules) find(s instance.Spec) (module, error) {
	if len(s.Process.Args) == 0 || s.Process.Args[0] == "" {
		return module{}, &Error{reasonNoModule, "no module: neither the image nor the function names one as its command"}
	}
	name := strings.TrimPrefix(path.Clean(path.Join("/", s.Process.Dir, s.Process.Args[0])), "/")
	if path.IsAbs(s.Process.Args[0]) {
		name = path.Clean(s.Process.Args[0])[1:]
	}
	key := strings.Join(append(slices.Clone(s.Layers), name), "\x00")
	ms.mu.Lock()
	m, ok := ms.known[key]
	ms.mu.Unlock()
	if ok {
		return m, nil
	}
	m, err := ms.look(s.Layers, name)
	if err != nil {
		return m, err
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.known == nil || len(ms.known) >= maxKnown {
		ms.known = map[string]module{}
	}
	ms.known[key] = m
	return m, nil
}

// look goes through the layers from the top.
func (ms *modules) look(layers []string, name string) (module, error) {
	if name == "" {
		return module{}, &Error{reasonNoModule, "the command of the image is a directory and not a WebAssembly module"}
	}
	for _, dir := range slices.Backward(layers) {
		m, err := ms.digest(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return m, err
	}
	return module{}, &Error{reasonNoModule, fmt.Sprintf("the image has no file /%s, which its command says is the WebAssembly module", name)}
}

// digest reads a file of a layer, which no link leads out of.
func (ms *modules) digest(dir, name string) (module, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return module{}, fmt.Errorf("looking for the module: %w", err)
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return module{}, fmt.Errorf("looking for the module: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return module{}, fmt.Errorf("looking for the module: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return module{}, &Error{reasonNoModule, fmt.Sprintf("/%s in the image is no file and cannot be a WebAssembly module", name)}
	case info.Size() > ms.most:
		return module{}, &Error{reasonTooLarge, fmt.Sprintf("/%s in the image has %d bytes; a WebAssembly module may have %d", name, info.Size(), ms.most)}
	}
	var magic [4]byte
	n, _ := io.ReadFull(f, magic[:])
	if !bytes.Equal(magic[:n], []byte("\x00asm")) {
		return module{}, &Error{reasonNoModule, fmt.Sprintf("/%s in the image is not a WebAssembly module: it begins with %q. "+
			"The runtime class of the function wants a module; leave runtimeClassName empty for an ordinary program", name, magic[:n])}
	}
	sum := sha256.New()
	_, _ = sum.Write(magic[:])
	if _, err := io.Copy(sum, f); err != nil {
		return module{}, fmt.Errorf("reading the module: %w", err)
	}
	return module{path: filepath.Join(dir, name), digest: hex.EncodeToString(sum.Sum(nil))}, nil
}

// read reads the module again, when it is needed.
func (m module) read() ([]byte, error) {
	b, err := os.ReadFile(m.path)
	if err != nil {
		return nil, fmt.Errorf("reading the module: %w", err)
	}
	return b, nil
}

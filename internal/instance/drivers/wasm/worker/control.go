package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/guest"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// maxModule bounds a module and what it is compiled to, in bytes.
const maxModule = 1 << 30

// module is a module that copies can be made of.
type module struct {
	program *guest.Program
}

// routes is the worker's own interface.
func (w *worker) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathCompile, w.compile)
	mux.HandleFunc("PUT "+wire.PathModules+"{digest}", w.load)
	mux.HandleFunc("GET "+wire.PathCopies+"{id}", w.usage)
	return mux
}

// failure is an error as the driver is told it.
func failure(err error) wire.Failure {
	f := wire.Failure{Message: err.Error()}
	var bad *guest.ModuleError
	var large *guest.TooLargeError
	switch {
	case errors.As(err, &bad):
		f.Reason = bad.Reason
	case errors.As(err, &large):
		f.Reason = guest.ReasonMemory
	}
	return f
}

// fail answers an error.
func fail(w http.ResponseWriter, err error) {
	f := failure(err)
	code := http.StatusInternalServerError
	if f.Reason != "" {
		code = http.StatusUnprocessableEntity
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(f)
}

// compile answers what a module is and what it was compiled to.
func (w *worker) compile(out http.ResponseWriter, r *http.Request) {
	code, err := io.ReadAll(io.LimitReader(r.Body, maxModule))
	if err != nil {
		fail(out, err)
		return
	}
	p, err := w.runtime.Compile(r.Context(), code)
	if err != nil {
		fail(out, err)
		return
	}
	defer p.Close(context.Background())
	name, err := onlyFile(w.cache)
	if err != nil {
		fail(out, fmt.Errorf("the compiled module: %w", err))
		return
	}
	info, _ := json.Marshal(wire.Compiled{Kind: string(p.Kind), File: name, Min: p.Min})
	out.Header().Set(wire.HeaderInfo, string(info))
	http.ServeFile(out, r, filepath.Join(w.cache, name))
	_ = os.Remove(filepath.Join(w.cache, name))
}

// onlyFile is the one file below dir.
func onlyFile(dir string) (string, error) {
	var found string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found, err = filepath.Rel(dir, path)
		}
		return err
	})
	if err == nil && found == "" {
		err = errors.New("nothing was kept")
	}
	return found, err
}

// load makes a module known that was compiled elsewhere.
func (w *worker) load(out http.ResponseWriter, r *http.Request) {
	if err := w.loadModule(r); err != nil {
		fail(out, fmt.Errorf("loading a module: %w", err))
		return
	}
	out.WriteHeader(http.StatusNoContent)
}

func (w *worker) loadModule(r *http.Request) error {
	var info wire.Compiled
	if err := json.Unmarshal([]byte(r.Header.Get(wire.HeaderInfo)), &info); err != nil {
		return err
	}
	length, err := strconv.ParseInt(r.Header.Get(wire.HeaderLength), 10, 64)
	if err != nil || length < 0 || length > maxModule {
		return fmt.Errorf("length %q", r.Header.Get(wire.HeaderLength))
	}
	code := make([]byte, length)
	if _, err := io.ReadFull(r.Body, code); err != nil {
		return err
	}
	root, err := os.OpenRoot(w.cache)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := keep(root, info.File, r.Body); err != nil {
		return err
	}
	p, err := w.runtime.Compile(r.Context(), code) // which only reads the file
	if err := errors.Join(err, root.Remove(info.File)); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	digest := r.PathValue("digest")
	if w.modules[digest] != nil {
		return p.Close(r.Context())
	}
	w.modules[digest] = &module{program: p}
	return nil
}

func keep(root *os.Root, name string, from io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// forget takes a copy off the list.
func (w *worker) forget(c *copyOf) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.copies, c.id)
}

func (w *worker) find(r *http.Request) *copyOf {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.copies[r.PathValue("id")]
}

// usage answers what a copy uses.
func (w *worker) usage(out http.ResponseWriter, r *http.Request) {
	c := w.find(r)
	if c == nil {
		http.NotFound(out, r)
		return
	}
	_ = json.NewEncoder(out).Encode(c.usage())
}

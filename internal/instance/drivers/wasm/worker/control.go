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
	"time"

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
	mux.HandleFunc("PUT "+wire.PathCopies+"{id}", w.start)
	mux.HandleFunc("DELETE "+wire.PathCopies+"{id}", w.end)
	mux.HandleFunc("GET "+wire.PathCopies+"{id}", w.usage)
	return mux
}

// fail answers an error.
func fail(w http.ResponseWriter, err error) {
	f := wire.Failure{Message: err.Error()}
	code := http.StatusInternalServerError
	var bad *guest.ModuleError
	var large *guest.TooLargeError
	switch {
	case errors.As(err, &bad):
		f.Reason, code = bad.Reason, http.StatusUnprocessableEntity
	case errors.As(err, &large):
		f.Reason, code = guest.ReasonMemory, http.StatusUnprocessableEntity
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

// start makes a copy and answers its log until it ends. When the driver goes away, the copy does.
func (w *worker) start(out http.ResponseWriter, r *http.Request) {
	var s wire.Start
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		fail(out, err)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // the server notices only then that the driver goes away
	log := newCopyLog(out, s.Log)
	c, err := w.newCopy(r.Context(), r.PathValue("id"), s, log)
	if err != nil {
		fail(out, err)
		return
	}
	out.Header().Set("Trailer", wire.TrailerExit)
	out.WriteHeader(http.StatusOK)
	log.begin()
	exit := c.live(r.Context())
	w.forget(c)
	log.end()
	b, _ := json.Marshal(exit)
	out.Header().Set(wire.TrailerExit, string(b))
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

// end begins the end of a copy, which the answer to its start tells.
func (w *worker) end(out http.ResponseWriter, r *http.Request) {
	grace, err := time.ParseDuration(r.URL.Query().Get("grace"))
	if err != nil {
		fail(out, err)
		return
	}
	if c := w.find(r); c != nil {
		c.stop(grace)
	}
	out.WriteHeader(http.StatusNoContent)
}

func (w *worker) usage(out http.ResponseWriter, r *http.Request) {
	c := w.find(r)
	if c == nil {
		http.NotFound(out, r)
		return
	}
	_ = json.NewEncoder(out).Encode(c.usage())
}

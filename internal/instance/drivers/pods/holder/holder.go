// Package holder is what runs in a warm pod: it waits until it is given a program, or the files of one that the pod's image runs, and becomes it. After that nothing of it is left
// in the pod: the program has its process, and with that the pod's log, signals, limits and exit code.
//
// Whoever could give it a program would run in the pod's namespace with the pod's account, so that it takes one from the holder of
// a token only, of which the pod itself knows the hash.
package holder

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Port is where a holder listens, unless it is told otherwise; a function must have another.
const Port = 8012

// Path is where it takes its program.
const path = "/_ofn/become"

// mostOrder bounds an Order in JSON, in bytes.
const mostOrder = 1 << 20

// Order is how a program is run.
type Order struct {
	Args []string `json:"args"`
	Env  []string `json:"env"` // "KEY=value", added to the pod's own
	Dir  string   `json:"dir,omitempty"`
	// Drop are names of variables of the pod that the program does not get.
	Drop []string `json:"drop,omitempty"`
	// Files says that an archive (tar) of files follows, named from the root, and that Args name the program to run then.
	Files bool `json:"files,omitempty"`
}

// Options of a holder.
type Options struct {
	// TokenHash is that of the token: SHA-256 in hexadecimal digits.
	TokenHash string
	// Dir is where the program is put; it must be empty, and executables must be allowed there.
	Dir string
	// Most bounds a program, or an archive, in bytes.
	Most int64
	// Unpack writes the files of an archive to where they belong.
	Unpack func(ctx context.Context, archive io.Reader) error
	// Environ is the pod's own environment.
	Environ []string
	Log     *slog.Logger
}

// Hash is the TokenHash of a token.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Program is what a holder was given.
type Program struct {
	Path string // of its file; empty for one that Args name
	Order
}

// Wait serves on l until it was given a program, which it returns when whoever gave it was told so, or until ctx ends.
func Wait(ctx context.Context, l net.Listener, o Options) (*Program, error) {
	h := &holder{Options: o, given: make(chan *Program, 1)}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	var p *Program
	var err error
	select {
	case p = <-h.given:
	case <-ctx.Done():
		err = ctx.Err()
	case err := <-ended:
		return nil, fmt.Errorf("waiting for a program: %w", err)
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if s.Shutdown(end) != nil {
		_ = s.Close() // nothing is left to say to whoever still is connected
	}
	<-ended
	return p, err
}

type holder struct {
	Options
	given chan *Program

	mu    sync.Mutex
	taken bool
}

// ServeHTTP takes the program; GET tells whether it is waited for.
func (h *holder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != path:
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		fmt.Fprintln(w, "waiting")
	case r.Method != http.MethodPost:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case !h.authentic(r):
		http.Error(w, "not the token of this pod", http.StatusUnauthorized)
	case !h.take():
		http.Error(w, "it has a program already", http.StatusConflict)
	default:
		h.become(w, r)
	}
}

func (h *holder) authentic(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(Hash(token)), []byte(h.TokenHash)) == 1
}

// take is true once.
func (h *holder) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := !h.taken
	h.taken = true
	return first
}

// become reads the order, a line of JSON, and the program behind it. A pod that was given something unusable is of no use any more.
func (h *holder) become(w http.ResponseWriter, r *http.Request) {
	p, err := h.read(r.Context(), r.Body)
	if err != nil {
		h.Log.Error("what this pod was given cannot be run", "err", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Connection", "close")
	fmt.Fprintln(w, "ok")
	h.given <- p
}

func (h *holder) read(ctx context.Context, body io.Reader) (*Program, error) {
	in := bufio.NewReaderSize(body, 64<<10)
	line, err := readLine(in)
	if err != nil {
		return nil, fmt.Errorf("reading the order: %w", err)
	}
	p := &Program{}
	if err := json.Unmarshal(line, &p.Order); err != nil {
		return nil, fmt.Errorf("reading the order: %w", err)
	}
	if len(p.Args) == 0 {
		return nil, errors.New("reading the order: it names no program")
	}
	p.Env = merged(without(h.Environ, p.Drop), p.Env)
	if !p.Files {
		p.Path = filepath.Join(h.Dir, "program")
		return p, h.keep(p.Path, in)
	}
	archive := &io.LimitedReader{R: in, N: h.Most + 1}
	if err := h.Unpack(ctx, archive); err != nil {
		return nil, fmt.Errorf("unpacking the files of the program: %w", err)
	}
	if archive.N == 0 {
		return nil, fmt.Errorf("the files of the program have more than %d bytes", h.Most)
	}
	return p, nil
}

// keep writes a program to a new file.
func (h *holder) keep(path string, in io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700) //nolint:gosec // it is to be executed
	if err != nil {
		return fmt.Errorf("keeping the program: %w", err)
	}
	n, err := io.Copy(f, io.LimitReader(in, h.Most+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keeping the program: %w", err)
	}
	if n == 0 || n > h.Most {
		return fmt.Errorf("the program has %d bytes or more; it must have 1 to %d", n, h.Most)
	}
	return nil
}

// without leaves variables out.
func without(env, names []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(names, name)
	})
}

func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > mostOrder:
			return nil, fmt.Errorf("it is longer than %d bytes", mostOrder)
		}
	}
}

// merged is an environment without repetition: programs differ in which value of a name they take.
func merged(lists ...[]string) []string {
	var out []string
	at := map[string]int{}
	for _, kv := range slices.Concat(lists...) {
		name, _, _ := strings.Cut(kv, "=")
		if i, known := at[name]; known {
			out[i] = kv
			continue
		}
		at[name] = len(out)
		out = append(out, kv)
	}
	return out
}

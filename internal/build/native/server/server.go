// Package server builds what no language here builds, and starts what languages built: complete servers by a command, programs that are ready,
// and functions of other platforms behind their contracts (docs/languages/server.md).
//
// It is a language, for sources that hold a program and not its text, and the launcher of all languages: a Procfile, FUNC_ENTRYPOINT and
// fprocess name the command, a contract puts the shim before it (framework/shim), and what the command needs of this machine, such as a
// shell or shared libraries, is laid in.
//
// What one build may do to another: nothing of the user runs. The shim is compiled from its own source once.
package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Options say what to build with. Tools must be set.
type Options struct {
	lang.Tools
	// Shim is the source of the shim, text by slash-separated path, and ShimPackage what to build in it.
	Shim        map[string][]byte
	ShimPackage string
	// GoRoot is the Go distribution that compiles the shim, and BuildCache a cache of it that may be shared. Without GoRoot contracts
	// other than that of a server are refused with what to install.
	GoRoot, BuildCache string
}

// Server is the language and the launcher.
type Server struct {
	opts   Options
	goText string // version of Go
	key    string // of the shim
	making sync.Mutex
}

var (
	_ lang.Language = language{}
	_ lang.Launcher = (*Server)(nil)
)

// New prepares the cache.
func New(o Options) (*Server, error) {
	o.Tools = o.Complete()
	s := &Server{opts: o}
	if o.GoRoot != "" {
		text, err := os.ReadFile(filepath.Join(o.GoRoot, "VERSION"))
		if err != nil {
			return nil, fmt.Errorf("reading the version of the Go distribution in %q: %w", o.GoRoot, err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		s.goText = strings.TrimSpace(first)
	}
	h := sha256.New()
	fmt.Fprintf(h, "1 %s %s %s\n", s.goText, o.OS, o.Arch)
	for _, name := range slices.Sorted(maps.Keys(o.Shim)) {
		fmt.Fprintf(h, "%q %d\n%s", name, len(o.Shim[name]), o.Shim[name])
	}
	s.key = fmt.Sprintf("%x", h.Sum(nil)[:12])
	if err := os.MkdirAll(filepath.Join(o.Cache, "shim"), 0o750); err != nil {
		return nil, fmt.Errorf("preparing the cache of the shim: %w", err)
	}
	return s, lang.Sweep(o.Cache, time.Now(), "shim/*")
}

// Detect implements lang.Language. It is to be asked last: a source with a command may have a language too.
func (s *Server) Detect(t *lang.Tree, e lang.Env) bool {
	return e.Command != "" || e.Contract == lang.ContractWatchdog && e.Rest["mode"] == "static" || len(programs(t)) > 0
}

// Identity tells of the machine: its programs go into images.
func (s *Server) Identity(_ context.Context, e lang.Env) (string, error) {
	if e.Command == "" && e.Contract == "" {
		return "", nil
	}
	if needsShim(e.Contract) && s.goText == "" {
		return "", lang.ToolMissing("for the contract "+e.Contract, "the go command, which compiles the shim once,", "it from https://go.dev/dl, or your system's package, and start ofn again")
	}
	return "server 1 " + s.key, nil
}

// language is a Server as a Language: the two seams have an Identity each.
type language struct{ *Server }

// Identity implements lang.Language. The other Identity tells of what starts it.
func (language) Identity(context.Context) (string, error) { return "1", nil }

// Language is the language for sources that are ready to run.
func (s *Server) Language() lang.Language { return language{s} }

// Compile implements lang.Language: the source is the program. How it is started says Launch.
func (s *Server) Compile(_ context.Context, j *lang.Job) (lang.Program, error) {
	j.Env.Unknown(j.Log, func(k string) bool { return false })
	if j.Env.Command == "" && j.Env.Rest["mode"] != "static" {
		name, err := only(j.Tree)
		if err != nil {
			return lang.Program{}, err
		}
		j.Env.Command = name
	}
	return lang.Program{SourceNeeded: true}, nil
}

func needsShim(contract string) bool {
	return contract != "" && contract != lang.ContractServer
}

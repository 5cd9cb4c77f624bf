// Package python builds functions and applications for Python: it installs their dependencies with pip, by the lock file of uv, Poetry or
// Pipenv where there is one, loads the function once to see that it is there, compiles everything to bytecode, and lays interpreter,
// framework, dependencies and source into layers.
//
// What one build may do to another. Builds run code of the user: source distributions that are built, and the module of the function when it
// is checked. All of it runs inside the runner's sandbox and can write to the work directory of its own build and the download cache of its own
// namespace. Installed dependencies are kept for the namespace that installed them only, and put there by this program after the commands
// that made them have ended.
package python

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// oldest is the first version of Python that the framework runs on.
var oldest = version{3, 9}

// Options say what to build with. Tools, Framework and Requirements must be set.
type Options struct {
	lang.Tools
	// Framework is the text of the package functions_framework by slash-separated path, and Requirements the pinned requirements of its server.
	Framework        map[string][]byte
	Requirements     []byte
	FrameworkVersion string
}

// Python builds Python.
type Python struct {
	opts   Options
	fwHash string

	mu    sync.Mutex
	known map[string]interpreter // by path and change of the program
	// making keeps builds from making the same shared directory at the same time: closed when the one that does has ended.
	making map[string]chan struct{}
}

var _ lang.Language = (*Python)(nil)

// New prepares the caches and forgets what nobody used for long.
func New(o Options) (*Python, error) {
	o.Tools = o.Complete()
	p := &Python{opts: o, known: map[string]interpreter{}, making: map[string]chan struct{}{}}
	p.fwHash = lang.HashFiles(o.Framework, map[string][]byte{"requirements": o.Requirements})
	return p, o.PrepareCache("Python", "packages", "downloads", "interpreters", "frameworks")
}

// Identity implements lang.Language.
func (p *Python) Identity(ctx context.Context) (string, error) {
	i, err := p.interpreter(ctx, "")
	if err != nil {
		return "", err
	}
	return i.Full + " " + i.Program + " " + p.fwHash + " 1", nil
}

// projectFiles tell a Python project where a build begins.
var projectFiles = []string{"requirements.txt", "pyproject.toml", "Pipfile", "Pipfile.lock", "poetry.lock", "uv.lock", "setup.py", "setup.cfg"}

// Detect implements lang.Language: there is a file of Python, or of its package managers, where the build begins.
func (p *Python) Detect(t *lang.Tree, e lang.Env) bool {
	return slices.ContainsFunc(t.Files, func(f lang.File) bool {
		rel, in := lang.Below(t.Sub, f.Path)
		if !in {
			return false
		}
		if e.Source != "" && (rel == e.Source || strings.HasPrefix(rel, e.Source+"/")) && strings.HasSuffix(rel, ".py") {
			return true
		}
		return !strings.Contains(rel, "/") && (strings.HasSuffix(rel, ".py") || slices.Contains(projectFiles, rel))
	})
}

// job is one build of a Python source.
type job struct {
	*lang.Job
	python interpreter
	dir    string // where the build begins, on this machine
	stdlib string // of this machine's directories: standard library, framework, dependencies (empty without)
	frame  string
	deps   dependencies
	found  found
}

// Compile implements lang.Language.
func (p *Python) Compile(ctx context.Context, common *lang.Job) (lang.Program, error) {
	i, err := p.interpreter(ctx, common.Env.RuntimeVersion)
	if err != nil {
		return lang.Program{}, err
	}
	if err := checkEnv(common, i); err != nil {
		return lang.Program{}, err
	}
	j := &job{Job: common, python: i, dir: common.Tree.Abs(common.Tree.Sub)}
	j.Guard(j.dir)
	fmt.Fprintf(j.Log, "building with Python %s\n", i.Full)
	steps, program := []func(context.Context, *job) error{p.standardLibrary, p.framework, p.install, p.check, p.precompile}, p.program
	if p.opts.Local { // the interpreter compiles what it loads, and has its own library
		steps, program = []func(context.Context, *job) error{p.framework, p.install, p.check}, p.localProgram
	}
	for _, step := range steps {
		if err := step(ctx, j); err != nil {
			return lang.Program{}, err
		}
	}
	return program(j)
}

// made returns a directory below the cache, which make fills the first time, in the work directory of a job. A directory that exists
// is whole, because it gets its name last.
func (p *Python) made(ctx context.Context, j *job, name string, fill func(dir string) error) (string, error) {
	release, err := p.alone(ctx, name)
	if err != nil {
		return "", err
	}
	defer release()
	dir := filepath.Join(p.opts.Cache, filepath.FromSlash(name))
	if _, err := os.Stat(dir); err == nil {
		lang.Touch(dir)
		return dir, nil
	}
	tmp, err := j.Fresh()
	if err != nil {
		return "", err
	}
	j.Guard(tmp)
	if err := fill(tmp); err != nil {
		return "", err
	}
	j.Unguard(tmp)
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) { // made by another process meanwhile
		return "", fmt.Errorf("keeping %s: %w", name, err)
	}
	return dir, nil
}

// alone returns when no other build makes what name says.
func (p *Python) alone(ctx context.Context, name string) (release func(), err error) {
	for {
		p.mu.Lock()
		other, taken := p.making[name]
		if !taken {
			mine := make(chan struct{})
			p.making[name] = mine
			p.mu.Unlock()
			return func() {
				p.mu.Lock()
				delete(p.making, name)
				p.mu.Unlock()
				close(mine)
			}, nil
		}
		p.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// namespace is the part of a build's ID that says whose it is.
func namespace(r build.Request) string {
	ns, _, _ := strings.Cut(r.ID, "/")
	return ns
}

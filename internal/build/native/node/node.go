// Package node builds functions and servers for Node.js: it installs their dependencies with the package manager of their lock file,
// compiles TypeScript, checks that the function is there, and lays interpreter, framework, dependencies and source into layers.
//
// What one build may do to another. Builds run code of the user: lifecycle scripts of packages, the script "build", and the module of
// the function when it is checked. All of it runs inside the runner's sandbox and can write to the work directory of its own build and the
// download cache of its own namespace. Installed dependencies are kept for the namespace that installed them only, and put there by this
// program after the commands that made them have ended.
package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/system"
)

// oldest is the first version of Node.js that the framework runs on.
const oldest = 20

// Options say what to build with. Framework and Tools must be set.
type Options struct {
	lang.Tools
	// Framework is the text of the package @openfunction/functions-framework by slash-separated path.
	Framework        map[string][]byte
	FrameworkVersion string
}

// Node builds Node.js.
type Node struct {
	opts   Options
	fwHash string

	mu    sync.Mutex
	known map[string]runtime // by path and change of the program
}

var _ lang.Language = (*Node)(nil)

// runtime is an interpreter of this machine.
type runtime struct {
	program string // real path
	version *semver.Version
	layer   build.Layer
}

// New prepares the caches and forgets what nobody used for long.
func New(o Options) (*Node, error) {
	o.Tools = o.Complete()
	n := &Node{opts: o, known: map[string]runtime{}}
	lock, err := esbuild.ReadFile("esbuild/package-lock.json")
	if err != nil {
		return nil, fmt.Errorf("reading the lock file of the compiler: %w", err)
	}
	n.fwHash = lang.HashFiles(o.Framework, map[string][]byte{"lock": lock})
	return n, o.PrepareCache("Node.js", "modules", "downloads", "tools", "framework")
}

// Identity implements lang.Language.
func (n *Node) Identity(ctx context.Context) (string, error) {
	r, err := n.runtime(ctx)
	if err != nil {
		return "", err
	}
	return r.version.String() + " " + n.fwHash + " 1", nil
}

// runtime finds the interpreter, and asks it for its version when it is not known yet.
func (n *Node) runtime(ctx context.Context) (runtime, error) {
	missing := lang.ToolMissing("Node.js", "node", fmt.Sprintf("the packages nodejs and npm of your system, in version %d or later", oldest))
	program := n.opts.Find("node")
	if program == "" {
		return runtime{}, missing
	}
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return runtime{}, fmt.Errorf("looking for node: %w", err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return runtime{}, fmt.Errorf("looking for node: %w", err)
	}
	key := fmt.Sprintf("%s %d %d", real, info.Size(), info.ModTime().UnixNano())
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := n.known[key]; ok {
		return r, nil
	}
	out, err := exec.CommandContext(ctx, real, "--version").Output()
	if err != nil {
		return runtime{}, fmt.Errorf("asking %s for its version: %w", real, err)
	}
	r := runtime{program: real}
	if r.version, err = semver.NewVersion(strings.TrimSpace(string(out))); err != nil {
		return runtime{}, fmt.Errorf("reading the version of %s: %w", real, err)
	}
	if r.version.Major() < oldest {
		return runtime{}, lang.Failure("ToolMissing", "building Node.js needs Node.js %d or later, and this machine has %s: update its package nodejs", oldest, r.version)
	}
	if !n.opts.Local {
		if r.layer, err = interpreter(n.opts.Root, real); err != nil {
			return runtime{}, err
		}
	}
	n.known[key] = r
	return r, nil
}

// interpreter is the layer of the program with the libraries it needs, and those by which names are looked up.
func interpreter(root, program string) (build.Layer, error) {
	c := system.New(root)
	if err := c.Program(program, strings.TrimPrefix(nodeProgram, "/")); err != nil {
		return nil, err
	}
	for _, name := range []string{"libnss_files.so.2", "libnss_dns.so.2"} {
		if _, err := c.Library(name); err != nil {
			return nil, err
		}
	}
	return c.Layer(), nil
}

// Detect implements lang.Language: there is a package.json, or a file of JavaScript or TypeScript, where the build begins.
func (n *Node) Detect(t *lang.Tree, e lang.Env) bool {
	return slices.ContainsFunc(t.Files, func(f lang.File) bool {
		rel, in := lang.Below(t.Sub, f.Path)
		if !in {
			return false
		}
		if e.Source != "" && (rel == e.Source || strings.HasPrefix(rel, e.Source+"/")) && isCode(rel) {
			return true
		}
		return !strings.Contains(rel, "/") && (rel == "package.json" || isCode(rel))
	})
}

// job is one build of a Node.js source.
type job struct {
	*lang.Job
	runtime runtime
	plan    *plan
	dir     string // of the project on this machine
	modules string // directory that holds node_modules for the image; empty without dependencies
	shared  bool   // modules outlives the build
	// sees are directories of the caches that commands of this build may read.
	sees []string
}

// Compile implements lang.Language.
func (n *Node) Compile(ctx context.Context, common *lang.Job) (lang.Program, error) {
	r, err := n.runtime(ctx)
	if err != nil {
		return lang.Program{}, err
	}
	if err := checkEnv(common, r.version); err != nil {
		return lang.Program{}, err
	}
	p, err := newPlan(common)
	if err != nil {
		return lang.Program{}, err
	}
	if err := p.manifest.checkEngine(r.version, common.Log); err != nil {
		return lang.Program{}, err
	}
	j := &job{Job: common, runtime: r, plan: p, dir: common.Tree.Abs(p.root)}
	j.Guard(j.dir)
	fmt.Fprintf(j.Log, "building with Node.js %s\n", r.version)
	for _, do := range []func(context.Context, *job) error{n.placeFramework, n.install, n.build, n.check} {
		if err := do(ctx, j); err != nil {
			return lang.Program{}, err
		}
	}
	return n.program(j)
}

// placeFramework lays the framework beside the source, where the modules of the function find it while they are built and checked.
func (n *Node) placeFramework(_ context.Context, j *job) error {
	return n.writeFramework(j.Work)
}

// writeFramework lays the framework into the node_modules of a directory.
func (n *Node) writeFramework(parent string) error {
	dir := filepath.Join(parent, frameworkModule)
	for name, data := range n.opts.Framework {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return fmt.Errorf("writing the framework: %w", err)
		}
		if err := os.WriteFile(at, data, 0o644); err != nil {
			return fmt.Errorf("writing the framework: %w", err)
		}
	}
	alias := filepath.Join(parent, googleModule)
	if err := os.MkdirAll(filepath.Dir(alias), 0o755); err != nil {
		return fmt.Errorf("writing the framework: %w", err)
	}
	if err := os.Symlink(aliasTarget, alias); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("writing the framework: %w", err)
	}
	return nil
}

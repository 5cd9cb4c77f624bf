// Package rust builds functions and programs in Rust with cargo: it renders the program that a library lacks, joins it with the framework,
// and compiles, for this machine or for WebAssembly.
//
// What one build may do to another. Builds run code of the user: build scripts and procedural macros. All of it runs inside the runner's
// sandbox, without the network, and can write to the work directory of its own build and to what earlier builds of the same function
// compiled. Downloading is a step of its own that runs no code of the user; crates that it puts into the cache that all namespaces read are
// verified by the checksums of their registry's index. A source that could change what that step does, because it has settings of cargo,
// dependencies from git, or logins for private ones, gets a download cache of its namespace. What the framework comes to is compiled once,
// by a build of nothing else, and copied into builds.
package rust

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// FrameworkName is the name of the framework's crate.
const FrameworkName = "ofn-functions"

// Options say what to build with. Tools and Framework must be set.
type Options struct {
	lang.Tools
	// Framework is the text of the crate ofn-functions by slash-separated path, with its Cargo.lock.
	Framework        map[string][]byte
	FrameworkVersion string
}

// Rust builds Rust.
type Rust struct {
	opts   Options
	fwHash string
	fwDir  string // the framework's source

	mu    sync.Mutex
	known map[string]toolchain // by path and change of the compiler
	// fetching and seeding are held while shared caches are written.
	fetching, seeding lock
}

// lock is held by one at a time; others wait for it no longer than they want to.
type lock chan struct{}

// hold returns what lets go again.
func (l lock) hold(ctx context.Context) (release func(), err error) {
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

var (
	_ lang.Language = (*Rust)(nil)
	_ lang.Warmer   = (*Rust)(nil)
)

// New prepares the caches and forgets what nobody used for long.
func New(o Options) (*Rust, error) {
	o.Tools = o.Complete()
	r := &Rust{opts: o, known: map[string]toolchain{}, fetching: make(lock, 1), seeding: make(lock, 1)}
	r.fwHash = lang.HashFiles(o.Framework)
	if err := o.PrepareCache("Rust", "framework", "seeds", "downloads", "targets"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(o.Cache, "home/registry"), 0o755); err != nil {
		return nil, fmt.Errorf("preparing the caches of Rust: %w", err)
	}
	var err error
	if r.fwDir, err = lang.KeepFiles(o.Cache, "framework/"+r.fwHash, o.Framework); err != nil {
		return nil, fmt.Errorf("writing the framework's source: %w", err)
	}
	return r, nil
}

// Identity implements lang.Language.
func (r *Rust) Identity(ctx context.Context) (string, error) {
	t, err := r.toolchain(ctx)
	if err != nil {
		return "", err
	}
	return t.full + " " + strings.Join(t.targets, ",") + " " + r.fwHash + " 1", nil
}

// Detect implements lang.Language: there is a Cargo.toml, or a file of Rust, where the build begins, or nothing but a directory with one.
func (r *Rust) Detect(t *lang.Tree, e lang.Env) bool {
	if e.Source == "" && nested(t) != "" {
		return true
	}
	return slices.ContainsFunc(t.Files, func(f lang.File) bool {
		rel, in := lang.Below(t.Sub, f.Path)
		if !in {
			return false
		}
		if e.Source != "" && (rel == e.Source || strings.HasPrefix(rel, e.Source+"/")) && strings.HasSuffix(rel, ".rs") {
			return true
		}
		return rel == "Cargo.toml" || !strings.Contains(rel, "/") && strings.HasSuffix(rel, ".rs")
	})
}

// job is one build of a Rust source.
type job struct {
	*lang.Job
	tools  toolchain
	plan   *plan
	triple string   // what is built for
	crate  string   // directory of the manifest that is built, on this machine
	home   string   // CARGO_HOME
	own    bool     // home is of this namespace alone
	target string   // what was compiled, of this function
	local  []string // crates of the source itself
	gentle bool     // nobody waits for it: half of the machine is enough
}

// Compile implements lang.Language.
func (r *Rust) Compile(ctx context.Context, common *lang.Job) (lang.Program, error) {
	t, err := r.toolchain(ctx)
	if err != nil {
		return lang.Program{}, err
	}
	if err := checkEnv(common, t); err != nil {
		return lang.Program{}, err
	}
	p, err := newPlan(common)
	if err != nil {
		return lang.Program{}, err
	}
	j := &job{Job: common, tools: t, plan: p}
	if j.triple, err = r.triple(j); err != nil {
		return lang.Program{}, err
	}
	fmt.Fprintf(j.Log, "found %s; building with Rust %s for %s\n", p.describe(), t.version, j.triple)
	for _, step := range []func(context.Context, *job) error{r.write, r.place, r.fetch, r.checkLock, r.compile} {
		if err := step(ctx, j); err != nil {
			return lang.Program{}, err
		}
	}
	return r.program(j)
}

// checkEnv compares FUNC_RUNTIME_VERSION, such as "1.85", with the compiler, and tells which variables do nothing.
func checkEnv(j *lang.Job, t toolchain) error {
	j.Env.Unknown(j.Log, func(string) bool { return false }, "CARGO_", "RUST")
	want := j.Env.RuntimeVersion
	if want == "" {
		return nil
	}
	v, err := parseVersion(want)
	if err != nil {
		return lang.InvalidEnv("FUNC_RUNTIME_VERSION is %q: it must be a version of Rust such as 1.85", want)
	}
	if v.GreaterThan(t.version) {
		return lang.Failure("RuntimeUnsupported", "FUNC_RUNTIME_VERSION asks for Rust %s; this machine has %s: update its Rust, or ask for less", want, t.version)
	}
	return nil
}

// namespace is the part of a build's ID that says whose it is.
func namespace(r build.Request) string {
	ns, _, _ := strings.Cut(r.ID, "/")
	return ns
}

// short is a name for a directory of a cache.
func short(parts ...string) string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q", parts)))[:24]
}

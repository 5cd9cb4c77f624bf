// Package golang builds Go: it renders the main that a function lacks, joins it with the framework in a workspace, and compiles.
//
// What one build may do to another. A Go build runs no code of the user: cgo is off, nothing is generated, no other toolchain is
// fetched, and flags that name programs or files are refused. The go command alone writes to the shared caches; modules enter them
// verified against the checksum database. A build that turns the verification off for some modules, or has logins for private ones, gets a module cache of its namespace.
package golang

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Options say what to compile with. Framework and Tools must be set.
type Options struct {
	lang.Tools
	// GoRoot is a Go distribution: GoRoot/bin/go is what compiles. Without one, every build is refused with what to install.
	GoRoot string
	// Framework is the source that generated mains are compiled against.
	Framework Framework
	// GoProxy and GoSumDB are the Go settings GOPROXY and GOSUMDB; empty is Go's default.
	GoProxy, GoSumDB string
	// Settings are others, such as GOPRIVATE, where a build says nothing.
	Settings map[string]string
	// BuildCache and ModCache replace the caches in Tools.Cache.
	BuildCache, ModCache string
}

// Framework is the source of github.com/OpenFunction/functions-framework-go, text by slash-separated path inside the module.
type Framework struct {
	Version string
	Full    map[string][]byte
	Lean    map[string][]byte // only package host, without requirements
	// Wasm is the source of the module that makes WebAssembly handlers of functions; without it only complete programs become modules.
	Wasm map[string][]byte
}

// Golang compiles Go.
type Golang struct {
	opts    Options
	version string // "go1.26.8"
	full    string // directories of the framework's source
	lean    string
	wasm    string
	fwHash  string
	needs   []string // module paths the full framework requires
}

var _ lang.Language = (*Golang)(nil)

// New reads the version of the Go distribution and prepares the caches.
func New(o Options) (*Golang, error) {
	o.Tools = o.Complete()
	g := &Golang{opts: o}
	if o.GoRoot == "" {
		return g, nil
	}
	text, err := os.ReadFile(filepath.Join(o.GoRoot, "VERSION"))
	if err != nil {
		return nil, fmt.Errorf("reading the version of the Go distribution in %q: %w", o.GoRoot, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	g.version = strings.TrimSpace(first)
	for _, dir := range []string{o.Cache, g.buildCache(), g.modCache(nil, build.Request{})} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("preparing the Go caches: %w", err)
		}
	}
	if err := g.writeFramework(); err != nil {
		return nil, err
	}
	return g, lang.Sweep(o.Cache, time.Now(), "resolved/*", "sums/*", "framework/*", "mod-*", "new-*")
}

// Identity implements lang.Language.
func (g *Golang) Identity(context.Context) (string, error) {
	if g.version == "" {
		return "", lang.ToolMissing("Go", "the go command", "it from https://go.dev/dl, or your system's package, and start ofn again")
	}
	return g.identity(), nil
}

func (g *Golang) identity() string { return g.version + " " + g.fwHash }

func (g *Golang) buildCache() string {
	if g.opts.BuildCache != "" {
		return g.opts.BuildCache
	}
	return filepath.Join(g.opts.Cache, "build")
}

// modCache is shared by all builds that verify what they download and need no login for it. Others get one for their namespace and settings.
func (g *Golang) modCache(settings map[string]string, r build.Request) string {
	shared := g.opts.ModCache
	if shared == "" {
		shared = filepath.Join(g.opts.Cache, "mod")
	}
	unverified := maps.Clone(settings)
	delete(unverified, "GOPROXY") // a proxy cannot forge what the checksum database signed
	if len(unverified) == 0 && r.Dependencies.Empty() {
		return shared
	}
	namespace, _, _ := strings.Cut(r.ID, "/")
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", namespace)
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(h, "%q=%q\n", k, settings[k])
	}
	return filepath.Join(g.opts.Cache, fmt.Sprintf("mod-%x", h.Sum(nil)[:8]))
}

// writeFramework lays the framework's source where all builds read it, under the name of its content.
func (g *Golang) writeFramework() error {
	g.fwHash = lang.HashFiles(g.opts.Framework.Full, g.opts.Framework.Lean, g.opts.Framework.Wasm)
	dir := filepath.Join(g.opts.Cache, "framework", g.fwHash)
	g.full, g.lean, g.wasm = filepath.Join(dir, "full"), filepath.Join(dir, "lean"), filepath.Join(dir, "wasm")
	var err error
	if g.needs, err = requirements(g.opts.Framework.Full["go.mod"]); err != nil {
		return fmt.Errorf("reading the framework's go.mod: %w", err)
	}
	files := map[string][]byte{}
	for sub, part := range map[string]map[string][]byte{"full": g.opts.Framework.Full, "lean": g.opts.Framework.Lean, "wasm": g.opts.Framework.Wasm} {
		for name, data := range part {
			files[sub+"/"+name] = data
		}
	}
	if _, err := lang.KeepFiles(g.opts.Cache, "framework/"+g.fwHash, files); err != nil {
		return fmt.Errorf("writing the framework's source: %w", err)
	}
	return nil
}

// Detect implements lang.Language.
func (g *Golang) Detect(t *lang.Tree, _ lang.Env) bool {
	return slices.ContainsFunc(t.Files, func(f lang.File) bool {
		_, in := lang.Below(t.Sub, f.Path)
		return in && (strings.HasSuffix(f.Path, ".go") || strings.HasSuffix(f.Path, "/go.mod") || f.Path == "go.mod")
	})
}

// Compile finds out what to build, gives it the main and the modules it lacks, and builds it with one run of the go command.
func (g *Golang) Compile(ctx context.Context, common *lang.Job) (lang.Program, error) {
	env, err := parseEnv(common.Env, common.Log)
	if err != nil {
		return lang.Program{}, err
	}
	j := &job{Job: common, env: env}
	if err := g.checkRuntime(j.env.RuntimeVersion, j.Log); err != nil {
		return lang.Program{}, err
	}
	p, err := g.plan(j)
	if err != nil {
		return lang.Program{}, err
	}
	fmt.Fprintf(j.Log, "found %s\n", p.describe())
	if err := g.prepare(ctx, j, p); err != nil {
		return lang.Program{}, err
	}
	fmt.Fprintf(j.Log, "compiling with %s\n", strings.Replace(g.version, "go", "Go ", 1))
	out := filepath.Join(j.Work, "function")
	if err := g.build(ctx, j, p, out); err != nil {
		return lang.Program{}, err
	}
	if j.wasm() {
		return moduleProgram(out, p.env(j.env)), nil
	}
	return lang.Program{
		Layers: []build.Layer{{
			{Path: lang.AppDir, Mode: fs.ModeDir | 0o755},
			{Path: lang.AppDir + "/function", Mode: 0o755, File: out},
		}},
		Above:      commanded(common, p.module.importPath(p.pkg.dir)),
		Entrypoint: []string{"/" + lang.AppDir + "/function"},
		Env:        p.env(j.env), Labels: g.labels(p), Functions: p.functions(), ListenFD: p.kind != completeMain,
	}, nil
}

func (g *Golang) labels(p *plan) map[string]string {
	if p.kind == completeMain {
		return nil
	}
	return map[string]string{
		"io.openfunction.framework":         "go",
		"io.openfunction.framework.version": g.opts.Framework.Version,
		"io.openfunction.signature":         p.kind.signature(),
	}
}

// build runs `go build`: once, and again where go.mod leaves out modules that the framework brings.
func (g *Golang) build(ctx context.Context, j *job, p *plan, out string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=" + quoted(append([]string{"-s", "-w", "-buildid="}, j.env.ldflags...)), "-o", out}
	if len(j.env.gcflags) > 0 {
		args = append(args, "-gcflags="+quoted(j.env.gcflags))
	}
	if p.wasm && p.generates() {
		args = append(args, "-buildmode=c-shared")
	}
	args = append(args, j.env.goArgs...)
	args = append(args, p.target)
	if p.vendored {
		return g.run(ctx, j, p, goRun{args: args, env: []string{"GOWORK=off"}, dir: p.runDir})
	}
	err := g.buildWorkspace(ctx, j, p, args)
	for range maxImplied { // go tells all it sees at once, but a module added may let it see more
		added, failed := p.module.requireImplied(j, err)
		if failed != nil {
			return failed
		}
		if !added {
			break
		}
		err = g.buildWorkspace(ctx, j, p, args)
	}
	return err
}

func (g *Golang) buildWorkspace(ctx context.Context, j *job, p *plan, args []string) error {
	kept, sums := g.sums(j, p), p.workspace+".sum"
	if copyFile(kept, sums) == nil { // without it the go command asks the checksum database again
		lang.Touch(kept)
	}
	if err := g.run(ctx, j, p, goRun{args: args, env: []string{"GOWORK=" + p.workspace}, dir: p.runDir}); err != nil {
		return err
	}
	return keepSums(sums, kept)
}

// keepSums remembers the sums that the go command verified for a workspace.
func keepSums(sums, kept string) error {
	data, err := os.ReadFile(sums)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the workspace's sums: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o750); err != nil {
		return fmt.Errorf("keeping the workspace's sums: %w", err)
	}
	if err := lang.WriteFile(kept, data); err != nil {
		return fmt.Errorf("keeping the workspace's sums: %w", err)
	}
	return nil
}

package golang

import (
	"fmt"
	gobuild "go/build"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// plan is what to do with a Go source.
type plan struct {
	kind    kind
	pkg     *goPackage
	fn      goFunc // of http, cloudevent and openfunction
	module  module
	plugins []plugin
	lean    bool // plain HTTP: package host of the framework is enough
	wasm    bool // a WebAssembly module
	inPlace bool // package main without a main: it is added to the package itself

	workspace string // go.work
	vendored  bool   // built as it is, from its vendor directory
	target    string // what to build, relative to runDir
	runDir    string
}

// plugin is a directory plugins/plugin-* of the user.
type plugin struct{ Import, Package, Alias string }

func (p *plan) describe() string {
	switch p.kind {
	case completeMain:
		return fmt.Sprintf("a complete Go program%s", lang.At(p.pkg.dir))
	case declarative:
		return fmt.Sprintf("a Go package%s that registers its functions itself", lang.At(p.pkg.dir))
	}
	return fmt.Sprintf("Go function %s (%s) at %s:%d", p.fn.name, p.kind.signature(), p.fn.pos.Filename, p.fn.pos.Line)
}

// env is the environment of the finished program.
func (p *plan) env(e goEnv) []string {
	vars := map[string]string{"FUNCTION_SOURCE": e.Source, "FUNCTION_SIGNATURE_TYPE": e.Signature}
	if p.lean { // the others look FUNCTION_TARGET up among registered names, which are not symbols
		vars["FUNCTION_TARGET"] = p.fn.name
	}
	var env []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		if vars[k] != "" {
			env = append(env, k+"="+vars[k])
		}
	}
	return env
}

func (g *Golang) plan(j *job) (*plan, error) {
	dir, err := packageDir(j)
	if err != nil {
		return nil, err
	}
	pkg, err := parseDir(j.Tree, dir, g.match(j))
	if err != nil {
		return nil, err
	}
	if pkg.name == "" {
		return nil, lang.Failure("SourceEmpty", "no Go files to build%s; %s: set build.srcRepo.sourceSubPath, or FUNC_SRC or FUNC_BUILDABLE in build.env", lang.At(dir), goDirs(j.Tree))
	}
	p := &plan{pkg: pkg, wasm: j.wasm()}
	if p.module, err = g.findModule(j.Tree, dir); err != nil {
		return nil, err
	}
	if p.plugins, err = g.findPlugins(j, p.module); err != nil {
		return nil, err
	}
	if err := g.choose(j, p); err != nil {
		return nil, err
	}
	return p, p.checkWasm()
}

// choose decides how the package is served.
func (g *Golang) choose(j *job, p *plan) error {
	switch {
	case p.pkg.hasMain:
		p.kind = completeMain
		return nil
	case j.env.buildable != "":
		return lang.Failure("SignatureMismatch", "FUNC_BUILDABLE names %s, but package %s has no func main", j.env.buildable, p.pkg.name)
	case slices.Contains(p.pkg.imports, functionsPath) && p.pkg.name != "main":
		p.kind = declarative
		return nil
	}
	fn, err := p.pkg.find(j.env.Name)
	if err != nil {
		return err
	}
	p.fn, p.kind, p.inPlace = fn, fn.kind, p.pkg.name == "main"
	p.lean = p.kind == httpFunc && len(p.plugins) == 0 && j.env.Tracing == "" && !p.module.imported(frameworkModule)
	if want := j.env.Signature; want != "" && !strings.EqualFold(want, p.kind.signature()) {
		fmt.Fprintf(j.Log, "FUNC_TYPE is %s, but the function's signature is that of %s and decides\n", want, p.kind.signature())
	}
	return nil
}

// packageDir is the directory of the package to build, from the root of the source.
func packageDir(j *job) (string, error) {
	dir := path.Join(j.Tree.Sub, j.env.buildable)
	if j.env.buildable == "" {
		dir = path.Join(j.Tree.Sub, j.env.Source)
		if j.Tree.Has(dir) {
			dir = path.Dir(dir)
		}
	}
	if !slices.Contains(j.Tree.Dirs, dir) {
		return "", lang.Failure("SourceNotFound", "build.env names %s, which is no directory of the source; %s", dir, goDirs(j.Tree))
	}
	return dir, nil
}

// match selects files the way the target's compiler does.
func (g *Golang) match(j *job) gobuild.Context {
	c := gobuild.Context{GOOS: g.opts.OS, GOARCH: runtime.GOARCH, GOROOT: g.opts.GoRoot, Compiler: "gc", ReleaseTags: gobuild.Default.ReleaseTags}
	if g.opts.Arch != "" {
		c.GOARCH = g.opts.Arch
	}
	if j.wasm() {
		c.GOOS, c.GOARCH = wasmOS, wasmArch
	}
	for _, a := range j.env.goArgs {
		if tags, ok := strings.CutPrefix(a, "-tags="); ok {
			c.BuildTags = strings.Split(tags, ",")
		}
	}
	return c
}

func (g *Golang) findPlugins(j *job, m module) ([]plugin, error) {
	var found []plugin
	prefix := path.Join(j.Tree.Sub, "plugins") + "/plugin-"
	for _, d := range j.Tree.Dirs {
		if !strings.HasPrefix(d, prefix) || strings.Contains(strings.TrimPrefix(d, prefix), "/") {
			continue
		}
		pkg, err := parseDir(j.Tree, d, g.match(j))
		if err != nil {
			return nil, err
		}
		if pkg.name == "" {
			continue
		}
		found = append(found, plugin{Import: m.importPath(d), Package: pkg.name, Alias: fmt.Sprintf("plugin%d", len(found))})
	}
	return found, nil
}

package node

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/system"
)

// Where things are in an image. The framework is where modules are looked for last of all, whatever directory the function is in.
const (
	nodeProgram     = "/usr/local/bin/node"
	frameworkModule = "node_modules/@openfunction/functions-framework"
	googleModule    = "node_modules/@google-cloud/functions-framework"
	aliasTarget     = "../@openfunction/functions-framework"
)

// program makes the layers.
func (n *Node) program(j *job) (lang.Program, error) {
	if n.opts.Local {
		return n.localProgram(j)
	}
	p := j.plan
	prog := lang.Program{
		Shared: []build.Layer{j.runtime.layer, n.frameworkLayer()}, SourceNeeded: true, Dir: "/" + path.Join(lang.SourceDir, j.inImage(p.root)),
		Env: []string{"NODE_ENV=production"},
	}
	if j.modules != "" {
		l, err := j.modulesLayer(n.opts.Root)
		if err != nil {
			return prog, err
		}
		if j.shared && strings.HasPrefix(j.modules, n.opts.Cache) {
			prog.Shared = append(prog.Shared, l)
		} else {
			prog.Layers = append(prog.Layers, l)
		}
	}
	above, err := j.generated()
	if err != nil {
		return prog, err
	}
	if len(above) > 0 {
		prog.Above = []build.Layer{above}
	}
	if p.server != nil {
		return prog, j.asServer(&prog)
	}
	j.asFunction(&prog, n.opts.FrameworkVersion)
	return prog, nil
}

// inImage is where a path of the source is below the directory of the source.
func (j *job) inImage(p string) string { return mustRel(j.Tree.Sub, p) }

func (j *job) asFunction(prog *lang.Program, version string) {
	p := j.plan
	prog.Entrypoint = []string{nodeProgram}
	if p.typescript {
		prog.Entrypoint = append(prog.Entrypoint, "--enable-source-maps")
	}
	prog.Entrypoint = append(prog.Entrypoint, "/"+frameworkModule+"/cli.js")
	prog.ListenFD = true
	prog.Env = append(prog.Env, "FUNCTION_SOURCE=/"+path.Join(lang.SourceDir, j.inImage(p.run)))
	if p.target != "" {
		prog.Env = append(prog.Env, "FUNCTION_TARGET="+p.target)
	}
	if p.sig != "" {
		prog.Env = append(prog.Env, "FUNCTION_SIGNATURE_TYPE="+p.sig)
	}
	prog.Labels = map[string]string{"io.openfunction.framework": "nodejs", "io.openfunction.framework.version": version}
	prog.Functions = p.functions()
	if len(p.found) == 1 {
		prog.Labels["io.openfunction.signature"] = p.found[0].Signature
	}
}

// functions are those that the check found. One that is alone and named no path is served at every path.
func (p *plan) functions() []build.Function {
	var out []build.Function
	for _, f := range p.found {
		at := f.Path
		if at == "" && len(p.found) > 1 {
			at = "/"
		}
		out = append(out, build.Function{Name: f.Name, Signature: f.Signature, Path: at, Methods: f.Methods})
	}
	return out
}

// asServer makes the start script the entrypoint: a program of Node.js, or one that a dependency brings.
func (j *job) asServer(prog *lang.Program) error {
	c := j.plan.server
	prog.Env = append(prog.Env, c.env...)
	start := []string{nodeProgram, "--require=/" + frameworkModule + "/init.js"}
	if j.Env.Command != "" {
		prog.Env = append(prog.Env, "NODE_OPTIONS=--require=/"+frameworkModule+"/init.js")
	}
	if c.args[0] == "node" {
		prog.Entrypoint = append(start, c.args[1:]...)
		return nil
	}
	script, err := j.binary(c.args[0])
	if err != nil {
		return err
	}
	prog.Entrypoint = append(append(start, "/"+path.Join(lang.SourceDir, j.inImage(j.plan.root), script)), c.args[1:]...)
	return nil
}

// binary finds the script of a command that a dependency brings, from the directory of the project.
func (j *job) binary(name string) (string, error) {
	modules := filepath.Join(j.dir, "node_modules")
	failed := lang.Failure("StartUnsupported", "the script \"start\" of package.json runs %q, which is neither node nor a command of a dependency (not of devDependencies)", name)
	if strings.Contains(name, "/") {
		return "", failed
	}
	if target, err := os.Readlink(filepath.Join(modules, ".bin", name)); err == nil {
		return path.Join("node_modules/.bin", filepath.ToSlash(target)), nil
	}
	text, err := lang.ReadWithin(j.modulesParent(), path.Join("node_modules", name, "package.json"), maxManifest)
	if err != nil {
		return "", failed
	}
	var m struct {
		Bin json.RawMessage `json:"bin"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return "", failed
	}
	var one string
	many := map[string]string{}
	if json.Unmarshal(m.Bin, &one) != nil && json.Unmarshal(m.Bin, &many) == nil {
		one = many[name]
	}
	if one == "" {
		return "", failed
	}
	return path.Join("node_modules", name, one), nil
}

// modulesParent is the directory that really holds the modules of the project.
func (j *job) modulesParent() string {
	if j.modules != "" {
		return j.modules
	}
	return j.dir
}

func (n *Node) frameworkLayer() build.Layer {
	dir := fs.ModeDir | 0o755
	l := build.Layer{
		{Path: "node_modules", Mode: dir}, {Path: path.Dir(googleModule), Mode: dir},
		{Path: googleModule, Mode: fs.ModeSymlink | 0o777, Link: aliasTarget},
		{Path: path.Dir(frameworkModule), Mode: dir}, {Path: frameworkModule, Mode: dir}, {Path: frameworkModule + "/src", Mode: dir},
	}
	for _, name := range sortedKeys(n.opts.Framework) {
		l = append(l, build.Entry{Path: path.Join(frameworkModule, name), Mode: 0o644, Data: n.opts.Framework[name]})
	}
	return l
}

// leftOut are files of an installation that tell when and where it was made, or that only made others.
var leftOut = regexp.MustCompile(`^(\.modules\.yaml|\.yarn-integrity|\.yarn-state\.yml|\.cache|\.package-map\.json|\.pnpm-workspace-state.*)$|` +
	`/build/(Makefile|config\.gypi|[^/]*\.mk|(Release|Debug)/(obj\.target|\.deps|[^/]*\.(o|a|d)))$`)

// modulesLayer is the layer of dependencies. With native extensions it has the libraries of this machine that these need.
func (j *job) modulesLayer(root string) (build.Layer, error) {
	from, dir := filepath.Join(j.modules, "node_modules"), path.Join(lang.SourceDir, j.inImage(j.plan.root), "node_modules")
	native := false
	keep := func(p string, _ fs.DirEntry) bool {
		native = native || strings.HasSuffix(p, ".node")
		return !leftOut.MatchString(p)
	}
	l, err := lang.DirLayer(from, dir, keep)
	if err != nil || !native {
		return l, err
	}
	c := system.New(root)
	if err := c.UserTree(from, dir, keep); err != nil {
		return nil, err
	}
	return c.Layer(), nil
}

// generated are the files below the project that the build has made.
func (j *job) generated() (build.Layer, error) {
	if j.plan.run == j.plan.entry && j.plan.manifest.Scripts["build"] == "" {
		return nil, nil
	}
	original := map[string]bool{}
	for _, f := range j.Tree.Files {
		original[f.Path] = true
	}
	l, err := lang.DirLayer(j.dir, path.Join(lang.SourceDir, j.inImage(j.plan.root)), func(p string, d fs.DirEntry) bool {
		switch d.Name() {
		case "node_modules", ".git", ".cache": // the first may be a link to modules that are kept
			return false
		}
		return d.IsDir() || !original[path.Join(j.plan.root, p)]
	})
	if err != nil {
		return nil, fmt.Errorf("collecting what the build made: %w", err)
	}
	return l, nil
}

package python

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/system"
)

// precompile compiles the source where it is; the results are laid over the source in the image.
func (p *Python) precompile(ctx context.Context, j *job) error {
	return p.bytecode(ctx, j, j.dir, "/"+lang.SourceDir)
}

// program lays everything into layers.
func (p *Python) program(j *job) (lang.Program, error) {
	runtime, err := p.runtimeLayer(j)
	if err != nil {
		return lang.Program{}, err
	}
	frame, err := lang.DirLayer(j.frame, imageFramework, nil)
	if err != nil {
		return lang.Program{}, err
	}
	out := lang.Program{
		Shared: []build.Layer{runtime, frame}, SourceNeeded: true, ListenFD: true,
		Entrypoint: []string{"/" + imageProgram, "-S", "/" + imageFramework + "/" + startFile},
		Labels: map[string]string{
			"io.openfunction.framework": "python", "io.openfunction.framework.version": p.opts.FrameworkVersion, "io.openfunction.signature": j.signature(),
		},
		Functions: j.functions(),
		Env:       []string{"PYTHONDONTWRITEBYTECODE=1", "LANG=C.UTF-8", "FUNCTION_SOURCE=/" + path.Join(lang.SourceDir, j.relative())},
	}
	if j.Env.Name != "" {
		_, name, _ := lastCut(j.Env.Name)
		out.Env = append(out.Env, "FUNCTION_TARGET="+name)
	}
	if j.Env.Command != "" {
		out.Env = append(out.Env, "PYTHONPATH=/"+imagePackages, "PYTHONUNBUFFERED=1")
	}
	if j.Env.Signature != "" {
		out.Env = append(out.Env, "FUNCTION_SIGNATURE_TYPE="+strings.ToLower(j.Env.Signature))
	}
	packages, sites, err := p.packagesLayer(j, runtime)
	if err != nil {
		return lang.Program{}, err
	}
	switch {
	case j.deps.dir == "":
	case j.deps.locked:
		out.Shared = append(out.Shared, packages)
	default:
		out.Layers = append(out.Layers, packages)
	}
	begin := ""
	if sites {
		begin = "import site\nsite.addsitedir(\"/" + imagePackages + "\")\n"
	}
	out.Layers = append(out.Layers, build.Layer{{Path: imageFramework + "/" + startFile, Mode: 0o644, Data: fmt.Appendf(nil, start, begin)}})
	compiled, err := bytecodeLayer(j)
	if err != nil {
		return lang.Program{}, err
	}
	out.Above = []build.Layer{compiled}
	return out, nil
}

// lastCut splits FILE:NAME.
func lastCut(s string) (before, after string, found bool) {
	i := strings.LastIndex(s, ":")
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// functions are those that the check found. One that is alone and named no path is served at every path.
func (j *job) functions() []build.Function {
	var out []build.Function
	for _, f := range j.found.Functions {
		b := build.Function{Name: f.Name, Signature: f.Kind, Path: f.Path, Methods: f.Methods}
		if len(j.found.Functions) == 1 && b.Path == "/" {
			b.Path = ""
		}
		out = append(out, b)
	}
	return out
}

func (j *job) signature() string {
	if len(j.found.Functions) == 1 {
		return j.found.Functions[0].Kind
	}
	return "several"
}

// runtimeLayer is the interpreter and its standard library with the libraries that they need, and those that packages of compiled code
// expect of every machine.
func (p *Python) runtimeLayer(j *job) (build.Layer, error) {
	c := system.New(p.opts.Root)
	if err := c.Program(j.python.Program, imageProgram); err != nil {
		return nil, err
	}
	if err := c.Tree(j.stdlib, strings.TrimPrefix(imageStdlib(j.python), "/"), nil); err != nil {
		return nil, err
	}
	for _, name := range []string{"libstdc++.so.6", "libgcc_s.so.1", "libz.so.1", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libnss_files.so.2", "libnss_dns.so.2"} {
		if _, err := c.Library(name); err != nil {
			return nil, err
		}
	}
	return c.Layer(), nil
}

// packagesLayer is what was installed, with libraries of this machine that it needs and the interpreter does not bring. sites tells whether
// packages want the module site.
func (p *Python) packagesLayer(j *job, runtime build.Layer) (l build.Layer, sites bool, err error) {
	if j.deps.dir == "" {
		return nil, false, nil
	}
	c := system.New(p.opts.Root)
	if err := c.UserTree(j.deps.dir, imagePackages, nil); err != nil {
		return nil, false, err
	}
	there := map[string]bool{}
	for _, e := range runtime {
		there[e.Path] = true
	}
	for _, e := range c.Layer() {
		if there[e.Path] && !e.Mode.IsDir() {
			continue
		}
		if path.Dir(e.Path) == imagePackages+"/bin" && e.Mode.IsRegular() {
			if e, err = ownInterpreter(e); err != nil {
				return nil, false, err
			}
		}
		l = append(l, e)
		sites = sites || path.Dir(e.Path) == imagePackages && strings.HasSuffix(e.Path, ".pth")
	}
	return l, sites, nil
}

// ownInterpreter leads a program that pip wrote, such as gunicorn, to the interpreter of the image.
func ownInterpreter(e build.Entry) (build.Entry, error) {
	text, err := os.ReadFile(e.File)
	if err != nil {
		return e, fmt.Errorf("reading the programs of packages: %w", err)
	}
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if !bytes.HasPrefix(first, []byte("#!")) || !bytes.Contains(first, []byte("python")) {
		return e, nil
	}
	e.File, e.Data = "", append([]byte("#!/"+imageProgram+"\n"), rest...)
	return e, nil
}

// bytecodeLayer is the bytecode beside the source.
func bytecodeLayer(j *job) (build.Layer, error) {
	var l build.Layer
	err := filepath.WalkDir(j.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == ".venv") {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(j.dir, name)
		if err != nil {
			return err
		}
		at := path.Join(lang.SourceDir, filepath.ToSlash(rel))
		switch {
		case d.IsDir() && d.Name() == "__pycache__":
			l = append(l, build.Entry{Path: at, Mode: fs.ModeDir | 0o755})
		case d.Type().IsRegular() && filepath.Base(filepath.Dir(name)) == "__pycache__" && strings.HasSuffix(name, "."+j.python.Tag+".pyc"):
			l = append(l, build.Entry{Path: at, Mode: 0o644, File: name})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the bytecode: %w", err)
	}
	return l, nil
}

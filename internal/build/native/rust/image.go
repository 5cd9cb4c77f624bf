package rust

import (
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

const imageProgram = lang.AppDir + "/function"

// program lays what was compiled into layers. It is copied out of the directory of compiled code, which the next build writes to.
func (r *Rust) program(j *job) (lang.Program, error) {
	name := program
	if j.plan.program != "" && j.plan.single == "" {
		name = j.plan.program
	}
	if j.triple == wasmTriple {
		name += ".wasm"
	}
	out := filepath.Join(j.Work, "function")
	if j.triple == wasmTriple {
		out += ".wasm"
	}
	if err := take(j, path.Join(j.triple, "release", name), out); err != nil {
		return lang.Program{}, err
	}
	p := lang.Program{Labels: r.labels(j)}
	if j.triple == wasmTriple {
		at := "function.wasm"
		if j.plan.program != "" && j.plan.single == "" {
			at = name // as a command of the function may call it
		}
		p.Bare, p.Platform = true, "wasip1/wasm"
		p.Layers = []build.Layer{{{Path: at, Mode: 0o644, File: out}}}
		p.Entrypoint = []string{"/" + at}
		return p, nil
	}
	p.Entrypoint, p.ListenFD = []string{"/" + imageProgram}, j.plan.serves()
	own := build.Layer{{Path: lang.AppDir, Mode: fs.ModeDir | 0o755}, {Path: imageProgram, Mode: 0o755, File: out}}
	p.Layers = []build.Layer{own}
	taken := []string{out}
	if j.Env.Command != "" {
		above, others, err := commanded(j)
		if err != nil {
			return lang.Program{}, err
		}
		p.Above, taken = []build.Layer{above}, append(taken, others...)
	}
	if r.opts.Local || strings.HasSuffix(j.triple, "-musl") {
		return p, nil
	}
	libraries, err := system.Libraries(r.opts.Root, taken)
	if err != nil {
		return lang.Program{}, err
	}
	p.Shared = []build.Layer{libraries}
	return p, nil
}

// take copies what was compiled out of the directory that code of the user could write to: nothing there may lead elsewhere.
func take(j *job, name, to string) error {
	compiled, err := os.OpenRoot(j.target)
	if err != nil {
		return fmt.Errorf("taking the program: %w", err)
	}
	defer compiled.Close()
	if info, err := compiled.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return lang.Failure("CompileFailed", "cargo made no file %s: is that the name of the package's library or program?", path.Base(name))
	}
	from, err := compiled.Open(name)
	if err != nil {
		return fmt.Errorf("taking the program: %w", err)
	}
	defer from.Close()
	if err := writeFile(from, to, 0o755); err != nil {
		return fmt.Errorf("taking the program: %w", err)
	}
	return prune(j, compiled)
}

func (r *Rust) labels(j *job) map[string]string {
	if !j.plan.serves() {
		return nil
	}
	l := map[string]string{"io.openfunction.framework": "rust", "io.openfunction.framework.version": r.opts.FrameworkVersion}
	parameters, _, _ := strings.Cut(j.plan.text, "->")
	for _, known := range []struct{ word, signature string }{{"Request", "http"}, {"Event", "cloudevent"}, {"Json", "typed"}, {"Context", "openfunction"}} {
		if strings.Contains(parameters, known.word) {
			l["io.openfunction.signature"] = known.signature
		}
	}
	return l
}

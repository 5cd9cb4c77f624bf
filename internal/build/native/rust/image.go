package rust

import (
	"io/fs"
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
	if err := copyFile(filepath.Join(j.target, j.triple, "release", name), out, 0o755); err != nil {
		return lang.Program{}, err
	}
	p := lang.Program{Labels: r.labels(j)}
	if j.triple == wasmTriple {
		p.Bare, p.Platform = true, "wasip1/wasm"
		p.Layers = []build.Layer{{{Path: "function.wasm", Mode: 0o644, File: out}}}
		p.Entrypoint = []string{"/function.wasm"}
		return p, nil
	}
	p.Entrypoint, p.ListenFD = []string{"/" + imageProgram}, j.plan.serves()
	own := build.Layer{{Path: lang.AppDir, Mode: fs.ModeDir | 0o755}, {Path: imageProgram, Mode: 0o755, File: out}}
	p.Layers = []build.Layer{own}
	if r.opts.Local || strings.HasSuffix(j.triple, "-musl") {
		return p, nil
	}
	libraries, err := r.libraries(out)
	if err != nil {
		return lang.Program{}, err
	}
	p.Shared = []build.Layer{libraries}
	return p, nil
}

// libraries are those of this machine that a program needs, and those by which names are looked up.
func (r *Rust) libraries(file string) (build.Layer, error) {
	c := system.New(r.opts.Root)
	if err := c.Program(file, imageProgram); err != nil {
		return nil, err
	}
	for _, name := range []string{"libnss_files.so.2", "libnss_dns.so.2"} {
		if _, err := c.Library(name); err != nil {
			return nil, err
		}
	}
	var l build.Layer
	for _, e := range c.Layer() {
		if e.Path != imageProgram && e.Path != lang.AppDir {
			l = append(l, e)
		}
	}
	return l, nil
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

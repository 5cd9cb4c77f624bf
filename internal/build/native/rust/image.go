package rust

import (
	"debug/elf"
	"fmt"
	"io"
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

// libraries are those of this machine that a program needs, and those by which names are looked up.
func (r *Rust) libraries(file string) (build.Layer, error) {
	if err := checkLinks(file); err != nil {
		return nil, err
	}
	c := system.New(r.opts.Root)
	if err := c.UserProgram(file, imageProgram, filepath.Dir(file)); err != nil {
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

var loader = regexp.MustCompile(`^/lib(64)?/ld-[A-Za-z0-9._-]+$`)

// checkLinks refuses a program that names files of this machine by their path: what it names goes into the image, and code of the user
// may have chosen it.
func checkLinks(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return lang.Failure("LinkFailed", "what was linked is no program: %v", err)
	}
	defer f.Close()
	var named []string
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if text := strings.TrimRight(string(name), "\x00"); err != nil || !loader.MatchString(text) {
				named = append(named, text)
			}
		}
	}
	for _, tag := range []elf.DynTag{elf.DT_NEEDED, elf.DT_RPATH, elf.DT_RUNPATH} {
		names, err := f.DynString(tag)
		if err != nil {
			continue // a static program has none
		}
		for _, name := range names {
			if tag != elf.DT_NEEDED || strings.Contains(name, "/") {
				named = append(named, name)
			}
		}
	}
	if len(named) > 0 {
		return lang.Failure("LinkFailed", "the program is linked with files by their path, %s: link libraries by their name, or statically", strings.Join(named, ", "))
	}
	return nil
}

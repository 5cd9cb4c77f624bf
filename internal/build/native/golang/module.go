package golang

import (
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// noModule is the module path of a source without go.mod.
const noModule = "function.local/source"

// module is the Go module a package belongs to.
type module struct {
	root    string        // from the root of the source
	path    string        // "example.com/hello"
	file    *modfile.File // nil when the source has no go.mod
	imports []string      // of all its packages
	vendor  bool
}

func (m module) importPath(dir string) string {
	rel, _ := lang.Below(m.root, dir)
	return path.Join(m.path, rel)
}

// imported tells whether any package of the module imports one at or below prefix.
func (m module) imported(prefix string) bool {
	return slices.ContainsFunc(m.imports, func(p string) bool { _, in := lang.Below(prefix, p); return in })
}

// external lists imports that neither the standard library, the module itself nor one of the given modules can provide.
func (m module) external(given []string) []string {
	return slices.DeleteFunc(slices.Clone(m.imports), func(p string) bool {
		first, _, _ := strings.Cut(p, "/")
		if _, own := lang.Below(m.path, p); own || !strings.Contains(first, ".") {
			return true
		}
		return slices.ContainsFunc(given, func(g string) bool { _, in := lang.Below(g, p); return in })
	})
}

// findModule takes the nearest go.mod at or above dir; without one the sub-path is the module.
func (g *Golang) findModule(t *lang.Tree, dir string) (module, error) {
	m := module{root: t.Sub, path: noModule}
	for d := dir; ; d = path.Dir(d) {
		if t.Has(path.Join(d, "go.mod")) {
			m.root = d
			if err := g.readModule(t, &m); err != nil {
				return m, err
			}
			break
		}
		if d == "." {
			break
		}
	}
	m.imports = moduleImports(t, m.root)
	m.vendor = t.Has(path.Join(m.root, "vendor/modules.txt"))
	return m, nil
}

func (g *Golang) readModule(t *lang.Tree, m *module) error {
	name := path.Join(m.root, "go.mod")
	data, err := os.ReadFile(t.Abs(name))
	if err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	if m.file, err = modfile.Parse(name, data, nil); err != nil {
		return lang.Failure("ModuleInvalid", "%v", err)
	}
	if m.file.Module == nil {
		return lang.Failure("ModuleInvalid", "%s has no module line: begin it with, for example, `module example.com/function`", name)
	}
	m.path = m.file.Module.Mod.Path
	if v := m.file.Go; v != nil && version.Compare("go"+v.Version, g.version) > 0 {
		return lang.Failure("RuntimeUnsupported", "%s:%d asks for Go %s; this machine builds with %s: update its Go, or ask for less",
			name, v.Syntax.Start.Line, v.Version, g.version)
	}
	for _, r := range m.file.Replace {
		if r.New.Version != "" || r.Old.Path == frameworkModule {
			continue
		}
		if _, err := insideSource(t, m.root, r.New.Path); err != nil {
			return lang.Failure("ModuleInvalid", "%s:%d replaces %s by a directory, but %v, or require a published version", name, r.Syntax.Start.Line, r.Old.Path, err)
		}
	}
	return nil
}

// dropReplace removes the user's own replacement of the framework from the working copy; the image keeps the file as it was.
func (m module) dropReplace(j *job) error {
	if m.file == nil {
		return nil
	}
	dropped := false
	for _, r := range slices.Clone(m.file.Replace) {
		if r.Old.Path == frameworkModule {
			if err := m.file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return fmt.Errorf("editing go.mod: %w", err)
			}
			dropped = true
		}
	}
	if !dropped {
		return nil
	}
	return m.rewrite(j)
}

// rewrite writes a changed go.mod into the working copy; the image keeps the file as it was.
func (m module) rewrite(j *job) error {
	name := path.Join(m.root, "go.mod")
	if _, kept := j.Replaced[name]; !kept {
		was, err := os.ReadFile(j.Tree.Abs(name))
		if err != nil {
			return fmt.Errorf("reading the source: %w", err)
		}
		j.Replaced[name] = was
	}
	m.file.Cleanup()
	now, err := m.file.Format()
	if err != nil {
		return fmt.Errorf("editing go.mod: %w", err)
	}
	return replaceFile(j.Tree.Abs(name), now)
}

// replaceFile writes a new file in place of an old one, which may be a link.
func replaceFile(name string, data []byte) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing %s: %w", filepath.Base(name), err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(name), err)
	}
	return nil
}

// requirements lists the module paths a go.mod requires.
func requirements(gomod []byte) ([]string, error) {
	f, err := modfile.ParseLax("go.mod", gomod, nil)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, r := range f.Require {
		paths = append(paths, r.Mod.Path)
	}
	return paths, nil
}

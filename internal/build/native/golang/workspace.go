package golang

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// writeWorkspace joins the user's module, those of the user's own workspace, the generated main and the framework.
func (g *Golang) writeWorkspace(j *job, p *plan) error {
	w := &modfile.WorkFile{Syntax: &modfile.FileSyntax{}}
	if err := w.AddGoStmt(strings.TrimPrefix(g.version, "go")); err != nil {
		return fmt.Errorf("writing the workspace: %w", err)
	}
	dirs := []string{j.Tree.Abs(p.module.root)}
	if p.generates() && !p.inPlace {
		dirs = append(dirs, filepath.Join(j.Work, "main"))
	}
	framework := g.full
	if p.lean {
		framework = g.lean
	}
	if p.wasm && p.generates() {
		dirs = append(dirs, g.wasm)
	}
	if p.generates() && !p.wasm || p.module.imported(frameworkModule) {
		dirs = append(dirs, framework)
	}
	if err := joinUsers(j, p.module, w, &dirs); err != nil {
		return err
	}
	for _, d := range dirs {
		if err := w.AddUse(d, ""); err != nil {
			return fmt.Errorf("writing the workspace: %w", err)
		}
	}
	for _, v := range p.module.frameworkVersions() { // so that no build looks for the published version
		if err := w.AddReplace(frameworkModule, v, framework, ""); err != nil {
			return fmt.Errorf("writing the workspace: %w", err)
		}
	}
	w.Cleanup()
	p.workspace = filepath.Join(j.Work, "go.work")
	return replaceFile(p.workspace, modfile.Format(w.Syntax))
}

// frameworkVersions are the published versions a module requires.
func (m module) frameworkVersions() []string {
	if m.file == nil {
		return nil
	}
	var versions []string
	for _, r := range m.file.Require {
		if r.Mod.Path == frameworkModule {
			versions = append(versions, r.Mod.Version)
		}
	}
	return versions
}

// joinUsers adds the modules and replacements of the go.work that a developer would have in effect, the nearest above the module.
func joinUsers(j *job, m module, w *modfile.WorkFile, dirs *[]string) error {
	at := m.root
	for !j.Tree.Has(path.Join(at, "go.work")) {
		if at == "." {
			return nil
		}
		at = path.Dir(at)
	}
	name := path.Join(at, "go.work")
	data, err := os.ReadFile(j.Tree.Abs(name))
	if err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	users, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		return lang.Failure("ModuleInvalid", "%v", err)
	}
	if !slices.ContainsFunc(users.Use, func(u *modfile.Use) bool { return path.Join(at, u.Path) == m.root }) {
		return nil // go.work is for others
	}
	for _, u := range users.Use {
		dir := path.Join(at, u.Path)
		if path.IsAbs(u.Path) || !slices.Contains(j.Tree.Dirs, dir) {
			return lang.Failure("ModuleInvalid", "%s:%d uses %s, which is not in the source", name, u.Syntax.Start.Line, u.Path)
		}
		if dir != m.root {
			*dirs = append(*dirs, j.Tree.Abs(dir))
		}
	}
	for _, r := range users.Replace {
		to := r.New.Path
		if r.New.Version == "" {
			if to, err = insideSource(j.Tree, at, to); err != nil {
				return lang.Failure("ModuleInvalid", "%s:%d: %v", name, r.Syntax.Start.Line, err)
			}
		}
		if r.Old.Path == frameworkModule {
			continue
		}
		if err := w.AddReplace(r.Old.Path, r.Old.Version, to, r.New.Version); err != nil {
			return fmt.Errorf("writing the workspace: %w", err)
		}
	}
	return nil
}

// insideSource makes a directory that a file in dir at names absolute on this machine.
func insideSource(t *lang.Tree, at, dir string) (string, error) {
	p := path.Join(at, dir)
	if path.IsAbs(dir) || p == ".." || strings.HasPrefix(p, "../") {
		return "", fmt.Errorf("%s is outside the source: put it into the source", dir)
	}
	return t.Abs(p), nil
}

// sums is where the verified sums a workspace adds to those of its modules are kept between builds.
func (g *Golang) sums(j *job, p *plan) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %v %v %q\n", g.identity(), p.lean, p.wasm, g.modCache(j.env.goSettings, j.Request))
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(j.Tree.Abs(path.Join(p.module.root, name)))
		if err == nil {
			fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
		}
	}
	return filepath.Join(g.opts.Cache, "sums", fmt.Sprintf("%x", h.Sum(nil)[:12]))
}

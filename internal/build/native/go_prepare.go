package native

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// generatedModule is the last element of the import path of a rendered main. It lies below the user's package, so that it may import
// internal packages of the user.
const generatedModule = "ofn-generated-main"

// prepare writes what the source lacks beside it: main, go.mod, and a workspace that joins them with the framework. In a workspace every
// module keeps its own go.mod, language version and sums, and the user's is not touched.
func (g *golang) prepare(ctx context.Context, j *job, p *plan) error {
	p.runDir = j.tree.root
	if p.kind == completeMain && p.module.vendor && !p.module.imported(frameworkModule) {
		return p.useVendor(j)
	}
	if err := p.module.dropReplace(j); err != nil {
		return err
	}
	if p.module.file == nil {
		if err := g.makeModule(ctx, j, p); err != nil {
			return err
		}
	}
	if err := g.writeMain(j, p); err != nil {
		return err
	}
	return g.writeWorkspace(j, p)
}

func (p *plan) useVendor(j *job) error {
	rel, _ := below(p.module.root, p.pkg.dir)
	p.vendored, p.runDir, p.target = true, j.tree.abs(p.module.root), "./"+rel
	return nil
}

// makeModule gives a source without go.mod one. When it imports what the framework does not bring, the newest versions are looked up
// once and kept for the next build with the same imports.
func (g *golang) makeModule(ctx context.Context, j *job, p *plan) error {
	given := []string{frameworkModule}
	if !p.lean {
		given = append(given, g.needs...)
	}
	lang := strings.TrimPrefix(version.Lang(g.version), "go")
	text := fmt.Sprintf("module %s\n\ngo %s\n", noModule, lang)
	gomod := filepath.Join(j.tree.abs(p.module.root), "go.mod")
	external := p.module.external(given)
	if len(external) == 0 {
		return replaceFile(gomod, []byte(text))
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%q %s %q", external, g.identity(), j.env.goSettings))
	kept := filepath.Join(g.opts.Dir, "cache/resolved", fmt.Sprintf("%x", key[:12]))
	gosum := filepath.Join(filepath.Dir(gomod), "go.sum")
	if copyFile(filepath.Join(kept, "go.mod"), gomod) == nil && copyFile(filepath.Join(kept, "go.sum"), gosum) == nil {
		touch(kept)
		return nil
	}
	fmt.Fprintf(j.log, "resolving modules: the source has no go.mod\n")
	if p.module.imported(frameworkModule) {
		text += fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => %s\n", frameworkModule, frameworkModule, g.full)
	}
	if err := replaceFile(gomod, []byte(text)); err != nil {
		return err
	}
	if err := g.run(ctx, j, p, goRun{args: []string{"mod", "tidy"}, env: []string{"GOWORK=off"}, dir: filepath.Dir(gomod)}); err != nil {
		return err
	}
	if err := dropFramework(gomod); err != nil {
		return err
	}
	return keepResolved(kept, gomod, gosum)
}

// dropFramework takes the framework out of a resolved go.mod again; the workspace provides it.
func dropFramework(gomod string) error {
	data, err := os.ReadFile(gomod)
	if err != nil {
		return fmt.Errorf("reading the resolved go.mod: %w", err)
	}
	f, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return fmt.Errorf("reading the resolved go.mod: %w", err)
	}
	if err := errors.Join(f.DropReplace(frameworkModule, ""), f.DropRequire(frameworkModule)); err != nil {
		return fmt.Errorf("editing the resolved go.mod: %w", err)
	}
	f.Cleanup()
	if data, err = f.Format(); err != nil {
		return fmt.Errorf("editing the resolved go.mod: %w", err)
	}
	return replaceFile(gomod, data)
}

func keepResolved(dir, gomod, gosum string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("keeping the resolved modules: %w", err)
	}
	for name, from := range map[string]string{"go.sum": gosum, "go.mod": gomod} {
		data, err := os.ReadFile(from)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keeping the resolved modules: %w", err)
		}
		if err := writeFile(filepath.Join(dir, name), data); err != nil {
			return fmt.Errorf("keeping the resolved modules: %w", err)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return replaceFile(to, data)
}

// writeWorkspace joins the user's module, the generated main and the framework.
func (g *golang) writeWorkspace(j *job, p *plan) error {
	w := &modfile.WorkFile{Syntax: &modfile.FileSyntax{}}
	if err := w.AddGoStmt(strings.TrimPrefix(g.version, "go")); err != nil {
		return fmt.Errorf("writing the workspace: %w", err)
	}
	dirs := []string{j.tree.abs(p.module.root)}
	if p.generates() && !p.inPlace {
		dirs = append(dirs, filepath.Join(j.work, "main"))
	}
	framework := g.full
	if p.lean {
		framework = g.lean
	}
	if p.generates() || p.module.imported(frameworkModule) {
		dirs = append(dirs, framework)
	}
	for _, d := range dirs {
		if err := w.AddUse(d, ""); err != nil {
			return fmt.Errorf("writing the workspace: %w", err)
		}
	}
	if p.module.file != nil {
		for _, r := range p.module.file.Require { // so that no build looks for the published version
			if r.Mod.Path == frameworkModule {
				if err := w.AddReplace(frameworkModule, r.Mod.Version, framework, ""); err != nil {
					return fmt.Errorf("writing the workspace: %w", err)
				}
			}
		}
	}
	w.Cleanup()
	p.workspace = filepath.Join(j.work, "go.work")
	return replaceFile(p.workspace, modfile.Format(w.Syntax))
}

// generates tells whether a main is rendered.
func (p *plan) generates() bool { return p.kind != completeMain }

// sums is where the verified sums a workspace adds to those of its modules are kept between builds.
func (g *golang) sums(j *job, p *plan) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %v %q\n", g.identity(), p.lean, g.modCache(j.env.goSettings, j.request.ID))
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(j.tree.abs(path.Join(p.module.root, name)))
		if err == nil {
			fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
		}
	}
	return filepath.Join(g.opts.Dir, "cache/sums", fmt.Sprintf("%x", h.Sum(nil)[:12]))
}

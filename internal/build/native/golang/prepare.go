package golang

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// generatedModule is the last element of the import path of a rendered main. It lies below the user's package, so that it may import
// internal packages of the user.
const generatedModule = "ofn-generated-main"

// prepare writes what the source lacks beside it: main, go.mod, and a workspace that joins them with the framework. In a workspace every
// module keeps its own go.mod, language version and sums, and the user's is not touched.
func (g *Golang) prepare(ctx context.Context, j *job, p *plan) error {
	p.runDir = j.Tree.Root
	if p.module.vendor && !p.module.imported(frameworkModule) && (p.lean || !p.generates()) {
		return g.useVendor(j, p)
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

// makeModule gives a source without go.mod one. When it imports what the framework does not bring, the newest versions are looked up
// once and kept for the next build with the same imports.
func (g *Golang) makeModule(ctx context.Context, j *job, p *plan) error {
	given := []string{frameworkModule}
	if !p.lean {
		given = append(given, g.needs...)
	}
	language := strings.TrimPrefix(version.Lang(g.version), "go")
	text := fmt.Sprintf("module %s\n\ngo %s\n", noModule, language)
	gomod := filepath.Join(j.Tree.Abs(p.module.root), "go.mod")
	external := p.module.external(given)
	if len(external) == 0 {
		return replaceFile(gomod, []byte(text))
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%q %s %q %s", external, g.identity(), j.env.goSettings, g.modCache(j.env.goSettings, j.Request)))
	kept := filepath.Join(g.opts.Cache, "resolved", fmt.Sprintf("%x", key[:12]))
	gosum := filepath.Join(filepath.Dir(gomod), "go.sum")
	if copyFile(filepath.Join(kept, "go.mod"), gomod) == nil && copyFile(filepath.Join(kept, "go.sum"), gosum) == nil {
		lang.Touch(kept)
		return nil
	}
	fmt.Fprintf(j.Log, "resolving modules: the source has no go.mod\n")
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
		if err := lang.WriteFile(filepath.Join(dir, name), data); err != nil {
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

// generates tells whether a main is rendered.
func (p *plan) generates() bool { return p.kind != completeMain }

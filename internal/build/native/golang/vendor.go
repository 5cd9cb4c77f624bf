package golang

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

const vendoredVersion = "v0.0.0-ofn"

// useVendor builds from the vendor directory, without a network. The framework's lean package is vendored too, and main is a package of
// the user's module, because there are no vendor directories in workspaces like ours.
func (g *Golang) useVendor(j *job, p *plan) error {
	rel, _ := lang.Below(p.module.root, p.pkg.dir)
	root := j.Tree.Abs(p.module.root)
	p.vendored, p.runDir, p.target = true, root, "./"+rel
	if !p.generates() {
		return nil
	}
	if err := g.vendorFramework(j, p.module); err != nil {
		return err
	}
	if err := g.writeMain(j, p); err != nil {
		return err
	}
	if p.inPlace {
		p.target = "./" + rel
		return nil
	}
	main, err := os.ReadFile(filepath.Join(j.Work, "main/main.go"))
	if err != nil {
		return fmt.Errorf("writing main: %w", err)
	}
	p.target = "./" + path.Join(rel, generatedModule)
	return lang.WriteFiles(filepath.Join(j.Tree.Abs(p.pkg.dir), generatedModule), map[string][]byte{"main.go": main})
}

// vendorFramework adds the lean framework to go.mod, vendor and vendor/modules.txt of the working copy.
func (g *Golang) vendorFramework(j *job, m module) error {
	gomod, list := path.Join(m.root, "go.mod"), path.Join(m.root, "vendor/modules.txt")
	for _, name := range []string{gomod, list} {
		data, err := os.ReadFile(j.Tree.Abs(name))
		if err != nil {
			return fmt.Errorf("reading the source: %w", err)
		}
		j.Replaced[name] = data
	}
	for _, r := range slices.Clone(m.file.Replace) {
		if r.Old.Path == frameworkModule {
			if err := m.file.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return fmt.Errorf("editing go.mod: %w", err)
			}
		}
	}
	if err := m.file.AddRequire(frameworkModule, vendoredVersion); err != nil {
		return fmt.Errorf("editing go.mod: %w", err)
	}
	m.file.Cleanup()
	text, err := m.file.Format()
	if err != nil {
		return fmt.Errorf("editing go.mod: %w", err)
	}
	var files bytes.Buffer
	files.Write(withoutModule(j.Replaced[list], frameworkModule))
	fmt.Fprintf(&files, "# %s %s\n## explicit; go 1.24\n%s/host\n", frameworkModule, vendoredVersion, frameworkModule)
	if err := replaceFile(j.Tree.Abs(gomod), text); err != nil {
		return err
	}
	if err := replaceFile(j.Tree.Abs(list), files.Bytes()); err != nil {
		return err
	}
	lean := maps.Clone(g.opts.Framework.Lean)
	delete(lean, "go.mod")
	if err := lang.WriteFiles(filepath.Join(j.Tree.Abs(m.root), "vendor", frameworkModule), lean); err != nil {
		return fmt.Errorf("adding the framework to vendor: %w", err)
	}
	return nil
}

// withoutModule drops a module from a vendor/modules.txt.
func withoutModule(list []byte, modulePath string) []byte {
	var kept bytes.Buffer
	drop := false
	for line := range bytes.Lines(list) {
		if bytes.HasPrefix(line, []byte("# ")) {
			drop = bytes.HasPrefix(line, []byte("# "+modulePath+" "))
		}
		if !drop {
			kept.Write(line)
		}
	}
	return kept.Bytes()
}

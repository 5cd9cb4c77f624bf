package node

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// install brings the dependencies that compiling needs, if anything is compiled by tools that the project brings.
func (n *Node) install(ctx context.Context, j *job) error {
	m := &j.plan.manifest
	if m.needsInstall(true) && j.plan.lock == "" && !j.vendored() {
		fmt.Fprintf(j.Log, "warning: there is no lock file beside %s: versions are chosen now and may be others in the next build. Commit the lock file of your package manager\n", m.path)
	}
	if j.vendored() || !m.needsInstall(true) {
		return nil
	}
	switch {
	case m.Scripts["build"] != "":
		return n.installHere(ctx, j, false)
	case j.plan.typescript && j.plan.ownTypeScript():
		if m.inPlace() != "" {
			return n.installHere(ctx, j, false)
		}
		_, err := n.installKept(ctx, j, false)
		return err
	}
	return nil
}

// ownTypeScript tells whether the project names the compiler it wants.
func (p *plan) ownTypeScript() bool {
	_, dev := p.manifest.DevDependencies["typescript"]
	_, prod := p.manifest.Dependencies["typescript"]
	return dev || prod
}

// vendored tells whether the source holds its dependencies.
func (j *job) vendored() bool { return hasBelow(j.Tree, path.Join(j.plan.root, "node_modules")) }

// finish brings the dependencies that go into the image: those for production only.
func (n *Node) finish(ctx context.Context, j *job) error {
	m := &j.plan.manifest
	if j.vendored() {
		fmt.Fprintln(j.Log, "using the node_modules of the source")
		return nil
	}
	if !m.needsInstall(false) {
		return j.unlink()
	}
	if why := m.inPlace(); why != "" {
		fmt.Fprintf(j.Log, "installing dependencies beside the source, because of %s; they are not kept for the next build\n", why)
		j.modules = j.dir
		return n.installHere(ctx, j, true)
	}
	dir, err := n.installKept(ctx, j, true)
	j.modules, j.shared = dir, true
	return err
}

// unlink removes the modules that only the build needed.
func (j *job) unlink() error {
	j.Unguard(filepath.Join(j.dir, "node_modules"))
	if err := os.RemoveAll(filepath.Join(j.dir, "node_modules")); err != nil {
		return fmt.Errorf("removing the modules of the build: %w", err)
	}
	return nil
}

// installHere installs in the directory of the project.
func (n *Node) installHere(ctx context.Context, j *job, production bool) error {
	if err := j.unlink(); err != nil {
		return err
	}
	if err := n.runManager(ctx, j, j.dir, production); err != nil {
		return err
	}
	j.Guard(filepath.Join(j.dir, "node_modules"))
	return j.ensureModules(j.dir)
}

// installKept installs into a directory that later builds with the same lock file use too, and links it into the project.
func (n *Node) installKept(ctx context.Context, j *job, production bool) (string, error) {
	if err := j.unlink(); err != nil {
		return "", err
	}
	files, err := j.installFiles(production)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(n.opts.Cache, "modules", n.installKey(j, files, production))
	link := func() error {
		j.sees = append(j.sees, kept)
		if err := os.Symlink(filepath.Join(kept, "node_modules"), filepath.Join(j.dir, "node_modules")); err != nil {
			return fmt.Errorf("linking the installed modules: %w", err)
		}
		return nil
	}
	keep := j.plan.lock != "" || n.opts.Local
	if keep {
		if _, err := os.Stat(filepath.Join(kept, "node_modules")); err == nil {
			lang.Touch(kept)
			fmt.Fprintln(j.Log, "dependencies are as in an earlier build")
			return kept, link()
		}
	}
	stage, err := os.MkdirTemp(j.Work, "install-")
	if err != nil {
		return "", fmt.Errorf("preparing the installation: %w", err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(stage, name), data, 0o644); err != nil {
			return "", fmt.Errorf("preparing the installation: %w", err)
		}
	}
	j.Guard(stage)
	if err := n.runManager(ctx, j, stage, production); err != nil {
		return "", err
	}
	if err := j.ensureModules(stage); err != nil {
		return "", err
	}
	if !keep { // what was chosen now may be another choice later
		kept = stage // in the work directory, which is seen anyway
		j.Guard(filepath.Join(stage, "node_modules"))
		return kept, link()
	}
	j.Unguard(stage)
	if err := os.Rename(stage, kept); err != nil {
		if _, statErr := os.Stat(kept); statErr != nil { // otherwise another build was quicker
			return "", fmt.Errorf("keeping the installed modules: %w", err)
		}
	}
	return kept, link()
}

// ensureModules makes an empty directory of modules where the package manager made none.
func (j *job) ensureModules(stage string) error {
	modules := filepath.Join(stage, "node_modules")
	if is, err := lang.MadeDir(j.Work, modules); err != nil || is {
		return err
	}
	if err := os.Mkdir(modules, 0o755); err != nil {
		return fmt.Errorf("keeping the installed modules: %w", err)
	}
	return nil
}

// maxManifest is more than any package.json, lock file or file of settings has.
const maxManifest = 64 << 20

// installFiles are what a package manager needs to see: package.json without what only other steps use, lock file and settings.
func (j *job) installFiles(production bool) (map[string][]byte, error) {
	var whole map[string]any
	if err := json.Unmarshal(j.plan.manifest.text, &whole); err != nil {
		return nil, fmt.Errorf("reading %s again: %w", j.plan.manifest.path, err)
	}
	delete(whole, "scripts")
	delete(whole, "main")
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", j.plan.manifest.path, err)
	}
	files := map[string][]byte{"package.json": text}
	names := settingsFiles
	if j.plan.lock != "" {
		names = append([]string{path.Base(j.plan.lock)}, names...)
	}
	for _, name := range names {
		data, err := lang.ReadWithin(j.Work, filepath.Join(j.dir, name), maxManifest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		files[name] = data
	}
	return files, nil
}

// installKey names an installation by all that makes it what it is.
func (n *Node) installKey(j *job, files map[string][]byte, production bool) string {
	h := sha256.New()
	namespace, _, _ := strings.Cut(j.Request.ID, "/")
	fmt.Fprintf(h, "%q %s %s %s %v\n", namespace, j.plan.manager, j.runtime.version, n.opts.Arch, production)
	for _, name := range sortedKeys(files) {
		fmt.Fprintf(h, "%q %d\n%s", name, len(files[name]), files[name])
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

// runManager runs the package manager in a directory, and takes out what the platform provides itself.
func (n *Node) runManager(ctx context.Context, j *job, dir string, production bool) error {
	tool, err := n.tool(j.plan.manager)
	if err != nil {
		return err
	}
	args := j.plan.manager.installArgs(j.plan.lock != "", production)
	fmt.Fprintf(j.Log, "installing dependencies: %s %s\n", j.plan.manager.program(), strings.Join(args, " "))
	restore, err := j.hideProvided(dir)
	if err == nil {
		err = n.run(ctx, j, step{what: "installing dependencies", args: append(tool, args...), dir: dir, network: true, read: explainInstall})
	}
	if err = errors.Join(err, restore()); err != nil {
		return err
	}
	if is, err := lang.MadeDir(j.Work, filepath.Join(dir, "node_modules")); err != nil || !is {
		return err
	}
	return removeFrameworks(dir)
}

// removeFrameworks removes the frameworks of the registry from the modules of a directory, and nothing where these lead elsewhere.
func removeFrameworks(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("removing the framework of the registry: %w", err)
	}
	defer root.Close()
	for _, name := range frameworkNames {
		if err := root.RemoveAll("node_modules/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the framework of the registry: %w", err)
		}
	}
	return nil
}

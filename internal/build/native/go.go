package native

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// golang compiles Go.
type golang struct {
	opts    Options
	version string // "go1.26.8"
	full    string // directories of the framework's source
	lean    string
	fwHash  string
	needs   []string // module paths the full framework requires
}

var _ language = (*golang)(nil)

func newGolang(ctx context.Context, o Options) (*golang, error) {
	g := &golang{opts: o}
	text, err := os.ReadFile(filepath.Join(o.GoRoot, "VERSION"))
	if err != nil {
		return nil, fmt.Errorf("reading the version of the Go distribution in %q: %w", o.GoRoot, err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	g.version = strings.TrimSpace(first)
	for _, dir := range []string{g.buildCache(), g.modCache(nil, "")} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("preparing the Go caches: %w", err)
		}
	}
	if err := g.writeFramework(); err != nil {
		return nil, err
	}
	return g, ctx.Err()
}

// identity is what of this language makes a result what it is.
func (g *golang) identity() string { return g.version + " " + g.fwHash }

func (g *golang) buildCache() string {
	if g.opts.BuildCache != "" {
		return g.opts.BuildCache
	}
	return filepath.Join(g.opts.Dir, "cache/go-build")
}

// modCache is shared by all builds that verify what they download. Others get one for their namespace and settings.
func (g *golang) modCache(settings map[string]string, id string) string {
	shared := g.opts.ModCache
	if shared == "" {
		shared = filepath.Join(g.opts.Dir, "cache/go-mod")
	}
	unverified := maps.Clone(settings)
	delete(unverified, "GOPROXY") // a proxy cannot forge what the checksum database signed
	if len(unverified) == 0 {
		return shared
	}
	namespace, _, _ := strings.Cut(id, "/")
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", namespace)
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(h, "%q=%q\n", k, settings[k])
	}
	return filepath.Join(g.opts.Dir, "cache", fmt.Sprintf("go-mod-%x", h.Sum(nil)[:8]))
}

// writeFramework lays the framework's source where all builds read it, under the name of its content.
func (g *golang) writeFramework() error {
	h := sha256.New()
	for _, files := range []map[string][]byte{g.opts.Framework.Full, g.opts.Framework.Lean} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			fmt.Fprintf(h, "%q %d\n%s", name, len(files[name]), files[name])
		}
	}
	g.fwHash = fmt.Sprintf("%x", h.Sum(nil)[:12])
	dir := filepath.Join(g.opts.Dir, "cache/framework", g.fwHash)
	g.full, g.lean = filepath.Join(dir, "full"), filepath.Join(dir, "lean")
	var err error
	if g.needs, err = requirements(g.opts.Framework.Full["go.mod"]); err != nil {
		return fmt.Errorf("reading the framework's go.mod: %w", err)
	}
	if _, err := os.Stat(dir); err == nil {
		touch(dir)
		return nil
	}
	tmp, err := os.MkdirTemp(filepath.Join(g.opts.Dir, "cache"), "framework-")
	if err != nil {
		return fmt.Errorf("writing the framework's source: %w", err)
	}
	defer os.RemoveAll(tmp)
	for sub, files := range map[string]map[string][]byte{"full": g.opts.Framework.Full, "lean": g.opts.Framework.Lean} {
		if err := writeFiles(filepath.Join(tmp, sub), files); err != nil {
			return fmt.Errorf("writing the framework's source: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("writing the framework's source: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing the framework's source: %w", err)
	}
	return nil
}

func writeFiles(dir string, files map[string][]byte) error {
	for name, data := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (g *golang) detect(t *tree, _ funcEnv) bool {
	return slices.ContainsFunc(t.files, func(f file) bool {
		_, in := below(t.sub, f.path)
		return in && (strings.HasSuffix(f.path, ".go") || strings.HasSuffix(f.path, "/go.mod") || f.path == "go.mod")
	})
}

// compile finds out what to build, gives it the main and the modules it lacks, and builds it with one run of the go command.
func (g *golang) compile(ctx context.Context, j *job) (program, error) {
	if err := g.checkRuntime(j.env.runtimeVersion, j.log); err != nil {
		return program{}, err
	}
	p, err := g.plan(j)
	if err != nil {
		return program{}, err
	}
	fmt.Fprintf(j.log, "found %s\n", p.describe())
	if err := g.prepare(ctx, j, p); err != nil {
		return program{}, err
	}
	fmt.Fprintf(j.log, "compiling with %s\n", strings.Replace(g.version, "go", "Go ", 1))
	out := filepath.Join(j.work, "function")
	if err := g.build(ctx, j, p, out); err != nil {
		return program{}, err
	}
	return program{file: out, env: p.env(j.env), labels: g.labels(p), listenFD: p.kind != completeMain}, nil
}

func (g *golang) labels(p *plan) map[string]string {
	if p.kind == completeMain {
		return nil
	}
	return map[string]string{
		"io.openfunction.framework":         "go",
		"io.openfunction.framework.version": g.opts.Framework.Version,
		"io.openfunction.signature":         string(p.kind),
	}
}

// build is the one run of `go build`.
func (g *golang) build(ctx context.Context, j *job, p *plan, out string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=" + quoted(append([]string{"-s", "-w", "-buildid="}, j.env.ldflags...)), "-o", out}
	if len(j.env.gcflags) > 0 {
		args = append(args, "-gcflags="+quoted(j.env.gcflags))
	}
	args = append(args, j.env.goArgs...)
	args = append(args, p.target)
	if p.vendored {
		return g.run(ctx, j, p, goRun{args: args, env: []string{"GOWORK=off"}, dir: p.runDir})
	}
	kept, sums := g.sums(j, p), p.workspace+".sum"
	if copyFile(kept, sums) == nil { // without it the go command asks the checksum database again
		touch(kept)
	}
	if err := g.run(ctx, j, p, goRun{args: args, env: []string{"GOWORK=" + p.workspace}, dir: p.runDir}); err != nil {
		return err
	}
	return keepSums(sums, kept)
}

// keepSums remembers the sums that the go command verified for a workspace.
func keepSums(sums, kept string) error {
	data, err := os.ReadFile(sums)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the workspace's sums: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o750); err != nil {
		return fmt.Errorf("keeping the workspace's sums: %w", err)
	}
	if err := writeFile(kept, data); err != nil {
		return fmt.Errorf("keeping the workspace's sums: %w", err)
	}
	return nil
}

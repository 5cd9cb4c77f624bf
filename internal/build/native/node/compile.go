package node

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// The compiler of TypeScript for projects that bring none: its version and the digests of its packages.
//
//go:embed esbuild
var esbuild embed.FS

// compiled is the directory that the compiler writes to where the project names none.
const compiled = ".ofn"

// build runs the script "build" of the project, and compiles TypeScript that is still not compiled then.
func (n *Node) build(ctx context.Context, j *job) error {
	p := j.plan
	if script := p.manifest.Scripts["build"]; script != "" {
		if err := n.runScript(ctx, j, script); err != nil {
			return err
		}
		if p.server == nil {
			p.takeMain(j)
		}
	}
	if p.server == nil && isTypeScript(p.run) {
		compile := n.transpile
		if p.ownTypeScript() {
			compile = n.typescript
		}
		if err := compile(ctx, j); err != nil {
			return err
		}
	}
	return n.finish(ctx, j)
}

func (n *Node) runScript(ctx context.Context, j *job, script string) error {
	tool, err := n.tool(j.plan.manager)
	if err != nil {
		return err
	}
	fmt.Fprintf(j.Log, "running the script \"build\": %s\n", script)
	return n.run(ctx, j, step{what: `the script "build" of package.json`, args: append(tool, "run", "build"), dir: j.dir, network: true, read: explain("BuildScriptFailed")})
}

// takeMain takes the main of package.json when the script has made it.
func (p *plan) takeMain(j *job) {
	if p.manifest.Main == "" || j.Env.Source != "" {
		return
	}
	for _, candidate := range mainCandidates(path.Join(p.root, p.manifest.Main)) {
		if !isTypeScript(candidate) && isFile(j.Tree.Abs(candidate)) {
			p.run = candidate
			return
		}
	}
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// typescript compiles with the compiler and the settings of the project.
func (n *Node) typescript(ctx context.Context, j *job) error {
	p := j.plan
	tsc := filepath.Join(j.dir, "node_modules/typescript/bin/tsc")
	project := isFile(filepath.Join(j.dir, "tsconfig.json"))
	out, err := n.outDir(ctx, j, tsc, project)
	if err != nil {
		return err
	}
	args := []string{j.runtime.program, tsc, "--sourceMap", "--inlineSources", "--noEmit", "false", "--pretty", "false"}
	if project {
		args = append(args, "-p", "tsconfig.json")
	} else {
		args = append(args, mustRel(p.root, p.entry), "--module", "nodenext", "--target", "es2022", "--esModuleInterop", "--skipLibCheck")
	}
	if out == "" {
		out = compiled
		args = append(args, "--outDir", compiled, "--rootDir", ".")
	}
	fmt.Fprintln(j.Log, "compiling with the project's TypeScript")
	if err := n.run(ctx, j, step{what: "compiling TypeScript", args: args, dir: j.dir, read: explain("CompileFailed")}); err != nil {
		return err
	}
	return p.takeCompiled(j, out)
}

// outDir asks the compiler for the directory that the project wants its output in; empty when it names none.
func (n *Node) outDir(ctx context.Context, j *job, tsc string, project bool) (string, error) {
	if !project {
		return "", nil
	}
	said, code, err := n.output(ctx, j, step{args: []string{j.runtime.program, tsc, "--showConfig", "-p", "tsconfig.json"}, dir: j.dir, quiet: true})
	if err != nil {
		return "", err
	}
	var config struct {
		CompilerOptions struct {
			OutDir string `json:"outDir"`
		} `json:"compilerOptions"`
	}
	if code != 0 || json.Unmarshal([]byte(said), &config) != nil {
		return "", lang.Failure("CompileFailed", "reading tsconfig.json failed:\n%s", lang.Tail(said))
	}
	out := path.Clean(config.CompilerOptions.OutDir)
	if path.IsAbs(out) || out == ".." || strings.HasPrefix(out, "../") {
		return "", lang.Failure("CompileFailed", "outDir of tsconfig.json is %q: it must be inside the project", out)
	}
	if config.CompilerOptions.OutDir == "" {
		return "", nil
	}
	return out, nil
}

var tsExtension = regexp.MustCompile(`\.([cm]?)ts$`)

// takeCompiled finds what the file of the function was compiled to.
func (p *plan) takeCompiled(j *job, out string) error {
	rel := tsExtension.ReplaceAllString(mustRel(p.root, p.entry), ".${1}js")
	candidates := []string{path.Join(out, rel)}
	for dir, rest, ok := strings.Cut(rel, "/"); ok; dir, rest, ok = strings.Cut(rest, "/") { // below rootDir, which may be deeper
		_ = dir
		candidates = append(candidates, path.Join(out, rest))
	}
	for _, c := range candidates {
		if at := path.Join(p.root, c); isFile(j.Tree.Abs(at)) {
			p.run = at
			return nil
		}
	}
	return lang.Failure("CompileFailed", "compiling %s made none of %s: look at include, rootDir and outDir of tsconfig.json", p.entry, strings.Join(candidates, ", "))
}

// transpile compiles the file of the function, and what it imports from the source, to one file beside it.
func (n *Node) transpile(ctx context.Context, j *job) error {
	tool, err := n.esbuild(ctx, j)
	if err != nil {
		return err
	}
	p := j.plan
	fmt.Fprintln(j.Log, "compiling TypeScript without checking its types (put typescript into devDependencies to have them checked)")
	if p.run, err = n.bundle(ctx, j, tool, p.entry); err != nil {
		return err
	}
	for _, f := range j.Tree.Files {
		rel, in := lang.Below(path.Join(p.root, "plugins"), f.Path)
		if in && !strings.Contains(rel, "/") && isTypeScript(rel) && isCode(rel) {
			if _, err := n.bundle(ctx, j, tool, f.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// bundle returns the file that it made.
func (n *Node) bundle(ctx context.Context, j *job, tool, file string) (string, error) {
	format, ext := "cjs", ".cjs"
	if strings.HasSuffix(file, ".mts") || (j.plan.manifest.Type == "module" && !strings.HasSuffix(file, ".cts")) {
		format, ext = "esm", ".mjs"
	}
	out := path.Join(path.Dir(file), "ofn-"+tsExtension.ReplaceAllString(path.Base(file), "")+ext)
	err := n.run(ctx, j, step{
		what: "compiling TypeScript",
		args: []string{
			j.runtime.program, tool, mustRel(j.plan.root, file), "--bundle", "--packages=external", "--platform=node", "--target=node20",
			"--format=" + format, "--sourcemap=linked", "--log-level=warning", "--outfile=" + mustRel(j.plan.root, out),
		},
		dir: j.dir, read: explain("CompileFailed"),
	})
	return out, err
}

// esbuild returns the compiler's program, which it installs when the machine does not have it yet.
func (n *Node) esbuild(ctx context.Context, j *job) (string, error) {
	lock, err := esbuild.ReadFile("esbuild/package-lock.json")
	if err != nil {
		return "", fmt.Errorf("reading the lock file of the compiler: %w", err)
	}
	manifest, err := esbuild.ReadFile("esbuild/package.json")
	if err != nil {
		return "", fmt.Errorf("reading the manifest of the compiler: %w", err)
	}
	kept := filepath.Join(n.opts.Cache, "tools", fmt.Sprintf("esbuild-%x", sha256.Sum256(lock))[:24])
	program := filepath.Join(kept, "node_modules/esbuild/bin/esbuild")
	if isFile(program) {
		lang.Touch(kept)
		j.sees = append(j.sees, kept)
		return program, nil
	}
	tool, err := n.tool(npm)
	if err != nil {
		return "", err
	}
	stage, err := os.MkdirTemp(j.Work, "esbuild-")
	if err != nil {
		return "", fmt.Errorf("preparing the compiler: %w", err)
	}
	for name, data := range map[string][]byte{"package.json": manifest, "package-lock.json": lock} {
		if err := os.WriteFile(filepath.Join(stage, name), data, 0o644); err != nil {
			return "", fmt.Errorf("preparing the compiler: %w", err)
		}
	}
	if err := os.Chmod(stage, 0o755); err != nil {
		return "", fmt.Errorf("preparing the compiler: %w", err)
	}
	fmt.Fprintln(j.Log, "fetching the compiler of TypeScript")
	if err := n.run(ctx, j, step{what: "fetching the compiler of TypeScript", args: append(tool, "ci", "--ignore-scripts"), dir: stage, network: true, quiet: true, read: explainInstall}); err != nil {
		return "", err
	}
	if err := os.Rename(stage, kept); err != nil && !isFile(program) {
		return "", fmt.Errorf("keeping the compiler: %w", err)
	}
	j.sees = append(j.sees, kept)
	return program, nil
}

// mustRel makes p, which is at or below dir, relative to it.
func mustRel(dir, p string) string {
	rel, ok := lang.Below(dir, p)
	if !ok {
		return p
	}
	return rel
}

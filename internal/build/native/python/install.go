package python

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// install installs what the project needs. What a lock file fixes is kept for the next build of the namespace.
func (p *Python) install(ctx context.Context, j *job) error {
	d, err := readDependencies(j)
	if err != nil || d.file == "" {
		return err
	}
	j.deps = d
	if d.uv {
		if err := p.exportUV(ctx, j); err != nil {
			return err
		}
	}
	file := filepath.Join(j.dir, d.file)
	if j.deps.text != nil {
		file = filepath.Join(j.dir, ".ofn-requirements.txt") // beside the source, so that paths in it mean the same
		if err := lang.WriteFile(file, j.deps.text); err != nil {
			return fmt.Errorf("writing the requirements: %w", err)
		}
	}
	args := []string{"-r", file}
	if j.deps.text != nil && bytes.Contains(j.deps.text, []byte("--hash=")) && d.locked {
		args = append(args, "--no-deps", "--require-hashes")
	}
	fill := func(dir string) error {
		fmt.Fprintf(j.Log, "installing what %s names\n", d.file)
		if err := p.pip(ctx, j, d.file, dir, args); err != nil {
			return err
		}
		return p.bytecode(ctx, j, dir, "/"+imagePackages)
	}
	if !d.locked && !p.opts.Local {
		if j.deps.dir, err = j.Fresh(); err != nil {
			return err
		}
		j.Guard(j.deps.dir)
		return fill(j.deps.dir)
	}
	name, err := p.packagesKey(j, file)
	if err != nil {
		return err
	}
	j.deps.dir, err = p.made(ctx, j, name, fill)
	return err
}

// packagesKey names the packages that a file of requirements fixes, for one namespace and one setting of pip.
func (p *Python) packagesKey(j *job, file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the requirements: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %s\n%s\n", namespace(j.Request), j.python.key(), data)
	for _, k := range settings {
		fmt.Fprintf(h, "%s=%q\n", k, j.Env.Rest[k])
	}
	if j.Env.Command != "" {
		fmt.Fprintln(h, "with programs")
	}
	return fmt.Sprintf("packages/%x", h.Sum(nil)[:16]), nil
}

// maxRequirements is much more than any project requires.
const maxRequirements = 16 << 20

// exportUV has uv write its lock file as requirements with digests.
func (p *Python) exportUV(ctx context.Context, j *job) error {
	uv := p.opts.Find("uv")
	if uv == "" {
		return lang.ToolMissing("a project with uv.lock", "uv", "uv, as with `pip install uv`; or commit what `uv export --no-dev --no-emit-project` writes as requirements.txt instead of uv.lock")
	}
	downloads, err := p.downloads(j)
	if err != nil {
		return err
	}
	env, readOnly := p.environment(j, downloads)
	if real, err := filepath.EvalSymlinks(uv); err == nil {
		uv = real
	}
	out := filepath.Join(j.Work, "uv-requirements.txt")
	said := newWords(j)
	code, err := p.opts.Run(ctx, j.Job, lang.Command{
		Args: []string{uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate", "--quiet", "--format", "requirements-txt", "--output-file", out},
		Env:  env, Dir: j.dir, ReadOnly: append(readOnly, uv), ReadWrite: []string{downloads}, Network: true, Output: said,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return lang.Failure("LockInvalid", "uv.lock cannot be used: %s", said.Text())
	}
	j.deps.text, err = lang.ReadMade(j.Work, out, maxRequirements)
	return err
}

// downloads is the cache of a namespace: packages are built from source by code of their own, so that no namespace can give another one its.
func (p *Python) downloads(j *job) (string, error) {
	sum := sha256.Sum256([]byte(namespace(j.Request)))
	dir := filepath.Join(p.opts.Cache, "downloads", fmt.Sprintf("%x", sum[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("preparing the download cache: %w", err)
	}
	lang.Touch(dir)
	return dir, nil
}

// pip installs into a directory. what names the cause of the installation, for messages.
func (p *Python) pip(ctx context.Context, j *job, what, target string, args []string) error {
	if !j.python.Pip {
		return lang.ToolMissing("Python", "pip for "+j.python.Program, "the package python3-pip of your system")
	}
	downloads, err := p.downloads(j)
	if err != nil {
		return err
	}
	env, readOnly := p.environment(j, downloads)
	said := newWords(j)
	code, err := p.opts.Run(ctx, j.Job, lang.Command{
		Args: append([]string{j.python.Program, "-m", "pip", "install", "--no-compile", "--no-warn-conflicts", "--target", target}, args...),
		Env:  env, Dir: j.dir, ReadOnly: readOnly, ReadWrite: []string{downloads}, Network: true, Output: said,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return explain(what, code, said.Text())
	}
	if j.Env.Command != "" && filepath.Base(target) != serverDir { // the command may be one of the programs that packages bring
		return nil
	}
	return os.RemoveAll(filepath.Join(target, "bin")) // programs for a shell, with the path of this machine's interpreter
}

var (
	notFound  = regexp.MustCompile(`(?m)^ERROR: No matching distribution found for (.+)$`)
	notBuilt  = regexp.MustCompile(`(?m)(Failed building wheel for|Failed to build|metadata-generation-failed|subprocess-exited-with-error|Building wheel for .* did not run successfully)`)
	conflicts = regexp.MustCompile(`(?m)(ResolutionImpossible|conflicting dependencies)`)
	digests   = regexp.MustCompile(`(?m)(THESE PACKAGES DO NOT MATCH THE HASHES|Hashes are required in --require-hashes mode)`)
	badLine   = regexp.MustCompile(`(?m)^ERROR: (Invalid requirement.*|Could not open requirements file.*)$`)
	forbidden = regexp.MustCompile(`(?m)(40[13] Error, Credentials not correct|HTTP error 40[13] |40[13] Client Error)`)
	noNetwork = regexp.MustCompile(`(?m)(NewConnectionError|Temporary failure in name resolution|Connection refused|ProxyError)`)
)

// explain says why pip failed. It has no codes, so the reason goes by its words; its words are shown in any case.
func explain(what string, code int, text string) error {
	switch {
	case badLine.MatchString(text):
		return lang.Failure("RequirementsInvalid", "%s: %s", what, badLine.FindStringSubmatch(text)[1])
	case digests.MatchString(text):
		return lang.Failure("DependencyMismatch", "%s: what was downloaded is not what it fixes\n%s", what, text)
	case conflicts.MatchString(text):
		return lang.Failure("DependencyUnresolved", "%s asks for versions that do not go together\n%s", what, text)
	case forbidden.MatchString(text):
		return lang.Failure("DependencyForbidden", "%s: the package index refuses the login: name a secret with one for it\n%s", what, text)
	case noNetwork.MatchString(text) && !notBuilt.MatchString(text):
		return lang.Failure("DependencyUnresolved", "%s: the package index cannot be reached\n%s", what, text)
	case notFound.MatchString(text):
		return lang.Failure("DependencyUnresolved", "%s: there is no %s for this Python in the package index: check its name and version; for a private index set PIP_INDEX_URL in build.env and name a secret with its login\n%s",
			what, strings.TrimSpace(notFound.FindStringSubmatch(text)[1]), text)
	case notBuilt.MatchString(text):
		return lang.Failure("DependencyBuildFailed", "%s: a package has no wheel for this Python and could not be built from its source\n%s", what, text)
	}
	if text == "" {
		text = fmt.Sprintf("pip ended with code %d and said nothing", code)
	}
	return lang.Failure("DependencyUnresolved", "%s: %s", what, text)
}

package node

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// step is one command of a build.
type step struct {
	what    string // "installing dependencies"
	args    []string
	env     []string
	dir     string
	network bool
	quiet   bool                                   // its output is not shown
	read    func(step, int, string) *build.Failure // makes a failure of its exit code and words
}

// run runs a command of the build with its words in the log, and makes of a failed one a *build.Failure.
func (n *Node) run(ctx context.Context, j *job, s step) error {
	said, code, err := n.output(ctx, j, s)
	if err != nil {
		return err
	}
	if code != 0 {
		return s.read(s, code, said)
	}
	return nil
}

// output runs a command and returns what it said, at most the end of it.
func (n *Node) output(ctx context.Context, j *job, s step) (string, int, error) {
	namespace, _, _ := strings.Cut(j.Request.ID, "/")
	downloads := filepath.Join(n.opts.Cache, "downloads", fmt.Sprintf("%x", sha256.Sum256([]byte(namespace)))[:16])
	if err := os.MkdirAll(downloads, 0o755); err != nil {
		return "", 0, fmt.Errorf("preparing the download cache: %w", err)
	}
	lang.Touch(downloads)
	log := j.Log
	if s.quiet {
		log = io.Discard
	}
	w := &lang.Words{
		Log: log, Rewrite: strings.NewReplacer(j.Tree.Root+"/", "", j.Tree.Root, ".", j.Work+"/", ""),
		Drop: func(line string) bool { return strings.Contains(line, `Unknown env config "nodedir"`) }, // which compilers of extensions read
	}
	args := s.args
	if strings.HasSuffix(args[0], ".js") { // corepack and npm may be scripts without their link
		args = append([]string{j.runtime.program}, args...)
	}
	code, err := n.opts.Run(ctx, j.Job, lang.Command{
		Args: args, Env: append(n.environment(j, downloads), s.env...), Dir: s.dir,
		ReadOnly:  append(visible(n.opts.Find("node"), args[0]), j.sees...),
		ReadWrite: []string{downloads}, Network: s.network, Output: w,
	})
	return w.Text(), code, err
}

var noise = regexp.MustCompile(`(?m)^.*(A complete log of this run|npm (warn|WARN|notice)|npm (error|ERR!)\s*$|/_logs/|npm (error|ERR!) (gyp info|Log files)|gyp (info|http) ).*\n?`)

// explainInstall says why dependencies could not be had. Package managers have no exit codes for it, so the reason goes by their words, which
// are shown in any case.
func explainInstall(s step, code int, said string) *build.Failure {
	text := lang.Tail(noise.ReplaceAllString(said, ""))
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) })
	}
	switch {
	case has("code E404", "ERR_PNPM_FETCH_404", "code ETARGET", "ERR_PNPM_NO_MATCHING_VERSION", "Couldn't find package", "Couldn't find any versions", "No matching version", "YN0035", "YN0082"):
		return lang.Failure("DependencyMissing", "%s\na package cannot be had: check its name and version in package.json; for a private registry name a secret with its login", text)
	case has("code E401", "code E403", "ERR_PNPM_FETCH_401", "ERR_PNPM_FETCH_403", "code ENEEDAUTH", "YN0041"):
		return lang.Failure("DependencyForbidden", "%s\nthe registry refuses the login: name a secret with one for it", text)
	case has("code ERESOLVE", "ERR_PNPM_PEER_DEP"):
		return lang.Failure("DependencyConflict", "%s", text)
	case has("code EUSAGE", "can only install packages when your package.json and package-lock.json", "ERR_PNPM_OUTDATED_LOCKFILE", "frozen-lockfile", "YN0028"):
		return lang.Failure("LockMismatch", "%s\nthe lock file does not fit package.json: install with your package manager and commit both", text)
	case has("code EINTEGRITY", "ERR_PNPM_TARBALL_INTEGRITY", "Integrity check failed", "YN0018"):
		return lang.Failure("DependencyMismatch", "%s", text)
	case has("gyp ERR!", "node-gyp", "node-pre-gyp"):
		return lang.Failure("ExtensionFailed", "%s\na native extension could not be compiled: it may need a C++ compiler, make, python3 or libraries that this machine lacks", text)
	case has("ENOSPC", "no space left on device"):
		return lang.Failure("DiskFull", "%s", text)
	case has("code EBADENGINE", "ERR_PNPM_UNSUPPORTED_ENGINE"):
		return lang.Failure("RuntimeUnsupported", "%s", text)
	case has("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET"):
		return lang.Failure("RegistryUnreachable", "%s\nthe package registry could not be reached", text)
	}
	return explain("InstallFailed")(s, code, said)
}

// explain makes failures of one reason.
func explain(reason string) func(step, int, string) *build.Failure {
	return func(s step, code int, said string) *build.Failure {
		text := lang.Tail(noise.ReplaceAllString(said, ""))
		if text == "" {
			text = "it said nothing"
		}
		return lang.Failure(reason, "%s failed with code %d:\n%s", s.what, code, text)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

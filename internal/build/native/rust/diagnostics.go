package rust

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// newWords takes what cargo says, with paths as the user knows them.
func newWords(j *job) *lang.Words {
	pairs := []string{filepath.Join(j.Work, "main") + "/", "", j.Work + "/", ""}
	if j.Tree != nil {
		pairs = append([]string{j.Tree.Root + "/", "", j.Tree.Root, "."}, pairs...)
	}
	return &lang.Words{Log: j.Log, Rewrite: strings.NewReplacer(pairs...)}
}

var progress = regexp.MustCompile(`(?m)^\s*(Compiling|Downloading|Downloaded|Updating|Locking|Adding|Checking|Finished|Blocking|Fetching|Fresh|Dirty|Patch) .*\n?`)

// explainFetch says why dependencies could not be had. Cargo has no exit codes for it, so the reason goes by its words, which are shown
// in any case.
func explainFetch(_ *job, code int, said string) *build.Failure {
	text := lang.Tail(progress.ReplaceAllString(said, ""))
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) })
	}
	switch {
	case has("no matching package named", "failed to select a version for", "no matching package found", "couldn't find remote ref", "failed to find branch"):
		return lang.Failure("DependencyMissing", "%s\na crate cannot be had: check its name, version and features in Cargo.toml; for a private registry name a secret with its login", text)
	case has("401", "403", "authentication", "no token found"):
		return lang.Failure("DependencyForbidden", "%s\nthe registry refuses the login: name a secret with one for it", text)
	case has("requires rustc", "rustc version", "requires the Cargo feature"):
		return lang.Failure("RuntimeUnsupported", "%s\nthis machine's Rust is older: update it, or ask for less in rust-version", text)
	case has("failed to verify the checksum", "checksum for"):
		return lang.Failure("DependencyMismatch", "%s", text)
	case has("failed to parse manifest", "failed to load manifest", "error inheriting", "can't find library", "can't find"):
		return lang.Failure("ManifestInvalid", "%s", text)
	case has("Could not resolve host", "failed to download", "Connection refused", "timed out", "spurious network error"):
		return lang.Failure("RegistryUnreachable", "%s\nthe registry of crates could not be reached", text)
	case has("No space left on device"):
		return lang.Failure("DiskFull", "%s", text)
	}
	return lang.Failure("DependencyMissing", "getting the dependencies failed with code %d:\n%s", code, text)
}

// explainCompile says why a program could not be compiled. Errors of the rendered main are about the function that it names.
func explainCompile(j *job, code int, said string) *build.Failure {
	text := lang.Tail(progress.ReplaceAllString(said, ""))
	has := func(w string) bool { return strings.Contains(said, w) }
	p := j.plan
	switch {
	case p != nil && p.program == "" && (has("could not compile `" + generated + "`")):
		if has("error[E0425]") || has("error[E0433]") || has("error[E0603]") {
			return lang.Failure("FunctionNotFound", "FUNC_NAME is %q, but %s has no public function of that name:\n%s", p.name, p.file, text)
		}
		return mismatch(p)
	case has("rustc ") && has("is not supported by the following"), has("requires rustc"):
		return lang.Failure("RuntimeUnsupported", "%s\nthis machine's Rust is older: update it, or ask for less in rust-version", text)
	case has("No space left on device"):
		return lang.Failure("DiskFull", "%s", text)
	case has("signal: 9, SIGKILL"):
		return lang.Failure("OutOfMemory", "%s\nthe compiler was killed, most likely for its memory", text)
	case has("failed to run custom build command"):
		return lang.Failure("BuildScriptFailed", "%s\na build script failed: it may need programs or libraries that this machine lacks, or the network, which it has not", text)
	case has("linking with"):
		return lang.Failure("LinkFailed", "%s", text)
	}
	if text == "" {
		text = fmt.Sprintf("cargo ended with code %d and said nothing", code)
	}
	return lang.Failure("CompileFailed", "%s", text)
}

func mismatch(p *plan) *build.Failure {
	at, what := p.file, p.name
	if p.line > 0 {
		at, what = fmt.Sprintf("%s:%d", p.file, p.line), fmt.Sprintf("%s is `%s`", p.name, p.text)
	}
	return lang.Failure("SignatureMismatch", "%s: function %s, which cannot be served; it must be one of:\n%s", at, what, signatures)
}

package rust

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

const (
	maxWords = 64 << 10
	maxLine  = 8 << 10
)

// words passes what cargo says on to the log, line by line, with paths as the user knows them, and keeps the end of it.
type words struct {
	log     io.Writer
	rewrite *strings.Replacer

	mu      sync.Mutex
	partial []byte
	kept    bytes.Buffer
}

func newWords(j *job) *words {
	pairs := []string{filepath.Join(j.Work, "main") + "/", "", j.Work + "/", ""}
	if j.Tree != nil {
		pairs = append([]string{j.Tree.Root + "/", "", j.Tree.Root, "."}, pairs...)
	}
	return &words{log: j.Log, rewrite: strings.NewReplacer(pairs...)}
}

// Write never fails: a build does not end because nobody reads its log.
func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partial = append(w.partial, b...)
	for {
		i := bytes.IndexByte(w.partial, '\n')
		if i < 0 && len(w.partial) < maxLine {
			return len(b), nil
		}
		if i < 0 {
			i = len(w.partial) - 1
		}
		w.line(string(w.partial[:i+1]))
		w.partial = w.partial[i+1:]
	}
}

func (w *words) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.partial) > 0 {
		w.line(string(w.partial) + "\n")
		w.partial = nil
	}
}

// line needs w.mu.
func (w *words) line(s string) {
	s = w.rewrite.Replace(s)
	_, _ = io.WriteString(w.log, s) // a log that cannot be written is no reason to fail the build
	w.kept.WriteString(s)
	if w.kept.Len() > 2*maxWords {
		rest := slices.Clone(w.kept.Bytes()[w.kept.Len()-maxWords:])
		w.kept.Reset()
		w.kept.Write(rest)
	}
}

var progress = regexp.MustCompile(`(?m)^\s*(Compiling|Downloading|Downloaded|Updating|Locking|Adding|Checking|Finished|Blocking|Fetching|Fresh|Dirty|Patch) .*\n?`)

// explainFetch says why dependencies could not be had. Cargo has no exit codes for it, so the reason goes by its words, which are shown
// in any case.
func explainFetch(_ *job, code int, said string) *build.Failure {
	text := tail(progress.ReplaceAllString(said, ""))
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
	text := tail(progress.ReplaceAllString(said, ""))
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

// tail is the end of a text, in whole lines.
func tail(text string) string {
	const most = 8 << 10
	text = strings.TrimSpace(text)
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most:]
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return "…\n" + text
}

package golang

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

const (
	maxDiagnostics = 32 << 10
	maxLine        = 8 << 10
)

// diagnostics passes what the go command says on to the log, line by line, with paths as the user knows them, and keeps it.
type diagnostics struct {
	log     io.Writer
	rewrite *strings.Replacer

	mu      sync.Mutex
	partial []byte
	kept    bytes.Buffer
}

func newDiagnostics(j *job, p *plan) *diagnostics {
	return &diagnostics{log: j.Log, rewrite: strings.NewReplacer(
		j.Tree.Root+"/", "", j.Tree.Root, ".",
		"../main/main.go", "(generated main)", j.Work+"/main/main.go", "(generated main)",
		"../go.work.sum", "go.sum", j.Work+"/", "",
		generatedModule, "the function",
	)}
}

// Write never fails: a build does not end because nobody reads its log.
func (d *diagnostics) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.partial = append(d.partial, b...)
	for {
		i := bytes.IndexByte(d.partial, '\n')
		if i < 0 && len(d.partial) < maxLine {
			return len(b), nil
		}
		if i < 0 {
			i = len(d.partial) - 1
		}
		d.line(string(d.partial[:i+1]))
		d.partial = d.partial[i+1:]
	}
}

func (d *diagnostics) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.partial) > 0 {
		d.line(string(d.partial) + "\n")
		d.partial = nil
	}
}

// line needs d.mu.
func (d *diagnostics) line(s string) {
	if strings.HasPrefix(s, "# ") { // the name of a package; the positions that follow say more
		return
	}
	s = strings.TrimPrefix(d.rewrite.Replace(s), "./")
	_, _ = io.WriteString(d.log, s) // a log that cannot be written is no reason to fail the build
	if d.kept.Len() < maxDiagnostics && !strings.HasPrefix(s, "go: downloading ") && !strings.HasPrefix(s, "go: finding ") {
		d.kept.WriteString(s)
	}
}

var (
	noProvider = regexp.MustCompile(`(?m)^(.*?)(?:: )?no required module provides package ([^\s;]+);?.*(?:\n\t.*)*`)
	notInStd   = regexp.MustCompile(`(?m)^(.*?)(?:: )?package (\S+) is not in std.*$`)
)

// failure says what went wrong. The go command has no codes, so the reason goes by its words; its words are shown in any case.
func (d *diagnostics) failure(code int) *build.Failure {
	text := strings.TrimSpace(d.kept.String())
	has := func(words string) bool { return strings.Contains(text, words) }
	switch {
	case noProvider.MatchString(text):
		text = noProvider.ReplaceAllString(text, "$1: module of package $2 is not in go.mod: run `go get $2` beside your go.mod and commit go.mod and go.sum")
		return lang.Failure("ModuleMissing", "%s", text)
	case notInStd.MatchString(text):
		return lang.Failure("ModuleMissing", "%s", notInStd.ReplaceAllString(text, "$1: there is no package $2 in the standard library or the source"))
	case has("cannot find module providing package"), has("cannot find package"), has("unknown revision"), has("invalid version"),
		has("404 Not Found"), has("410 Gone"), has("403 Forbidden"), has("module lookup disabled"),
		has("/@v/"): // what a proxy was asked for and did not give, whatever its answer
		return lang.Failure("ModuleMissing", "%s\na module cannot be had: check its path and version; for one that is private set GOPRIVATE in build.env", text)
	case has("checksum mismatch"), has("SECURITY ERROR"):
		return lang.Failure("ModuleMismatch", "%s", text)
	case has("missing go.sum entry"):
		return lang.Failure("ModuleMissing", "%s\nrun `go mod tidy` and commit go.sum", text)
	case has("no space left on device"):
		return lang.Failure("DiskFull", "%s", text)
	case has("signal: killed"):
		return lang.Failure("OutOfMemory", "%s\nthe compiler was killed, most likely for its memory", text)
	}
	if text == "" {
		text = fmt.Sprintf("go ended with code %d and said nothing", code)
	}
	return lang.Failure("CompileFailed", "%s", text)
}

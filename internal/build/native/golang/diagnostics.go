package golang

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// newWords keeps the first of what the go command says: the cause.
func newWords(j *job, p *plan) *lang.Words {
	return &lang.Words{
		Log: j.Log, First: true,
		Rewrite: strings.NewReplacer(
			j.Tree.Root+"/", "", j.Tree.Root, ".",
			"../main/main.go", "(generated main)", j.Work+"/main/main.go", "(generated main)",
			"../go.work.sum", "go.sum", j.Work+"/", "",
			generatedModule, "the function",
		),
		Drop: func(line string) bool { return strings.HasPrefix(line, "# ") }, // the name of a package; the positions that follow say more
		Quiet: func(line string) bool {
			return strings.HasPrefix(line, "go: downloading ") || strings.HasPrefix(line, "go: finding ")
		},
	}
}

var (
	noProvider = regexp.MustCompile(`(?m)^(.*?)(?:: )?no required module provides package ([^\s;]+);?.*(?:\n\t.*)*`)
	notInStd   = regexp.MustCompile(`(?m)^(.*?)(?:: )?package (\S+) is not in std.*$`)
)

// explain says what went wrong. The go command has no codes, so the reason goes by its words; its words are shown in any case.
func explain(code int, text string) *build.Failure {
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

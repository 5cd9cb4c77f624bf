package java

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// notProgram are directories that build tools leave behind and no program reads.
var notProgram = []string{".git", ".gradle", ".kotlin", "generated-sources", "generated-test-sources", "maven-archiver", "maven-status", "surefire-reports",
	"test-classes", "test-results", "tmp"}

// commanded lays the runtime and what the build tool made into layers. What was made is where the tool made it, because that is where
// commands look for it: target/hello.jar, build/install/hello/bin/hello, and beside the source what the compiler alone made.
func (l *Java) commanded(j *job) (lang.Program, error) {
	out := lang.Program{
		Env:    []string{"JAVA_HOME=/" + imageRuntime, "LANG=C.UTF-8"},
		Labels: map[string]string{"io.openfunction.signature": "server"},
	}
	made, err := j.generated()
	if err != nil {
		return out, err
	}
	if len(made) > 0 {
		out.Above = []build.Layer{made}
	}
	out.SourceNeeded = len(j.made.classes) == 1 && j.made.classes[0] == j.made.server // a jar that was given
	if l.opts.Local {
		out.Local = &lang.Local{}
		return out, nil
	}
	runtime, err := l.runtimeLayer(j)
	if err != nil {
		return out, err
	}
	program := build.Entry{Path: "usr/local/bin/java", Mode: fs.ModeSymlink | 0o777, Link: "/" + imageRuntime + "/bin/java"}
	out.Shared = []build.Layer{runtime, {program}}
	return out, nil
}

// generated are the files that are in the copy of the source and were not in the source, and those of the compiler alone.
func (j *job) generated() (build.Layer, error) {
	original := map[string]bool{}
	for _, f := range j.Tree.Files {
		if rel, in := lang.Below(j.Tree.Sub, f.Path); in {
			original[rel] = true
		}
	}
	from := filepath.Join(j.Work, "project", filepath.FromSlash(j.Tree.Sub))
	l, err := lang.DirLayer(from, lang.SourceDir, func(p string, d fs.DirEntry) bool {
		if d.IsDir() {
			return !slices.Contains(notProgram, d.Name())
		}
		return !original[p]
	})
	if err != nil {
		return nil, fmt.Errorf("collecting what the build made: %w", err)
	}
	l = withoutEmpty(l)
	for _, dir := range j.made.classes {
		if dir != filepath.Join(j.Work, plainClasses) {
			continue
		}
		rel, err := filepath.Rel(from, j.dir)
		if err != nil {
			return nil, fmt.Errorf("collecting what the compiler made: %w", err)
		}
		if is, err := lang.MadeDir(j.Work, dir); err != nil || !is {
			return l, err
		}
		classes, err := lang.DirLayer(dir, path.Join(lang.SourceDir, filepath.ToSlash(rel)), nil)
		if err != nil {
			return nil, fmt.Errorf("collecting what the compiler made: %w", err)
		}
		l = append(l, classes...)
	}
	return l, nil
}

// withoutEmpty is a layer without directories that hold no files.
func withoutEmpty(l build.Layer) build.Layer {
	needed := map[string]bool{}
	for _, e := range l {
		if e.Mode.IsDir() {
			continue
		}
		for dir := path.Dir(e.Path); dir != "." && !needed[dir]; dir = path.Dir(dir) {
			needed[dir] = true
		}
	}
	return slices.DeleteFunc(l, func(e build.Entry) bool { return e.Mode.IsDir() && !needed[e.Path] })
}

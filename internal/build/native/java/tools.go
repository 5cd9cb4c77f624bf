package java

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// buildFiles are those by which a build tool is known.
var buildFiles = []string{"pom.xml", "build.gradle", "build.gradle.kts"}

// build runs the build tool of the source.
func (l *Java) build(ctx context.Context, j *job) error {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(j.dir, name))
		return err == nil
	}
	switch {
	case has("pom.xml"):
		return l.maven(ctx, j)
	case has("build.gradle"), has("build.gradle.kts"):
		return l.gradle(ctx, j)
	}
	sources, jars, err := plainFiles(j.dir)
	switch {
	case err != nil:
		return err
	case len(sources) > 0:
		return l.javac(ctx, j, sources, jars)
	case len(jars) > 0:
		return ready(j, jars)
	}
	return lang.Failure("SourceEmpty", "there is no pom.xml, build.gradle, Java file or jar%s", lang.At(j.Tree.Sub))
}

// plainFiles are the Java files and jars of a source without a build file.
func plainFiles(dir string) (sources, jars []string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(p, ".java"):
			sources = append(sources, p)
		case strings.HasSuffix(p, ".jar"):
			jars = append(jars, p)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the source: %w", err)
	}
	return sources, jars, nil
}

// plainClasses is where the compiler writes, in the work directory.
const plainClasses = "classes"

// javac compiles Java files that no build file belongs to. Jars beside them are their dependencies, all other files their resources.
func (l *Java) javac(ctx context.Context, j *job, sources, jars []string) error {
	out := filepath.Join(j.Work, plainClasses)
	path := append([]string{filepath.Join(j.frame, frameworkJar)}, jars...)
	path = append(path, filepath.Join(j.frame, eventsJar))
	args := append([]string{j.kit.tool("javac"), "-encoding", "UTF-8", "-parameters", "-cp", strings.Join(path, ":"), "-d", out}, sources...)
	code, said, err := l.run(ctx, j, step{args: args, sees: []string{j.frame}})
	if err != nil {
		return err
	}
	if code != 0 {
		return compileFailure(said)
	}
	j.made = product{classes: []string{out}, jars: jars}
	for _, dir := range []string{"resources", "src/main/resources"} {
		if info, err := os.Stat(filepath.Join(j.dir, dir)); err == nil && info.IsDir() {
			j.made.classes = append(j.made.classes, filepath.Join(j.dir, dir))
		}
	}
	return nil
}

// compileFailure explains what a compiler said.
func compileFailure(said string) *build.Failure {
	hint := ""
	for _, p := range []struct{ sign, hint string }{
		{"package io.dapr", "\nadd the dependency io.dapr:dapr-sdk: the framework does not bring it"},
		{"package io.cloudevents.core", "\nadd the dependency io.cloudevents:cloudevents-core: the framework brings the interfaces only"},
		{"package dev.openfunction.functions does not exist", "\nadd the dependency dev.openfunction.functions:functions-framework-api"},
	} {
		if strings.Contains(said, p.sign) {
			hint += p.hint
		}
	}
	return lang.Failure("CompileFailed", "%s%s", said, hint)
}

// ready takes jars that were given in place of a source: the one with functions or a program, and those that it needs.
func ready(j *job, jars []string) error {
	var main []string
	for _, jar := range jars {
		if filepath.Dir(jar) == j.dir {
			main = append(main, jar)
		}
	}
	if len(main) == 0 {
		return lang.Failure("SourceEmpty", "there are jars below directories only: put the one with the function or program where the build begins")
	}
	chosen := main[0]
	if len(main) > 1 {
		with := slices.DeleteFunc(slices.Clone(main), func(jar string) bool {
			class, err := mainClass(j.Work, jar)
			return err != nil || class == ""
		})
		if len(with) == 1 {
			chosen = with[0]
		}
	}
	fmt.Fprintf(j.Log, "taking %s as it is\n", filepath.Base(chosen))
	j.made = product{classes: []string{chosen}, server: chosen}
	for _, jar := range jars {
		if jar != chosen {
			j.made.jars = append(j.made.jars, jar)
		}
	}
	return nil
}

// found is what is in the classes.
type found struct {
	Functions []struct {
		Class    string
		Kinds    []string
		Routable bool
		Problem  string
	}
	Mains  []string
	Broken []struct{ Class, Error string }
}

// jarsIn are the jars of a directory below work, sorted; none when it is not there.
func jarsIn(work, dir string) ([]string, error) {
	if is, err := lang.MadeDir(work, dir); err != nil || !is {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the jars that the build made: %w", err)
	}
	var jars []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".jar") && e.Type().IsRegular() {
			jars = append(jars, filepath.Join(dir, e.Name()))
		}
	}
	return jars, nil
}

// wholeJar is the jar with everything that a build made, the largest one, without sources, documentation and tests.
func wholeJar(work, dir string) (string, error) {
	jars, err := jarsIn(work, dir)
	if err != nil {
		return "", err
	}
	best, size := "", int64(-1)
	for _, jar := range jars {
		name := strings.TrimSuffix(filepath.Base(jar), ".jar")
		if slices.ContainsFunc([]string{"-sources", "-javadoc", "-tests", "-plain"}, func(s string) bool { return strings.HasSuffix(name, s) }) || strings.HasPrefix(name, "original-") {
			continue
		}
		if info, err := os.Stat(jar); err == nil && info.Size() > size {
			best, size = jar, info.Size()
		}
	}
	return best, nil
}

var (
	wrongRelease = regexp.MustCompile(`(?:release version|invalid target release:|Source option|invalid source release:) ?'?"?(?:1\.)?(\d+)`)
	refusedLogin = regexp.MustCompile(`(?i)status(?: code)?:? 40[13]\b|\b40[13] (?:Unauthorized|Forbidden)|(?:Unauthorized|Forbidden) \(40[13]\)`)
	notFetched   = regexp.MustCompile(`(?m)^(Exception in thread.*|.*Failed to fetch .*)$`)
	absentThing  = regexp.MustCompile(`(?i)could not (?:find|resolve) |was not found in |Non-resolvable|Could not transfer artifact|Cannot resolve`)
)

// explain says why a build tool failed. Tools have no exit codes for it, so the reason goes by their words, which are shown in any case.
func explain(tool, file, said string, k kit) *build.Failure {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(said, w) })
	}
	if m := wrongRelease.FindStringSubmatch(said); m != nil {
		if want, err := strconv.Atoi(m[1]); err == nil && want > k.major {
			return lang.Failure("RuntimeUnsupported", "%s asks for Java %d; this machine has %s: install openjdk-%d-jdk-headless, or ask for less\n%s", file, want, k.full, want, said)
		}
	}
	if strings.Contains(said, "org.gradle.wrapper.") || strings.Contains(said, "Failed to fetch ") {
		line := strings.TrimSpace(notFetched.FindString(said))
		return lang.Failure("ToolMissing", "the wrapper of the project could not download %s: %s\ninstall %s on this machine, or let it reach the distributionUrl that the wrapper names", tool, line, strings.ToLower(tool))
	}
	switch {
	case has("COMPILATION ERROR", "Compilation failed", "compileJava' FAILED", "error: "):
		return compileFailure(said)
	case has("Non-parseable POM", "Could not compile build file", "Malformed POM", "The build could not read", "Unrecognised tag") && !absentThing.MatchString(said):
		return lang.Failure("BuildFileInvalid", "%s cannot be read:\n%s", file, said)
	case refusedLogin.MatchString(said):
		return lang.Failure("DependencyForbidden", "%s\nthe repository refuses the login: name a secret with one for it (settings.xml for Maven, gradle.properties for Gradle)", said)
	case has("Unknown host", "Connection refused", "UnknownHostException", "timed out", "Network is unreachable", "Temporary failure in name resolution"):
		return lang.Failure("RegistryUnreachable", "%s\nthe repository could not be reached", said)
	case absentThing.MatchString(said):
		return lang.Failure("DependencyMissing", "%s\na dependency cannot be had: check its group, name and version in %s; for a private repository name a secret with its login", said, file)
	case has("OutOfMemoryError", "Java heap space"):
		return lang.Failure("OutOfMemory", "%s\nthe build needs more memory than it may have", said)
	}
	return lang.Failure("BuildFailed", "%s failed:\n%s", tool, said)
}

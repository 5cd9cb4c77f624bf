package java

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// modules are those of the runtime: all that programs may name and the services behind them. It is one set for all functions, so that they
// share the layer: what a program loads by name, no tool can see.
const modules = "java.se,jdk.charsets,jdk.crypto.cryptoki,jdk.crypto.ec,jdk.httpserver,jdk.jfr,jdk.management,jdk.naming.dns,jdk.net,jdk.unsupported,jdk.xml.dom,jdk.zipfs"

// jre makes the runtime of images out of the development kit: its modules and an archive of its own classes.
func (l *Java) jre(ctx context.Context, j *job) error {
	if j.native != "" {
		return nil
	}
	name := fmt.Sprintf("runtimes/%s-%s", strings.ReplaceAll(j.kit.full, "/", "_"), lang.HashFiles(map[string][]byte{j.kit.home: []byte(modules)}))
	var err error
	j.runtime, err = l.shared(j, name, func(dir string) error {
		fmt.Fprintln(j.Log, "making the runtime of images, once")
		code, said, err := l.run(ctx, j, step{args: []string{j.kit.tool("jlink"), "--add-modules", modules, "--strip-debug", "--no-header-files", "--no-man-pages", "--output", dir}, quiet: true})
		if err != nil {
			return err
		}
		if code != 0 {
			return fmt.Errorf("jlink ended with code %d: %s", code, said)
		}
		code, said, err = l.run(ctx, j, step{args: []string{filepath.Join(dir, "bin/java"), "-Xshare:dump"}, quiet: true})
		if err == nil && code != 0 {
			err = fmt.Errorf("archiving the runtime's classes ended with code %d: %s", code, said)
		}
		return err
	})
	return err
}

// Files of the framework's directory.
const (
	frameworkJar = "framework.jar"
	eventsJar    = "cloudevents.jar"
)

// framework compiles the framework.
func (l *Java) framework(ctx context.Context, j *job) error {
	name := fmt.Sprintf("frameworks/%d-%s", j.kit.major, l.fwHash)
	var err error
	j.frame, err = l.shared(j, name, func(dir string) error {
		fmt.Fprintln(j.Log, "compiling the framework, once")
		src := filepath.Join(j.Work, "framework")
		for _, part := range []struct {
			name  string
			files map[string][]byte
			path  string
		}{{"stubs", l.opts.Stubs, ""}, {"cloudevents", l.opts.CloudEvents, ""}, {"framework", l.opts.Framework, "stubs:cloudevents"}} {
			if err := l.compilePart(ctx, j, src, part.name, part.path, part.files); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("preparing the framework: %w", err)
		}
		if err := writeJar(j.Work, filepath.Join(dir, frameworkJar), []string{filepath.Join(src, "framework")}, nil); err != nil {
			return err
		}
		return writeJar(j.Work, filepath.Join(dir, eventsJar), []string{filepath.Join(src, "cloudevents")}, nil)
	})
	return err
}

// compilePart compiles files into the directory name below dir; path is the class path, relative to dir.
func (l *Java) compilePart(ctx context.Context, j *job, dir, name, classPath string, files map[string][]byte) error {
	args := []string{j.kit.tool("javac"), "--release", fmt.Sprint(oldest), "-proc:none", "-nowarn", "-d", filepath.Join(dir, name)}
	if name == "framework" { // it names sun.misc.Signal, which no release promises
		args = []string{j.kit.tool("javac"), "-source", fmt.Sprint(oldest), "-target", fmt.Sprint(oldest), "-XDignore.symbol.file", "-proc:none", "-nowarn", "-cp", classPath, "-d", filepath.Join(dir, name)}
	}
	for _, file := range sorted(files) {
		at := filepath.Join(dir, name+"-src", filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return fmt.Errorf("writing the framework: %w", err)
		}
		if err := os.WriteFile(at, files[file], 0o644); err != nil {
			return fmt.Errorf("writing the framework: %w", err)
		}
		args = append(args, at)
	}
	code, said, err := l.run(ctx, j, step{args: args, dir: dir, quiet: true})
	if err == nil && code != 0 {
		err = fmt.Errorf("compiling the framework: %s", said)
	}
	return err
}

// Where things are in an image.
const (
	imageRuntime = "usr/local/java"
	imageDir     = lang.AppDir + "/java"
	imageLib     = imageDir + "/lib"
	appJar       = "app.jar"
	archiveFile  = "app.jsa"
)

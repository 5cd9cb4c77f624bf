package java

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/system"
)

// nativeSetting, in the build's environment, turns the compilation to a native program off, or its failure into one of the build.
const nativeSetting = "FUNC_NATIVE_IMAGE"

// The compiled program, in an image and among the classes that describe it to the compiler.
const (
	imageNative = imageDir + "/function"
	metadataDir = "META-INF/native-image/dev.openfunction/function"
)

// nativeImage is the compiler of GraalVM: that of the development kit, or another of this machine; empty without one.
func (l *Java) nativeImage(k kit) string {
	if program := k.tool("native-image"); exists(program) {
		return program
	}
	return l.opts.Find("native-image")
}

// compileNative makes a native program of the function where this machine has GraalVM's compiler. A function that it cannot compile runs on the
// usual runtime, unless the user insists.
func (l *Java) compileNative(ctx context.Context, j *job) error {
	wanted := j.Env.Rest[nativeSetting]
	program := l.nativeImage(j.kit)
	switch {
	case wanted == "false" || wanted == "" && program == "":
		return nil
	case wanted != "" && wanted != "true":
		return lang.InvalidEnv("%s is %q: it must be true or false", nativeSetting, wanted)
	case j.chosen.main != "":
		fmt.Fprintln(j.Log, "a complete program is not compiled by native-image: only its own build knows how")
		return nil
	case program == "":
		return lang.ToolMissing("Java with "+nativeSetting, "native-image", "GraalVM, and put its directory bin into PATH")
	}
	said, err := l.runNative(ctx, j, program)
	if err != nil || j.native != "" {
		return err
	}
	if wanted == "true" {
		return lang.Failure("CompileFailed", "native-image could not compile the function; leave out %s to run it on Java's runtime:\n%s", nativeSetting, said)
	}
	fmt.Fprintf(j.Log, "native-image could not compile the function, which runs on Java's runtime instead (%s: \"false\" does not try): %s\n", nativeSetting, lastLine(said))
	return nil
}

// runNative leaves j.native empty when the compiler fails.
func (l *Java) runNative(ctx context.Context, j *job, program string) (said string, err error) {
	dir, err := j.Fresh()
	if err != nil {
		return "", err
	}
	if err := l.describeNative(j, dir); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "function")
	cp := []string{dir, filepath.Join(j.frame, frameworkJar), j.appJar}
	sees := []string{j.frame}
	for _, jar := range j.made.jars {
		cp = append(cp, filepath.Join(j.deps, filepath.Base(jar)))
	}
	if j.deps != "" {
		sees = append(sees, j.deps)
	}
	if real, err := filepath.EvalSymlinks(program); err == nil && !strings.HasPrefix(real, "/usr/") {
		sees = append(sees, filepath.Dir(filepath.Dir(real)))
	}
	args := []string{program, "--no-fallback", "-march=compatibility", "-o", out, "-cp", strings.Join(append(cp, filepath.Join(j.frame, eventsJar)), ":")}
	if runtime.GOARCH != "amd64" { // the others have no such set of instructions to name
		args = append(args[:2], args[3:]...)
	}
	args = append(append(args, opens...), l.opts.Names.Main)
	fmt.Fprintln(j.Log, "compiling the function with native-image")
	code, said, err := l.run(ctx, j, step{args: args, dir: dir, sees: sees})
	if err != nil || code != 0 {
		return said, err
	}
	made, err := lang.OpenMade(j.Work, out)
	if err != nil {
		return said, err
	}
	j.native = out
	return said, made.Close()
}

// describeNative tells the compiler what is looked up by name: the function's classes, which the framework makes and reads JSON into, what the framework
// takes its socket with, and the lists of functions and plugins.
func (l *Java) describeNative(j *job, dir string) error {
	type method struct {
		Name  string   `json:"name"`
		Types []string `json:"parameterTypes"`
	}
	type class struct {
		Name         string   `json:"name"`
		Constructors bool     `json:"allDeclaredConstructors,omitempty"`
		Fields       bool     `json:"allDeclaredFields,omitempty"`
		Methods      bool     `json:"allDeclaredMethods,omitempty"`
		Only         []method `json:"methods,omitempty"`
	}
	reflected := []class{
		{Name: "java.io.FileDescriptor", Constructors: true},
		{Name: "sun.nio.ch.InheritedChannel", Only: []method{{"addressFamily", []string{"int"}}}},
		{Name: "sun.nio.ch.ServerSocketChannelImpl", Constructors: true},
		{Name: "java.lang.ProcessEnvironment", Fields: true},
	}
	names, err := classNames(j.Work, j.appJar)
	if err != nil {
		return err
	}
	for _, name := range names {
		reflected = append(reflected, class{Name: name, Constructors: true, Fields: true, Methods: true})
	}
	type pattern struct {
		Pattern string `json:"pattern"`
	}
	resources := map[string]any{"resources": map[string]any{"includes": []pattern{{`\Q` + indexFile + `\E`}, {`META-INF/services/.*`}}}}
	at := filepath.Join(dir, filepath.FromSlash(metadataDir))
	if err := os.MkdirAll(at, 0o755); err != nil { //nolint:gosec // as all that a build makes
		return fmt.Errorf("describing the function to native-image: %w", err)
	}
	for name, value := range map[string]any{"reflect-config.json": reflected, "resource-config.json": resources} {
		data, err := json.Marshal(value)
		if err == nil {
			err = lang.WriteFile(filepath.Join(at, name), data)
		}
		if err != nil {
			return fmt.Errorf("describing the function to native-image: %w", err)
		}
	}
	return nil
}

// nativeProgram lays the compiled program and the libraries of this machine that it needs into layers.
func (l *Java) nativeProgram(j *job) (lang.Program, error) {
	dir := fs.ModeDir | 0o755
	out := lang.Program{
		Layers:     []build.Layer{{{Path: lang.AppDir, Mode: dir}, {Path: imageDir, Mode: dir}, {Path: imageNative, Mode: 0o755, File: j.native}}},
		Env:        []string{"LANG=C.UTF-8"},
		Labels:     map[string]string{"io.openfunction.framework": "java", "io.openfunction.framework.version": l.opts.FrameworkVersion},
		Entrypoint: []string{"/" + imageNative},
	}
	l.describe(j, &out)
	libraries, err := system.Libraries(l.opts.Root, []string{j.native})
	if err != nil {
		return out, err
	}
	out.Shared = []build.Layer{libraries}
	return out, nil
}

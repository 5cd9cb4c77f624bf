package java

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

const mainClassText = "package app;\npublic class Main {\n  public static void main(String[] a) { System.out.println(\"served by \" + Main.class.getName()); }\n}\n"

// unpacked lays the layers of a program out below a new directory.
func unpacked(t *testing.T, layers ...build.Layer) string {
	t.Helper()
	root := t.TempDir()
	for _, l := range layers {
		var b bytes.Buffer
		if err := l.WriteTar(&b); err != nil {
			t.Fatal(err)
		}
		in := tar.NewReader(&b)
		for {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = unpack(in, h, filepath.Join(root, filepath.FromSlash(h.Name)))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func unpack(in io.Reader, h *tar.Header, at string) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(at, 0o755)
	case tar.TypeSymlink:
		return errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(h.Linkname, at))
	}
	data, err := io.ReadAll(in)
	return errors.Join(err, os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, fs.FileMode(h.Mode)), os.Chtimes(at, h.ModTime, h.ModTime))
}

// holds tells whether the layers have a path.
func holds(layers []build.Layer, path string) bool {
	return slices.ContainsFunc(layers, func(l build.Layer) bool {
		return slices.ContainsFunc(l, func(e build.Entry) bool { return e.Path == path })
	})
}

// commanded builds a source beside a command.
func commanded(t *testing.T, l *Java, archive, command string) (lang.Program, string, error) {
	t.Helper()
	s := langtest.Archive(archive)
	s.Work = l.opts.Cache
	j, log := s.Job(t)
	j.Env.Command = command
	p, err := l.Compile(t.Context(), j)
	return p, log.String(), err
}

// The archive of classes is one that a start uses: the function's own class and the framework's come out of it.
func TestArchiveIsUsed(t *testing.T) {
	l := newJava(t)
	p, log, err := compile(t, l, class("Hello", "HttpFunction", service), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if !holds(p.Layers, imageDir+"/"+archiveFile) {
		t.Fatalf("there is no archive:\n%s", log)
	}
	if want := (build.Function{Name: "Hello", Signature: "http"}); len(p.Functions) != 1 || p.Functions[0].Name != want.Name || p.Functions[0].Signature != want.Signature || p.Functions[0].Path != "" {
		t.Errorf("the functions are %+v", p.Functions)
	}
	root := unpacked(t, append(slices.Clone(p.Shared), p.Layers...)...)
	if err := os.MkdirAll(filepath.Join(root, lang.SourceDir), 0o755); err != nil {
		t.Fatal(err)
	}
	args := slices.Clone(p.Entrypoint[1:])
	args[slices.Index(args, "-Xshare:auto")] = "-Xshare:on" // fails where the archive does not fit
	args[len(args)-1] = l.opts.Names.Training               // serves itself a little and ends
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, imageRuntime, "bin/java"), append([]string{"-Xlog:class+load"}, args...)...)
	cmd.Dir, cmd.Env = filepath.Join(root, lang.SourceDir), append(os.Environ(), "FUNCTION_TARGET=Hello")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, lastLine(string(out)))
	}
	for _, want := range []string{"Hello source: shared objects file (top)", "dev.openfunction.invoker.Server source: shared objects file (top)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("a start does not say %q", want)
		}
	}
}

// Where the functions of an application are served is known after the build.
func TestRoutes(t *testing.T) {
	l := newJava(t)
	p, log, err := compile(t, l, routable("A", "/a")+routable("B", "/b"), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	got := map[string]string{}
	for _, f := range p.Functions {
		got[f.Name] = f.Path + " " + f.Signature
	}
	if len(got) != 2 || got["A"] != "/a http" || got["B"] != "/b http" {
		t.Errorf("the functions are %v", got)
	}
}

// Beside a command no function is asked for, and what was built is where the command finds it.
func TestCommand(t *testing.T) {
	l := newJava(t)
	p, log, err := commanded(t, l, "-- app/Main.java --\n"+mainClassText, "java app.Main")
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if !holds(p.Shared, "usr/local/bin/java") || !holds(p.Above, "workspace/app/Main.class") || p.Entrypoint != nil || p.ListenFD {
		t.Errorf("%d layers above, entrypoint %q, socket %v", len(p.Above), p.Entrypoint, p.ListenFD)
	}
	root := unpacked(t, append(p.Shared, p.Above...)...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, imageRuntime, "bin/java"), "app.Main")
	cmd.Dir = filepath.Join(root, lang.SourceDir)
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "served by app.Main\n" {
		t.Errorf("the program says %q: %v", out, err)
	}
	if _, log, err := commanded(t, l, "-- Notes.java --\nclass Notes {}\n", "./start.sh"); err != nil {
		t.Errorf("a source without any program: %v\n%s", err, log)
	}
}

// A native program is made by GraalVM's compiler where the machine has it. This one is no compiler: it takes down what it is asked.
func TestNativeImage(t *testing.T) {
	l := newJava(t)
	given := filepath.Join(t.TempDir(), "given")
	script := "#!/bin/sh\n[ -e " + given + ".fail ] && { echo 'no such luck'; exit 1; }\nfor a; do printf '%s\\n' \"$a\"; done > " + given +
		"\nwhile [ $# -gt 0 ]; do [ \"$1\" = -o ] && out=$2; [ \"$1\" = -cp ] && cp=$2; shift; done\n" +
		"cat \"${cp%%:*}\"/META-INF/native-image/*/*/reflect-config.json >> " + given + "\ncp /bin/true \"$out\"\n"
	compiler := filepath.Join(t.TempDir(), "native-image")
	if err := os.WriteFile(compiler, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	l.opts.Find = func(name string) string {
		if name == "native-image" {
			return compiler
		}
		return langtest.Find(name)
	}
	hello := class("Hello", "HttpFunction", service)
	p, log, err := compile(t, l, hello, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if len(p.Entrypoint) != 1 || p.Entrypoint[0] != "/"+imageNative || !holds(p.Layers, imageNative) || holds(p.Shared, imageRuntime+"/bin/java") || !p.ListenFD {
		t.Errorf("entrypoint %q, socket %v", p.Entrypoint, p.ListenFD)
	}
	if !slices.Contains(p.Env, "FUNCTION_TARGET=Hello") {
		t.Errorf("the environment is %q", p.Env)
	}
	asked, err := os.ReadFile(given)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--no-fallback\n", "-o\n", frameworkJar + ":", appJar, l.opts.Names.Main + "\n", `{"name":"Hello","allDeclaredConstructors":true`} {
		if !strings.Contains(string(asked), want) {
			t.Errorf("the compiler was not asked with %q: %s", want, asked)
		}
	}
	p, log, err = compile(t, l, hello, map[string]string{nativeSetting: "false"})
	if err != nil || p.Entrypoint[0] != "/"+imageRuntime+"/bin/java" {
		t.Errorf("turned off: %v, %q\n%s", err, p.Entrypoint, log)
	}
	if err := os.WriteFile(given+".fail", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, log, err = compile(t, l, hello, nil)
	if err != nil || p.Entrypoint[0] != "/"+imageRuntime+"/bin/java" || !strings.Contains(log, "no such luck") {
		t.Errorf("after a failure: %v, %q\n%s", err, p.Entrypoint, log)
	}
	_, _, err = compile(t, l, hello, map[string]string{nativeSetting: "true"})
	langtest.Check(t, err, "CompileFailed", "no such luck")
	_, _, err = compile(t, l, hello, map[string]string{nativeSetting: "maybe"})
	langtest.Check(t, err, "EnvInvalid", nativeSetting)
	l.opts.Find = langtest.Find
	if langtest.Find("native-image") == "" {
		_, _, err = compile(t, l, hello, map[string]string{nativeSetting: "true"})
		langtest.Check(t, err, "ToolMissing", "GraalVM")
	}
}

package java_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/framework/conformance"
	"github.com/openfunction/ofn/framework/java"
)

// opens is what the JDK must let the framework see for it to take a socket that it is started with.
var opens = []string{"--add-opens=java.base/java.io=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED"}

// tool returns a program of the JDK, and skips the test where there is none.
func tool(t *testing.T, name string) string {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skip("needs a Java development kit 17 or later: ", err)
	}
	return program
}

// compile compiles Java files and copies the others.
func compile(t *testing.T, from, to string, options ...string) {
	t.Helper()
	args := append(options, "-d", to)
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(name, ".java") {
			args = append(args, name)
			return nil
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		return os.WriteFile(at, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool(t, "javac"), args...).CombinedOutput(); err != nil {
		t.Fatalf("compiling %s: %v\n%s", from, err, out)
	}
}

// framework compiles the framework and returns its class path.
func framework(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	stubs, events, classes := filepath.Join(dir, "stubs"), filepath.Join(dir, "events"), filepath.Join(dir, "classes")
	compile(t, "stubs", stubs)
	compile(t, "cloudevents", events)
	compile(t, "src", classes, "-Xlint:all,-processing", "-Werror", "-XDignore.symbol.file", "-cp", stubs+":"+events)
	return classes + ":" + events
}

func TestConformance(t *testing.T) {
	program, path := tool(t, "java"), framework(t)
	dir := t.TempDir()
	functions, multi := filepath.Join(dir, "functions"), filepath.Join(dir, "multi")
	compile(t, "testdata/functions", functions, "-cp", path)
	compile(t, "testdata/multi", multi, "-cp", path)
	conformance.Run(t, conformance.Target{
		Features: conformance.Features{
			ListenFD: true, WritesAnswer: true, Deadline: true, Typed: true, Replies: true, OpenFunction: true, Plugins: true, Events: true, Send: true,
			Multi: true,
		},
		Sources: []string{"."},
		Command: func(_ testing.TB, name string) conformance.Command {
			args := append([]string{program, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8"}, opens...)
			if name == "multi" {
				return conformance.Command{Args: append(args, "-cp", path+":"+multi, java.Main)}
			}
			class := "fixtures." + strings.ToUpper(name[:1]) + name[1:]
			if name == "missing" {
				class = "fixtures.missing"
			}
			return conformance.Command{Args: append(args, "-cp", path+":"+functions, java.Main), Env: []string{"FUNCTION_TARGET=" + class}, Function: class}
		},
	})
}

func TestSource(t *testing.T) {
	for name, files := range map[string]java.Source{
		"dev/openfunction/functions/HttpFunction.java": java.Framework(), "dev/openfunction/invoker/Main.java": java.Framework(),
		"io/cloudevents/CloudEvent.java": java.CloudEvents(), "io/dapr/client/DaprClient.java": java.Stubs(),
	} {
		if len(files[name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

package java

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	javaframework "github.com/openfunction/ofn/framework/java"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// newJava is a builder with caches that all tests of a machine share, because the first build of a machine takes long.
func newJava(t *testing.T) *Java {
	t.Helper()
	if runtime.GOOS != "linux" || langtest.Find("javac") == "" || langtest.Find("jlink") == "" {
		t.Skip("needs a Java development kit on linux")
	}
	l, err := New(Options{
		Tools:     langtest.SharedTools(t, "java"),
		Framework: javaframework.Framework(), CloudEvents: javaframework.CloudEvents(), Stubs: javaframework.Stubs(),
		Names: Names{Group: javaframework.Group, Artifact: javaframework.Artifact, Main: javaframework.Main, Inspect: javaframework.Inspect,
			Training: javaframework.Training, Launch: javaframework.Launch},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// compile builds a source, given as txtar. The work directory is below the cache, so that what is made can be moved there.
func compile(t *testing.T, l *Java, archive string, env map[string]string) (lang.Program, string, error) {
	t.Helper()
	s := langtest.Archive(archive).With(env)
	s.Work = l.opts.Cache
	return s.Compile(t, l)
}

// class is a function of one file.
func class(name, implements, body string) string {
	return "-- " + name + ".java --\nimport dev.openfunction.functions.*;\npublic class " + name + " implements " + implements + " {\n" + body + "\n}\n"
}

const service = "  public void service(HttpRequest q, HttpResponse r) throws Exception { r.getWriter().write(\"hello\"); }"

// routable is a function with a path of its own.
func routable(name, path string) string {
	own := "\n  public String getPath() { return \"" + path + "\"; }"
	return strings.Replace(class(name, "HttpFunction", service+own), " implements", " extends Routable implements", 1)
}

func TestFunctions(t *testing.T) {
	whole, local := newJava(t), newJava(t)
	local.opts.Local = true // without the runtime and the training start, which take seconds
	for _, c := range []struct {
		name, source string
		env          map[string]string
		wants        []string // in the program's environment and labels
	}{
		{"one file", class("Hello", "HttpFunction", service), nil, []string{"FUNCTION_TARGET=Hello", "signature=http"}},
		{"named simply", class("Hello", "HttpFunction", service) + class("Other", "HttpFunction", service), map[string]string{"FUNC_NAME": "Other"}, []string{"FUNCTION_TARGET=Other"}},
		{"typed", class("Up", "TypedFunction<String, String>", "  public String apply(String s) { return s.toUpperCase(); }"), nil, []string{"FUNCTION_TARGET=Up", "signature=typed"}},
		{"event", class("E", "CloudEventFunction", "  public Error accept(Context c, io.cloudevents.CloudEvent e) { return null; }"), nil, []string{"signature=cloudevent"}},
		{"several", routable("A", "/a") + routable("B", "/b"), nil, []string{"signature=several"}},
		{"program", "-- app/Server.java --\npackage app;\npublic class Server { public static void main(String[] a) {} }\n", nil, []string{"signature=server"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := local
			if c.name == "one file" {
				l = whole
			}
			p, log, err := compile(t, l, c.source, c.env)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			got := strings.Join(p.Env, " ") + " signature=" + p.Labels["io.openfunction.signature"]
			for _, want := range c.wants {
				if !strings.Contains(got, want) {
					t.Errorf("the program is %s, want %s", got, want)
				}
			}
			if l == whole && (len(p.Shared) < 2 || len(p.Entrypoint) == 0 || p.Local != nil) {
				t.Errorf("%d shared layers, entrypoint %v", len(p.Shared), p.Entrypoint)
			}
			if l == local && (p.Local == nil || len(p.Shared) > 0) {
				t.Errorf("%d shared layers, local %v", len(p.Shared), p.Local)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	l := newJava(t)
	hello := class("Hello", "HttpFunction", service)
	for _, c := range []struct {
		name, source string
		env          map[string]string
		reason       string
		says         []string
	}{
		{"no such class", hello, map[string]string{"FUNC_NAME": "Hullo"}, "FunctionNotFound", []string{"Hullo", "Hello"}},
		{"no function", "-- A.java --\npublic class A {}\n", nil, "FunctionNotFound", []string{"HttpFunction"}},
		{"class without interface", hello + "-- A.java --\npublic class A {}\n", map[string]string{"FUNC_NAME": "A"}, "SignatureMismatch", []string{"the class A is no function", "Hello"}},
		{"another signature", hello, map[string]string{"FUNC_TYPE": "cloudevent"}, "SignatureMismatch", []string{"FUNC_TYPE", "Hello", "http"}},
		{"no constructor", class("Hello", "HttpFunction", service+"\n  Hello(int i) {}"), nil, "SignatureMismatch", []string{"Hello has no constructor without parameters"}},
		{"two functions", hello + class("Other", "HttpFunction", service), nil, "FunctionAmbiguous", []string{"Hello, Other", "FUNC_NAME"}},
		{"syntax", class("Hello", "HttpFunction", "  int x = ;"), nil, "CompileFailed", []string{"Hello.java:3: error"}},
		{"no symbol", "-- a/b/C.java --\npackage a.b;\nclass C {\n  Nowhere n;\n}\n", nil, "CompileFailed", []string{"a/b/C.java:3", "Nowhere"}},
		{"too new", hello, map[string]string{"FUNC_RUNTIME_VERSION": "99"}, "RuntimeUnsupported", []string{"Java 99"}},
		{"no version", hello, map[string]string{"FUNC_RUNTIME_VERSION": "new"}, "EnvInvalid", []string{"FUNC_RUNTIME_VERSION"}},
		{"no such directory", hello, map[string]string{"FUNC_SRC": "sub"}, "SourceNotFound", []string{"FUNC_SRC"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, log, err := compile(t, l, c.source, c.env)
			if err == nil {
				t.Fatalf("no error\n%s", log)
			}
			langtest.Check(t, err, c.reason, c.says...)
		})
	}
}

func TestMavenErrors(t *testing.T) {
	said := "[INFO] Scanning\n[ERROR] COMPILATION ERROR : \n[ERROR] src/main/java/F.java:[3,5] cannot find symbol\n  symbol: class X\n[INFO] 1 error\n" +
		"[ERROR] src/main/java/F.java:[3,5] cannot find symbol\n[ERROR] -> [Help 1]\n[ERROR] \n[ERROR] Re-run Maven using the -X switch"
	want := "COMPILATION ERROR : \nsrc/main/java/F.java:3:5: cannot find symbol\n  symbol: class X"
	if got := mavenErrors(said); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplain(t *testing.T) {
	for said, reason := range map[string]string{
		"COMPILATION ERROR\nF.java:1:1: x": "CompileFailed",
		"Could not resolve dependencies for project: Could not find artifact a:b:jar:9 in central": "DependencyMissing",
		"Could not transfer artifact a:b:jar:9: Connection refused":                                "RegistryUnreachable",
		"Could not transfer artifact a:b:jar:9: status code: 401":                                  "DependencyForbidden",
		"Fatal error compiling: error: release version 99 not supported":                           "RuntimeUnsupported",
		"Non-parseable POM pom.xml: unexpected character":                                          "BuildFileInvalid",
		"something else": "BuildFailed",
	} {
		if f := explain("Maven", "pom.xml", said, kit{major: 17, full: "17"}); f.Reason != reason {
			t.Errorf("%q is %s, want %s", said, f.Reason, reason)
		}
	}
}

func TestMainOf(t *testing.T) {
	for manifest, want := range map[string]string{
		"Manifest-Version: 1.0\r\nMain-Class: a.b.Main\r\n": "a.b.Main",
		"Main-Class: a.very.long\n .name.Main\n":            "a.very.long.name.Main",
		"Manifest-Version: 1.0\n":                           "",
	} {
		if got := mainOf(manifest); got != want {
			t.Errorf("%q: got %q, want %q", manifest, got, want)
		}
	}
}

// TestJar: equal classes give equal bytes.
func TestJar(t *testing.T) {
	dir := t.TempDir()
	langtest.Lay(t, dir, map[string]string{"classes/b/x.class": "x", "classes/a/y.class": "y"})
	var jars [2][]byte
	for i := range jars {
		name := filepath.Join(dir, "x.jar")
		err := writeJar(dir, name, []string{filepath.Join(dir, "classes"), filepath.Join(dir, "none")}, map[string][]byte{"META-INF/extra": []byte("1")})
		if err == nil {
			jars[i], err = os.ReadFile(name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(jars[0], jars[1]) || len(jars[0]) == 0 {
		t.Error("the jars differ")
	}
}

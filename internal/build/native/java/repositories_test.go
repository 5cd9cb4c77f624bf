package java

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// library is a name that no earlier test has left in the caches of this machine.
func library() string { return "left-" + strings.ToLower(rand.Text()[:10]) }

// repository is a repository of Maven with one library, which has one resource.
func repository(t *testing.T, name string) map[string][]byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create("left.txt")
	if err == nil {
		_, err = f.Write([]byte("left"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"example/ofn/" + name + "/1.0/" + name + "-1.0.jar": b.Bytes(),
		"example/ofn/" + name + "/1.0/" + name + "-1.0.pom": []byte("<project><modelVersion>4.0.0</modelVersion><groupId>example.ofn</groupId><artifactId>" + name + "</artifactId><version>1.0</version></project>"),
	}
}

// compiled builds a source, and skips where the plugins of Maven cannot be had.
func compiled(t *testing.T, s langtest.Source, l *Java) (lang.Program, string, error) {
	t.Helper()
	s.Work = l.opts.Cache
	p, log, err := s.Compile(t, l)
	if langtest.Reason(err) == "RegistryUnreachable" {
		t.Skip("needs Maven Central: ", err)
	}
	return p, log, err
}

func pom(more string) string {
	return "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>example</groupId><artifactId>hello</artifactId><version>1.0</version>" + more + "</project>\n"
}

// A private repository of Maven lets the login of a secret's settings.xml in, and nobody else.
func TestPrivateMaven(t *testing.T) {
	l := newJava(t)
	langtest.Need(t, l, "mvn")
	l.opts.Local = true // without the runtime and the training start, which take seconds
	library := library()
	srv := langtest.Private(t, langtest.Files(repository(t, library)))
	settings := func(password string) build.Dependencies {
		return build.Dependencies{Files: map[string][]byte{"settings.xml": []byte("<settings><servers><server><id>ours</id><username>" + langtest.User +
			"</username><password>" + password + "</password></server></servers></settings>")}}
	}
	for _, c := range []struct {
		name   string
		given  build.Dependencies
		reason string
	}{{"none", build.Dependencies{}, "DependencyForbidden"}, {"wrong", settings("wrong"), "DependencyForbidden"}, {"right", settings(langtest.Password), ""}} {
		t.Run(c.name, func(t *testing.T) {
			s := langtest.Archive("-- src/main/java/app/Main.java --\n" + mainClassText)
			s.Files["pom.xml"] = pom("<repositories><repository><id>ours</id><url>" + srv.URL + "</url></repository></repositories><dependencies><dependency><groupId>example.ofn</groupId><artifactId>" + library + "</artifactId><version>1.0</version></dependency></dependencies>")
			s.Dependencies = c.given
			p, log, err := compiled(t, s, l)
			if err != nil {
				t.Log(log)
				log += err.Error()
			}
			langtest.Check(t, err, c.reason)
			langtest.Forgotten(t, t.TempDir(), log)
			if err == nil && !strings.Contains(strings.Join(p.Local.Args, " "), "example.ofn."+library+"-1.0.jar") {
				t.Errorf("the program is started with %q", p.Local.Args)
			}
		})
	}
}

// gradleBuild is a function whose repository wants a login.
const gradleBuild = `apply plugin: 'java'
repositories {
  maven { r ->
    r.url = 'URL'
    if (r.hasProperty('allowInsecureProtocol')) r.allowInsecureProtocol = true
    credentials { username = findProperty('ourUser') ?: 'nobody'; password = findProperty('ourPassword') ?: 'nothing' }
  }
}
dependencies {
  implementation 'example.ofn:LIBRARY:1.0'
  implementation('dev.openfunction.functions:functions-framework-api:1.2.0') { transitive = false }
}
`

// A function is built with Gradle, whose private repository lets the login of a secret's gradle.properties in, and nobody else.
func TestGradle(t *testing.T) {
	l := newJava(t)
	langtest.Need(t, l, "gradle")
	l.opts.Local = true
	library := library()
	srv := langtest.Private(t, langtest.Files(repository(t, library)))
	s := langtest.Source{Files: map[string]string{
		"build.gradle": strings.NewReplacer("URL", srv.URL, "LIBRARY", library).Replace(gradleBuild), "settings.gradle": "rootProject.name = 'hello'\n",
		"src/main/java/Hello.java": strings.SplitN(class("Hello", "HttpFunction", service), "\n", 2)[1],
	}}
	t.Run("none", func(t *testing.T) {
		_, log, err := compiled(t, s, l)
		if err != nil {
			t.Log(log)
		}
		langtest.Check(t, err, "DependencyForbidden")
	})
	t.Run("right", func(t *testing.T) {
		s.Dependencies = build.Dependencies{Files: map[string][]byte{"gradle.properties": []byte("ourUser=" + langtest.User + "\nourPassword=" + langtest.Password + "\n")}}
		p, log, err := compiled(t, s, l)
		if err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		langtest.Forgotten(t, t.TempDir(), log)
		if args := strings.Join(p.Local.Args, " "); !strings.Contains(args, library+"-1.0.jar") || p.Labels["io.openfunction.signature"] != "http" {
			t.Errorf("the program is started with %q, labels %v", args, p.Labels)
		}
	})
}

// A program that Gradle lays out for its start script is started by it, beside a command.
func TestGradleCommand(t *testing.T) {
	l := newJava(t)
	langtest.Need(t, l, "gradle")
	p, log, err := commanded(t, l, "-- build.gradle --\napply plugin: 'application'\nmainClassName = 'app.Main'\n-- settings.gradle --\nrootProject.name = 'hello'\n-- src/main/java/app/Main.java --\n"+mainClassText,
		"build/install/hello/bin/hello")
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	root := unpacked(t, append(p.Shared, p.Above...)...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, lang.SourceDir, "build/install/hello/bin/hello"))
	cmd.Env = append(os.Environ(), "JAVA_HOME="+filepath.Join(root, imageRuntime))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "served by app.Main\n") {
		t.Errorf("the program says %q: %v", out, err)
	}
	for _, name := range []string{"workspace/build/tmp", "workspace/.gradle"} {
		if holds(p.Above, name) {
			t.Errorf("%s is in the image", name)
		}
	}
}

// The wrappers that projects bring download their tool. Where they cannot, the build says what to install.
func TestWrappers(t *testing.T) {
	l := newJava(t)
	without := func(missing string) func(string) string {
		return func(name string) string {
			if name == missing {
				return ""
			}
			return langtest.Find(name)
		}
	}
	main := map[string]string{"src/main/java/app/Main.java": mainClassText}
	for name, c := range map[string]struct {
		missing, tool, cause string
		files                map[string]string
	}{
		// The words of the wrappers themselves, as they say that nobody answers.
		"mvnw": {"mvn", "maven", "127.0.0.1:1", map[string]string{"pom.xml": pom(""), "mvnw": "#!/bin/sh\necho 'wget: Failed to fetch http://127.0.0.1:1/apache-maven-3.9.9-bin.zip' >&2\nexit 1\n"}},
		"gradlew": {"gradle", "gradle", "Connection refused", map[string]string{"build.gradle": "apply plugin: 'java'\n", "gradle/wrapper/gradle-wrapper.jar": "",
			"gradlew": "#!/bin/sh\necho 'Exception in thread \"main\" java.net.ConnectException: Connection refused' >&2\necho '\tat org.gradle.wrapper.Download.download(Download.java:51)' >&2\nexit 1\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			l.opts.Find = without(c.missing)
			maps.Copy(c.files, main)
			_, _, err := compiled(t, langtest.Source{Files: c.files}, l)
			langtest.Check(t, err, "ToolMissing", "could not download", "install "+c.tool, c.cause)
			delete(c.files, "mvnw")
			delete(c.files, "gradlew")
			_, _, err = compiled(t, langtest.Source{Files: c.files}, l)
			langtest.Check(t, err, "ToolMissing", c.tool, "wrapper")
		})
	}
}

// The wrapper of Maven is made by Maven's own plugin, downloads Maven and builds with it.
func TestMavenWrapper(t *testing.T) {
	l := newJava(t)
	langtest.Need(t, l, "mvn", "unzip")
	if langtest.Find("curl") == "" && langtest.Find("wget") == "" {
		t.Skip("needs curl or wget")
	}
	dir := t.TempDir()
	langtest.Lay(t, dir, map[string]string{"pom.xml": pom("")})
	wrapper := exec.CommandContext(t.Context(), "mvn", "-B", "-ntp", "-q", "org.apache.maven.plugins:maven-wrapper-plugin:3.3.4:wrapper", "-Dtype=only-script", "-Dmaven=3.9.9")
	wrapper.Dir = dir
	if out, err := wrapper.CombinedOutput(); err != nil {
		t.Skipf("needs Maven Central: %v\n%s", err, lastLine(string(out)))
	}
	s := langtest.Source{Files: map[string]string{"pom.xml": pom(""), "src/main/java/Hello.java": strings.SplitN(class("Hello", "HttpFunction", service), "\n", 2)[1]}}
	s.Files["pom.xml"] = pom("<dependencies><dependency><groupId>dev.openfunction.functions</groupId><artifactId>functions-framework-api</artifactId><version>1.2.0</version></dependency></dependencies>")
	for _, name := range []string{"mvnw", ".mvn/wrapper/maven-wrapper.properties"} {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		s.Files[name] = string(data)
	}
	l.opts.Local = true
	l.opts.Find = func(name string) string {
		if name == "mvn" {
			return ""
		}
		return langtest.Find(name)
	}
	p, log, err := compiled(t, s, l)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if p.Labels["io.openfunction.signature"] != "http" {
		t.Errorf("labels %v", p.Labels)
	}
}

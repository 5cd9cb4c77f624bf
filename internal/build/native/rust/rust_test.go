package rust

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	framework "github.com/openfunction/ofn/framework/rust"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/execrun"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

func find(name string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return p
}

func reason(err error) string {
	var f *build.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

// builder makes a Rust of this machine's programs, and skips where there are none.
func builder(t *testing.T) *Rust {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles Rust, which takes long")
	}
	r, err := New(Options{
		Tools: lang.Tools{Cache: t.TempDir(), Runner: execrun.Runner{}, OS: "linux", Arch: "amd64", Limits: lang.Limits{}.Complete()},
		Find:  find, Framework: framework.Files(), FrameworkVersion: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Identity(t.Context()); reason(err) == "ToolMissing" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	return r
}

// source is a build to be tried: files by path, and the environment of the build.
type source struct {
	files  map[string]string
	env    map[string]string
	target string
}

// job lays the source out.
func (s source) job(t *testing.T, log *bytes.Buffer) *lang.Job {
	t.Helper()
	work := t.TempDir()
	root := filepath.Join(work, "src")
	for name, text := range s.files {
		if err := writeFiles(root, map[string][]byte{name: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := lang.ReadTree(root, ".")
	if err != nil {
		t.Fatal(err)
	}
	env, err := lang.ParseEnv(s.env, log)
	if err != nil {
		t.Fatal(err)
	}
	r := build.Request{ID: "ns/" + t.Name(), Function: "f", Target: s.target}
	return &lang.Job{Request: r, Env: env, Tree: tree, Work: work, Log: log, Replaced: map[string][]byte{}}
}

const manifestText = "[package]\nname = \"my-hello\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\nofn-functions = \"0.1\"\n"

const helloText = `use ofn_functions::Request;

pub async fn hello(request: Request) -> String {
    helper(request.uri().path())
}

fn helper(path: &str) -> String {
    format!("hello {path}\n")
}

pub fn other(n: i32) -> i32 {
    n
}
`

func crate(lib string) map[string]string {
	return map[string]string{"Cargo.toml": manifestText, "src/lib.rs": lib}
}

// What is found in a source, without a compiler.
func TestPlan(t *testing.T) {
	several := "pub fn a(_: Request) {}\npub fn b(_: Event) {}\n"
	for name, c := range map[string]struct {
		source
		want string // what describes it, or the reason why there is none
		says string // what the failure says
	}{
		"named":              {source{files: crate(helloText), env: map[string]string{"FUNC_NAME": "hello"}}, "Rust function hello at src/lib.rs:3", ""},
		"the only one":       {source{files: crate(helloText)}, "Rust function hello at src/lib.rs:3", ""},
		"missing":            {source{files: crate(helloText), env: map[string]string{"FUNC_NAME": "hullo"}}, "FunctionNotFound", "there are: hello, other"},
		"several":            {source{files: crate(several)}, "FunctionNotFound", "there are: a, b"},
		"private":            {source{files: crate("fn a() {}\n")}, "FunctionNotFound", "no public function"},
		"in a module":        {source{files: crate(helloText), env: map[string]string{"FUNC_NAME": "api::x"}}, "Rust function api::x of src/lib.rs", ""},
		"several registered": {source{files: crate("pub fn functions() -> Vec<Function> { vec![] }\n")}, "a Rust library that names its functions itself, at src/lib.rs:1", ""},
		"program":            {source{files: map[string]string{"Cargo.toml": manifestText, "src/main.rs": "fn main() {}"}}, "the Rust program my-hello", ""},
		"one file":           {source{files: map[string]string{"hello.rs": helloText}}, "Rust function hello at hello.rs:3", ""},
		"one file with main": {source{files: map[string]string{"hello.rs": "fn main() {}"}}, "the Rust program function", ""},
		"two files":          {source{files: map[string]string{"a.rs": helloText, "b.rs": ""}}, "SourceEmpty", "name the file in FUNC_SRC"},
		"one of two files":   {source{files: map[string]string{"a.rs": helloText, "b.rs": ""}, env: map[string]string{"FUNC_SRC": "a.rs"}}, "Rust function hello at a.rs:3", ""},
		"member": {source{
			files: map[string]string{"Cargo.toml": "[workspace]\nmembers = [\"m\"]\n", "m/Cargo.toml": manifestText, "m/src/lib.rs": helloText},
			env:   map[string]string{"FUNC_SRC": "m"},
		}, "Rust function hello at m/src/lib.rs:3", ""},
		"workspace":     {source{files: map[string]string{"Cargo.toml": "[workspace]\nmembers = [\"m\"]\n"}}, "ManifestInvalid", "FUNC_SRC"},
		"not TOML":      {source{files: map[string]string{"Cargo.toml": "[package\n"}}, "ManifestInvalid", "Cargo.toml cannot be read"},
		"nothing in it": {source{files: map[string]string{"Cargo.toml": manifestText}}, "SourceEmpty", "neither lib.rs nor src/main.rs"},
		"two programs":  {source{files: map[string]string{"Cargo.toml": manifestText, "src/bin/a.rs": "", "src/bin/b.rs": ""}}, "FunctionNotFound", "the programs a, b"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPlan(c.job(t, &bytes.Buffer{}))
			got := reason(err)
			if err == nil {
				got = p.describe()
			}
			if got != c.want {
				t.Fatalf("got %q (%v), want %q", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %q, want it to say %q", err, c.says)
			}
		})
	}
}

// FuzzFunctionsOf: whatever a file holds, it is read, and what is found is where it is said to be.
func FuzzFunctionsOf(f *testing.F) {
	f.Add(helloText)
	f.Add("pub fn\npub async fn x")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Split(text, "\n")
		for _, found := range functionsOf(text) {
			if !strings.HasPrefix(lines[found.line-1], "pub") {
				t.Errorf("%s is said to be at line %d: %q", found.name, found.line, lines[found.line-1])
			}
		}
	})
}

func TestExplain(t *testing.T) {
	j := &job{plan: &plan{name: "hello", file: "src/lib.rs", line: 3, text: "pub fn hello(n: i32) -> i32"}}
	for said, want := range map[string]string{
		"error: no matching package named `nowhere` found": "DependencyMissing",
		"error: failed to get 403 from the registry":       "DependencyForbidden",
		"error: failed to parse manifest at `Cargo.toml`":  "ManifestInvalid",
		"Could not resolve host: index.crates.io":          "RegistryUnreachable",
		"something else": "DependencyMissing",
	} {
		if got := explainFetch(j, 101, said).Reason; got != want {
			t.Errorf("%q: %s, want %s", said, got, want)
		}
	}
	for said, want := range map[string]string{
		"error[E0277]: this is not\nerror: could not compile `ofn-generated-main` (bin)":     "SignatureMismatch",
		"error[E0425]: cannot find `x`\nerror: could not compile `ofn-generated-main` (bin)": "FunctionNotFound",
		"error: expected `;`\nerror: could not compile `my-hello` (lib)":                     "CompileFailed",
		"error: failed to run custom build command for `x v1.0.0`":                           "BuildScriptFailed",
		"error: package `x v1` cannot be built because it requires rustc 1.99 or newer":      "RuntimeUnsupported",
		"error: could not compile `x`\n(signal: 9, SIGKILL: kill)":                           "OutOfMemory",
	} {
		if got := explainCompile(j, 101, said).Reason; got != want {
			t.Errorf("%q: %s, want %s", said, got, want)
		}
	}
}

// Without tools every build is refused with what to install, before anything is fetched.
func TestToolMissing(t *testing.T) {
	r, err := New(Options{Tools: lang.Tools{Cache: t.TempDir()}, Find: func(string) string { return "" }, Framework: framework.Files()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Identity(t.Context()); reason(err) != "ToolMissing" || !strings.Contains(err.Error(), "cargo") {
		t.Errorf("got %v", err)
	}
	if err := r.Warm(t.Context(), t.TempDir()); err != nil {
		t.Errorf("there is nothing to warm, but: %v", err)
	}
}

// A target whose standard library is not there is told with what installs it.
func TestTriple(t *testing.T) {
	r := &Rust{}
	host := "x86_64-unknown-linux-gnu"
	c := toolchain{host: host, targets: []string{host}}
	j := &job{Job: &lang.Job{Request: build.Request{Target: build.TargetWasm}}, tools: c, plan: &plan{}}
	if _, err := r.triple(j); reason(err) != "ToolMissing" || !strings.Contains(err.Error(), "rustup target add wasm32-wasip1") {
		t.Errorf("got %v", err)
	}
	j.tools.targets = append(j.tools.targets, "x86_64-unknown-linux-musl", wasmTriple)
	if got, err := r.triple(j); got != wasmTriple || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	j.Request.Target = ""
	if got, err := r.triple(j); got != "x86_64-unknown-linux-musl" || err != nil {
		t.Errorf("got %s, %v", got, err)
	}
	j.plan.lockText = []byte("[[package]]\nname = \"cc\"\nversion = \"1\"\n")
	if got, err := r.triple(j); got != host || err != nil {
		t.Errorf("got %s, %v: C needs the machine's own compiler", got, err)
	}
}

// Sources that are built, one after the other with the same caches.
func TestCompile(t *testing.T) {
	r := builder(t)
	for _, c := range []struct {
		name string
		source
		reason string
		says   []string
	}{
		{"function", source{files: crate(helloText)}, "", nil},
		{"again", source{files: crate(strings.Replace(helloText, "hello {", "hallo {", 1))}, "", nil},
		{"wrong signature", source{files: crate(helloText), env: map[string]string{"FUNC_NAME": "other"}}, "SignatureMismatch", []string{"src/lib.rs:11: function other is `pub fn other(n: i32) -> i32`", "Request"}},
		{"syntax", source{files: crate("pub fn hello(r: ofn_functions::Request) -> String {\n    let x = ;\n}\n")}, "CompileFailed", []string{"src/lib.rs:2:13"}},
		{"unresolvable", source{files: map[string]string{"Cargo.toml": manifestText + "ofn-no-such-crate-4711 = \"1\"\n", "src/lib.rs": helloText}}, "DependencyMissing", []string{"ofn-no-such-crate-4711"}},
		{"version", source{files: map[string]string{"Cargo.toml": strings.Replace(manifestText, "edition", "rust-version = \"1.999\"\nedition", 1), "src/lib.rs": helloText}}, "RuntimeUnsupported", []string{"1.999"}},
		{"build script", source{files: map[string]string{"Cargo.toml": manifestText, "src/lib.rs": helloText, "build.rs": "fn main() { panic!(\"not today\") }"}}, "BuildScriptFailed", []string{"not today"}},
		{"loader", source{files: map[string]string{"Cargo.toml": manifestText, "src/lib.rs": helloText, "src/main.rs": "fn main() {}",
			"build.rs": "fn main() { println!(\"cargo:rustc-link-arg=-Wl,--dynamic-linker=/etc/passwd\") }"}, env: map[string]string{"FUNC_NAME": "my-hello"}}, "LinkFailed", []string{"/etc/passwd"}},
		{"program of its own", source{files: map[string]string{"Cargo.toml": strings.Split(manifestText, "\n[dep")[0], "src/main.rs": "fn main() { println!(\"own\") }"}}, "", nil},
		{"one file", source{files: map[string]string{"hello.rs": helloText}}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			p, err := r.Compile(t.Context(), c.job(t, &log))
			if reason(err) != c.reason || err != nil && c.reason == "" {
				t.Fatalf("got %v, want %q\n%s", err, c.reason, &log)
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("it does not say %q: %v", text, err)
				}
			}
			if err != nil {
				return
			}
			if c.name == "again" && strings.Contains(log.String(), "Compiling hyper") {
				t.Errorf("dependencies were compiled again:\n%s", &log)
			}
			if left, _ := filepath.Glob(filepath.Join(r.opts.Cache, "targets/*/*/release/deps/*my_hello*")); len(left) > 0 {
				t.Errorf("what was compiled of the source stays: %q", left)
			}
			if info, err := os.Stat(p.Layers[0][1].File); err != nil || info.Size() == 0 {
				t.Errorf("the program: %v, %v", info, err)
			}
			if c.name == "program of its own" && p.ListenFD {
				t.Error("a program without the framework does not know of file descriptor 3")
			}
		})
	}
}

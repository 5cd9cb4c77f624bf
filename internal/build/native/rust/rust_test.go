package rust

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	framework "github.com/openfunction/ofn/framework/rust"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// builder makes a Rust of this machine's programs, and skips where there are none.
func builder(t *testing.T) *Rust {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles Rust, which takes long")
	}
	r, err := New(Options{
		Tools: langtest.Tools(t), Framework: framework.Files(), FrameworkVersion: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	langtest.Need(t, r)
	return r
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
		langtest.Source
		want string // what describes it, or the reason why there is none
		says string // what the failure says
	}{
		"named":              {langtest.Source{Files: crate(helloText), Env: map[string]string{"FUNC_NAME": "hello"}}, "Rust function hello at src/lib.rs:3", ""},
		"the only one":       {langtest.Source{Files: crate(helloText)}, "Rust function hello at src/lib.rs:3", ""},
		"missing":            {langtest.Source{Files: crate(helloText), Env: map[string]string{"FUNC_NAME": "hullo"}}, "FunctionNotFound", "there are: hello, other"},
		"several":            {langtest.Source{Files: crate(several)}, "FunctionNotFound", "there are: a, b"},
		"private":            {langtest.Source{Files: crate("fn a() {}\n")}, "FunctionNotFound", "no public function"},
		"in a module":        {langtest.Source{Files: crate(helloText), Env: map[string]string{"FUNC_NAME": "api::x"}}, "Rust function api::x of src/lib.rs", ""},
		"several registered": {langtest.Source{Files: crate("pub fn functions() -> Vec<Function> { vec![] }\n")}, "a Rust library that names its functions itself, at src/lib.rs:1", ""},
		"program":            {langtest.Source{Files: map[string]string{"Cargo.toml": manifestText, "src/main.rs": "fn main() {}"}}, "the Rust program my-hello", ""},
		"one file":           {langtest.Source{Files: map[string]string{"hello.rs": helloText}}, "Rust function hello at hello.rs:3", ""},
		"one file with main": {langtest.Source{Files: map[string]string{"hello.rs": "fn main() {}"}}, "the Rust program function", ""},
		"two files":          {langtest.Source{Files: map[string]string{"a.rs": helloText, "b.rs": ""}}, "SourceEmpty", "name the file in FUNC_SRC"},
		"one of two files":   {langtest.Source{Files: map[string]string{"a.rs": helloText, "b.rs": ""}, Env: map[string]string{"FUNC_SRC": "a.rs"}}, "Rust function hello at a.rs:3", ""},
		"member": {langtest.Source{
			Files: map[string]string{"Cargo.toml": "[workspace]\nmembers = [\"m\"]\n", "m/Cargo.toml": manifestText, "m/src/lib.rs": helloText},
			Env:   map[string]string{"FUNC_SRC": "m"},
		}, "Rust function hello at m/src/lib.rs:3", ""},
		"one level down": {langtest.Source{Files: map[string]string{"Dockerfile": "", "README.md": "", "function.yaml": "", "server/Cargo.toml": manifestText, "server/src/main.rs": "fn main() {}"}},
			"the Rust program my-hello in server", ""},
		"two of them":           {langtest.Source{Files: map[string]string{"a/Cargo.toml": manifestText, "b/Cargo.toml": manifestText}}, "SourceEmpty", "add a Cargo.toml"},
		"beside something else": {langtest.Source{Files: map[string]string{"main.py": "", "server/Cargo.toml": manifestText}}, "SourceEmpty", "add a Cargo.toml"},
		"workspace":             {langtest.Source{Files: map[string]string{"Cargo.toml": "[workspace]\nmembers = [\"m\"]\n"}}, "ManifestInvalid", "FUNC_SRC"},
		"not TOML":              {langtest.Source{Files: map[string]string{"Cargo.toml": "[package\n"}}, "ManifestInvalid", "Cargo.toml cannot be read"},
		"nothing in it":         {langtest.Source{Files: map[string]string{"Cargo.toml": manifestText}}, "SourceEmpty", "neither lib.rs nor src/main.rs"},
		"two programs":          {langtest.Source{Files: map[string]string{"Cargo.toml": manifestText, "src/bin/a.rs": "", "src/bin/b.rs": ""}}, "FunctionNotFound", "the programs a, b"},
	} {
		t.Run(name, func(t *testing.T) {
			j, _ := c.Job(t)
			p, err := newPlan(j)
			got := langtest.Reason(err)
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
	r, err := New(Options{Tools: lang.Tools{Cache: t.TempDir(), Find: func(string) string { return "" }}, Framework: framework.Files()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Identity(t.Context()); langtest.Reason(err) != "ToolMissing" || !strings.Contains(err.Error(), "cargo") {
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
	if _, err := r.triple(j); langtest.Reason(err) != "ToolMissing" || !strings.Contains(err.Error(), "rustup target add wasm32-wasip1") {
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
		langtest.Source
		reason string
		says   []string
	}{
		{"function", langtest.Source{Files: crate(helloText)}, "", nil},
		{"again", langtest.Source{Files: crate(strings.Replace(helloText, "hello {", "hallo {", 1))}, "", nil},
		{"wrong signature", langtest.Source{Files: crate(helloText), Env: map[string]string{"FUNC_NAME": "other"}}, "SignatureMismatch", []string{"src/lib.rs:11: function other is `pub fn other(n: i32) -> i32`", "Request"}},
		{"syntax", langtest.Source{Files: crate("pub fn hello(r: ofn_functions::Request) -> String {\n    let x = ;\n}\n")}, "CompileFailed", []string{"src/lib.rs:2:13"}},
		{"unresolvable", langtest.Source{Files: map[string]string{"Cargo.toml": manifestText + "ofn-no-such-crate-4711 = \"1\"\n", "src/lib.rs": helloText}}, "DependencyMissing", []string{"ofn-no-such-crate-4711"}},
		{"version", langtest.Source{Files: map[string]string{"Cargo.toml": strings.Replace(manifestText, "edition", "rust-version = \"1.999\"\nedition", 1), "src/lib.rs": helloText}}, "RuntimeUnsupported", []string{"1.999"}},
		{"build script", langtest.Source{Files: map[string]string{"Cargo.toml": manifestText, "src/lib.rs": helloText, "build.rs": "fn main() { panic!(\"not today\") }"}}, "BuildScriptFailed", []string{"not today"}},
		{"loader", langtest.Source{Files: map[string]string{"Cargo.toml": manifestText, "src/lib.rs": helloText, "src/main.rs": "fn main() {}",
			"build.rs": "fn main() { println!(\"cargo:rustc-link-arg=-Wl,--dynamic-linker=/etc/passwd\") }"}, Env: map[string]string{"FUNC_NAME": "my-hello"}}, "LinkFailed", []string{"/etc/passwd"}},
		{"program of its own", langtest.Source{Files: map[string]string{"Cargo.toml": strings.Split(manifestText, "\n[dep")[0], "src/main.rs": "fn main() { println!(\"own\") }"}}, "", nil},
		{"one file", langtest.Source{Files: map[string]string{"hello.rs": helloText}}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, log, err := c.Compile(t, r)
			if err != nil {
				t.Log(log)
			}
			if c.name == "loader" && strings.Contains(log, "-linux-musl\n") {
				t.Skip("what is linked statically names no loader")
			}
			langtest.Check(t, err, c.reason, c.says...)
			if err != nil {
				return
			}
			if c.name == "again" && strings.Contains(log, "Compiling hyper") {
				t.Errorf("dependencies were compiled again:\n%s", log)
			}
			if left, _ := filepath.Glob(filepath.Join(r.opts.Cache, "targets/*/*/release/deps/*my_hello*")); len(left) > 0 {
				t.Errorf("what was compiled of the source stays: %q", left)
			}
			if info, err := os.Stat(p.Layers[0][1].File); err != nil || info.Size() == 0 {
				t.Errorf("the program: %v, %v", info, err)
			}
			if c.name == "program of its own" {
				ownProgram(t, p, log)
			}
		})
	}
}

// ownProgram runs a program that does not know the framework. One that was linked with musl needs nothing of the machine.
func ownProgram(t *testing.T, p lang.Program, log string) {
	t.Helper()
	if p.ListenFD {
		t.Error("a program without the framework does not know of file descriptor 3")
	}
	file := p.Layers[0][1].File
	if out, err := exec.Command(file).Output(); err != nil || string(out) != "own\n" {
		t.Errorf("it says %q: %v", out, err)
	}
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if static := strings.Contains(log, "-linux-musl\n"); static != (len(libraries) == 0) || static != (len(p.Shared) == 0) || err != nil {
		t.Errorf("static %v, but libraries %q in %d layers: %v", static, libraries, len(p.Shared), err)
	}
}

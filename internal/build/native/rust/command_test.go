package rust

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/langtest"
)

// at is the entry of a path in layers.
func at(layers []build.Layer, path string) (build.Entry, bool) {
	for _, l := range layers {
		for _, e := range l {
			if e.Path == path {
				return e, true
			}
		}
	}
	return build.Entry{}, false
}

// Beside a command no function is asked for: the programs are compiled, and are where commands look for them.
func TestCommand(t *testing.T) {
	r := builder(t)
	files := map[string]string{"Cargo.toml": strings.Split(manifestText, "\n[dep")[0], "src/lib.rs": "pub fn text() -> &'static str { \"one\" }\n",
		"src/main.rs": "fn main() { println!(\"{}\", my_hello::text()) }\n", "src/bin/two.rs": "fn main() { println!(\"two\") }\n"}
	for command, c := range map[string]struct{ own, link, leads string }{
		"./target/release/two --port $PORT": {"two", "workspace/target/release/two", "../../../app/function"},
		"exec my-hello":                     {"one", "workspace/bin/my-hello", "../../workspace/target/release/my-hello"},
		"PORT=1 ./two":                      {"two", "workspace/two", "../workspace/target/release/two"},
		"./start.sh":                        {"one", "workspace/target/release/my-hello", "../../../app/function"},
	} {
		t.Run(command, func(t *testing.T) {
			j, log := langtest.Source{Files: files}.Job(t)
			j.Env.Command = command
			p, err := r.Compile(t.Context(), j)
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if e, ok := at(p.Above, c.link); !ok || e.Link != c.leads {
				t.Errorf("%s is %+v", c.link, e)
			}
			other, ok := at(p.Above, "workspace/target/release/two")
			if c.own == "two" {
				other, ok = at(p.Above, "workspace/target/release/my-hello")
			}
			if !ok || filepath.Dir(other.File) == "." {
				t.Errorf("the other program is %+v", other)
			}
			if out, err := exec.Command(p.Layers[0][1].File).Output(); err != nil || strings.TrimSpace(string(out)) != c.own {
				t.Errorf("the program says %q: %v", out, err)
			}
		})
	}
}

// A library with one function and a command keeps its function, which the command may start.
func TestCommandPlan(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		env    lang.Env
		want   string
		reason string
	}{
		"function":     {crate(helloText), lang.Env{Command: "/app/function", Name: "hello"}, "Rust function hello at src/lib.rs:3", ""},
		"two programs": {map[string]string{"Cargo.toml": manifestText, "src/bin/a.rs": "", "src/bin/b.rs": ""}, lang.Env{Command: "b"}, "the Rust program b", ""},
		"named":        {map[string]string{"Cargo.toml": manifestText, "src/bin/a.rs": "", "src/bin/b.rs": ""}, lang.Env{Command: "./run", Name: "b"}, "the Rust program b", ""},
		"nothing":      {map[string]string{"Cargo.toml": manifestText, "src/lib.rs": "fn x() {}"}, lang.Env{Command: "./run"}, "", "FunctionNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			j, _ := langtest.Source{Files: c.files}.Job(t)
			j.Env = c.env
			p, err := newPlan(j)
			langtest.Check(t, err, c.reason)
			if err == nil && p.describe() != c.want {
				t.Errorf("found %s, want %s", p.describe(), c.want)
			}
		})
	}
}

package rust_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/openfunction/ofn/framework/conformance"
	"github.com/openfunction/ofn/framework/rust"
)

// cargo returns the package manager, and skips the test where there is none, or no crates.
func cargo(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles Rust, which takes long")
	}
	program, err := exec.LookPath("cargo")
	if err != nil {
		t.Skip("needs Rust: ", err)
	}
	fetch := exec.Command(program, "fetch", "--locked")
	fetch.Dir = "testdata"
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Skipf("needs a registry of crates: %v\n%s", err, out)
	}
	return program
}

// fixtures builds the fixtures. What was compiled stays in testdata/target.
func fixtures(t *testing.T) string {
	t.Helper()
	build := exec.Command(cargo(t), "build", "--release", "--locked", "--quiet")
	build.Dir = "testdata"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the fixtures: %v\n%s", err, out)
	}
	program, err := filepath.Abs("testdata/target/release/fixtures")
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func TestConformance(t *testing.T) {
	program := fixtures(t)
	conformance.Run(t, conformance.Target{
		Features: conformance.Features{ListenFD: true, Deadline: true, Logger: true, Typed: true, Replies: true, OpenFunction: true, Events: true, Send: true, Multi: true},
		Sources:  []string{"src", "testdata/src"},
		Command: func(_ testing.TB, name string) conformance.Command {
			c := conformance.Command{Args: []string{program}, Env: []string{"FIXTURE=" + name, "RUST_BACKTRACE=0"}}
			if name == "missing" {
				c.Env = append(c.Env, "FUNCTION_TARGET=missing")
			}
			return c
		},
	})
}

// TestUnits runs the tests that are written in Rust.
func TestUnits(t *testing.T) {
	test := exec.Command(cargo(t), "test", "--locked", "--quiet")
	test.Env = append(os.Environ(), "CARGO_TARGET_DIR="+filepath.Join("target", "units"))
	if out, err := test.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestFiles(t *testing.T) {
	files := rust.Files()
	for _, name := range []string{"Cargo.toml", "Cargo.lock", "src/lib.rs", "src/server.rs", "src/guest.rs"} {
		if len(files[name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

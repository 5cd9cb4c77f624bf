package pythonframework_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/framework/conformance"
	pythonframework "github.com/openfunction/ofn/framework/python"
)

// interpreter is the Python of this machine, and the search path of the framework with what it requires. Tests that need them are skipped where they
// cannot be had: the requirements come from the package index that pip is set up for.
func interpreter(t *testing.T) (python, path string) {
	t.Helper()
	const asks = "import sys; assert sys.version_info >= (3, 9), sys.version; print(sys.executable, sys.implementation.cache_tag)"
	out, err := exec.Command("python3", "-c", asks).Output()
	if err != nil {
		t.Skip("needs python3, 3.9 or newer: ", err)
	}
	said := strings.Fields(string(out))
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("needs a cache directory for what the framework requires: ", err)
	}
	sum := sha256.Sum256(append([]byte(said[1]), pythonframework.Requirements()...))
	site := filepath.Join(cache, "ofn-test", "python-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(site); err != nil {
		install(t, said[0], site)
	}
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	return said[0], here + string(os.PathListSeparator) + site
}

func install(t *testing.T, python, site string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(site), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(site), "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	pip := exec.CommandContext(ctx, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
		"--require-hashes", "--only-binary", ":all:", "--target", tmp, "-r", "requirements.txt")
	if out, err := pip.CombinedOutput(); err != nil {
		t.Skipf("needs what the framework requires, which pip could not install: %v\n%s", err, out)
	}
	if err := os.Rename(tmp, site); err != nil && !os.IsExist(err) {
		if _, there := os.Stat(site); there != nil { // another test process was quicker
			t.Fatal(err)
		}
	}
}

// files says in which file of testdata the fixtures are that are not in functions.py.
var files = map[string]string{
	"multi": "multi.py", "brokenImport": "broken_import.py", "brokenSyntax": "broken_syntax.py", "brokenKind": "broken_kind.py",
}

var kinds = map[string]string{"event": "cloudevent", "typed": "typed", "of": "openfunction"}

// signature is the kind of a fixture, told by the beginning of its name.
func signature(fixture string) string {
	for prefix, kind := range kinds {
		if strings.HasPrefix(fixture, prefix) {
			return kind
		}
	}
	return "http"
}

func source(t testing.TB, fixture string) string {
	t.Helper()
	file := files[fixture]
	if file == "" {
		file = "functions.py"
	}
	path, err := filepath.Abs(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConformance(t *testing.T) {
	python, path := interpreter(t)
	compiled := t.TempDir()
	for name, env := range map[string]string{"sync": "functions.py", "async": "async_functions.py"} {
		t.Run(name, func(t *testing.T) {
			target := func(fixture string) (string, string, string) {
				file := source(t, fixture)
				if filepath.Base(file) == "functions.py" {
					file = filepath.Join(filepath.Dir(file), env)
				}
				return file, fixture, signature(fixture)
			}
			conformance.Run(t, conformance.Target{
				Features: conformance.Features{ListenFD: true, Deadline: true, Logger: true, Typed: true, Replies: true, OpenFunction: true, Plugins: true,
					Send: true, Events: true, Legacy: true, Multi: true, Loads: true, Specialise: true, Source: target},
				Command: func(_ testing.TB, fixture string) conformance.Command {
					c := conformance.Command{Args: []string{python, "-m", "functions_framework"}, Env: []string{"PYTHONPATH=" + path, "PYTHONPYCACHEPREFIX=" + compiled}}
					if fixture == "generic" {
						return c
					}
					file, function, kind := target(fixture)
					c.Env = append(c.Env, "FUNCTION_SOURCE="+file)
					if fixture != "multi" {
						c.Env = append(c.Env, "FUNCTION_TARGET="+function, "FUNCTION_SIGNATURE_TYPE="+kind)
					}
					return c
				},
			})
		})
	}
}

// TestUnits runs the framework's own tests, which are written for unittest.
func TestUnits(t *testing.T) {
	python, path := interpreter(t)
	cmd := exec.CommandContext(t.Context(), python, "-m", "unittest", "discover", "-s", "tests")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+path, "PYTHONDONTWRITEBYTECODE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestSource compares what is handed to builders with what is here: a new directory is easily forgotten.
func TestSource(t *testing.T) {
	files := pythonframework.Source()
	err := filepath.WalkDir("functions_framework", func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".py" {
			return err
		}
		if len(files[filepath.ToSlash(name)]) == 0 {
			if info, err := d.Info(); err != nil || info.Size() > 0 {
				t.Errorf("%s is not handed out", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(pythonframework.Requirements()), "--hash=sha256:") {
		t.Error("the requirements have no digests")
	}
}

package functionsframework

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const leanMain = `package main

import (
	"net/http"

	"github.com/OpenFunction/functions-framework-go/host"
)

func main() { host.Main(func(http.ResponseWriter, *http.Request) {}) }
`

// A plain HTTP function must compile against Lean with an empty module cache, no proxy and no go.sum.
func TestLeanNeedsNothing(t *testing.T) {
	dir := t.TempDir()
	if err := Lean().WriteTo(filepath.Join(dir, "framework")); err != nil {
		t.Fatal(err)
	}
	f := Files{
		"main.go": []byte(leanMain),
		"go.mod": []byte("module example.com/f\n\ngo 1.24\n\nrequire " + ModulePath + " v0.0.0\n\nreplace " +
			ModulePath + " => ./framework\n"),
	}
	if err := f.WriteTo(dir); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "vet", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOMODCACHE="+filepath.Join(dir, "cache"), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go vet: %v\n%s", err, out)
	}
}

// Full must hold every package of the module and no test.
func TestFullIsComplete(t *testing.T) {
	full := Full()
	err := filepath.WalkDir(".", func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() {
			return err
		}
		name = filepath.ToSlash(name)
		source := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
		if _, has := full[name]; has != (source || name == "go.mod" || name == "go.sum") {
			t.Errorf("%s: in Full is %v", name, has)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

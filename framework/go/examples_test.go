package functionsframework

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../../examples/go"

// Every example must compile against Full, with the requirements and sums of this module and nothing else.
func TestExamplesCompile(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(examples, "*", "function.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) == 0 {
		t.Skip("the examples are not beside the framework")
	}
	root := t.TempDir()
	if err := Full().WriteTo(filepath.Join(root, "framework")); err != nil {
		t.Fatal(err)
	}
	for _, manifest := range dirs {
		dir := filepath.Dir(manifest)
		if err := os.CopyFS(filepath.Join(root, filepath.Base(dir)), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(root, filepath.Base(dir), "go.mod")); err != nil {
			t.Fatal(err)
		}
	}
	own := Full()
	mod := bytes.Replace(own["go.mod"], []byte("module "+ModulePath), []byte("module example.com/functions"), 1)
	mod = append(mod, "\nrequire "+ModulePath+" v0.0.0\n\nreplace "+ModulePath+" => ./framework\n"...)
	if err := (Files{"go.mod": mod, "go.sum": own["go.sum"]}).WriteTo(root); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "vet", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go vet: %v\n%s", err, strings.TrimSpace(string(out)))
	}
}

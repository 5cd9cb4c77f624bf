package engine

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCopyPartLeavesOut(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for _, name := range []string{"go.mod", "cmd/d/main.go", "cmd/d/main_test.go", "cmd/d/parts/a.go", "cmd/d/parts/b.go", "docs/x.md"} {
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o400); err != nil { // as in the module cache
			t.Fatal(err)
		}
	}
	if err := copyPart(to, from, Part{Folder: "cmd/d/parts", Files: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := fs.WalkDir(os.DirFS(to), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, path)
		}
		return err
	})
	if want := []string{"cmd/d/main.go", "cmd/d/parts/b.go", "go.mod"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

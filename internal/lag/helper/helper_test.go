package helper_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write source.txtar anew")

// TestSourceIsCurrent: what is built is the module scalers.
func TestSourceIsCurrent(t *testing.T) {
	const module = "../../../scalers"
	a := &txtar.Archive{Comment: []byte("The source of the module scalers: go test ./internal/lag/helper -update\n")}
	err := filepath.WalkDir(module, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || filepath.Ext(path) != ".go" && d.Name() != "go.mod" && d.Name() != "go.sum" {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(module, path)
		a.Files = append(a.Files, txtar.File{Name: filepath.ToSlash(name), Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := txtar.Format(a)
	if *update {
		if err := os.WriteFile("source.txtar", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("source.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("source.txtar is not the module scalers: run go test ./internal/lag/helper -update")
	}
}

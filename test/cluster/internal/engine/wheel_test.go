package engine

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"
)

func TestUnpack(t *testing.T) {
	archive, out := filepath.Join(t.TempDir(), "a.whl"), filepath.Join(t.TempDir(), "new", "program")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	entry, err := w.Create("a/_bin/program")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write([]byte("it")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unpack(archive, "a/_bin/other", out); err == nil {
		t.Error("a file that is not in the wheel is no error")
	}
	if err := unpack(archive, "a/_bin/program", out); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf("the program is %v, %v", info, err)
	}
	if content, err := os.ReadFile(out); err != nil || string(content) != "it" {
		t.Errorf("the program holds %q, %v", content, err)
	}
}

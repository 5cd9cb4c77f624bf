package program_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/program"
)

// compiled is a small static program.
func compiled(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", "out", "main.go")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compiling: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func image(t *testing.T, entrypoint string, files ...assemble.File) v1.Image {
	t.Helper()
	base, err := assemble.Base(nil)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := assemble.Layer(files)
	if err != nil {
		t.Fatal(err)
	}
	img, err := assemble.Image(assemble.Spec{Layers: []v1.Layer{base, layer}, Entrypoint: []string{entrypoint}, Cmd: []string{"-v"}, Env: []string{"A=b"}, WorkingDir: "/app", User: "65532"})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestExtract(t *testing.T) {
	binary := compiled(t)
	file := func(path string, data []byte) assemble.File {
		return assemble.File{Path: path, Mode: 0o755, Data: data}
	}
	dir := t.TempDir()
	p, err := program.Extract(image(t, "/app/fn", file("app/fn", binary)), dir, 100<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(p.File)
	if err != nil || !slices.Equal(got, binary) || p.Size != int64(len(binary)) {
		t.Errorf("the program has %d bytes, want %d (%v)", len(got), len(binary), err)
	}
	if !slices.Equal(p.Args, []string{"/app/fn", "-v"}) || !slices.Contains(p.Env, "A=b") || p.Dir != "/app" || p.User != "65532" {
		t.Errorf("it is run as %+v", p)
	}
	for name, test := range map[string]struct {
		img  v1.Image
		most int64
	}{
		"another file": {image(t, "/app/fn", file("app/fn", binary), file("app/data", []byte("x"))), 100 << 20},
		"a link":       {image(t, "/app/fn", assemble.File{Path: "app/fn", Mode: fs.ModeSymlink | 0o777, Link: "/etc/passwd"}), 100 << 20},
		"not there":    {image(t, "/app/other", file("etc/fn", binary)), 100 << 20},
		"a script":     {image(t, "/app/fn", file("app/fn", []byte("#!/bin/sh\n"))), 100 << 20},
		"too large":    {image(t, "/app/fn", file("app/fn", binary)), 100},
		"looked up":    {image(t, "fn", file("bin/fn", binary)), 100 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := program.Extract(test.img, dir, test.most); !errors.Is(err, program.ErrNotAlone) {
				t.Errorf("the error is %v", err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Errorf("it leaves %v (%v)", left, err)
			}
		})
	}
}

package image_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openfunction/ofn/test/cluster/internal/image"
)

func TestWrite(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(binary, []byte("content"), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func() []byte {
		var b bytes.Buffer
		if err := image.Write(&b, "dev.local/program:1", image.File{Path: "/ko-app/program", Source: binary}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	archive := write()
	if !bytes.Equal(archive, write()) {
		t.Error("the same program made another image")
	}
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil || config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/ko-app/program" {
		t.Errorf("config %+v, %v", config, err)
	}
	files := map[string]int64{}
	for r := tar.NewReader(mutate.Extract(img)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Clean(h.Name)] = h.Mode
	}
	if files["ko-app/program"] != 0o755 || files["tmp"] != 0o1777 || files["etc/passwd"] != 0o644 {
		t.Errorf("files %v", files)
	}
}

func TestMachineAddsWhatAProgramLoads(t *testing.T) {
	files, err := image.Git()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"git": true, "sh": true, "git-submodule": true, "git-remote-https": true, "libc.so.6": true}
	for _, f := range files {
		if base := filepath.Base(f.Path); base != "sh" || f.Path == "/bin/sh" {
			delete(want, base)
		}
		if !filepath.IsAbs(f.Source) {
			t.Errorf("%s comes from %s", f.Path, f.Source)
		}
	}
	if len(want) > 0 {
		t.Errorf("%v are not among %v", want, files)
	}
}

func TestTreeLeavesOut(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x.go", "a/x_test.go", "testdata/y.go"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keep := func(path string, folder bool) bool {
		return folder && filepath.Base(path) != "testdata" || !folder && !strings.HasSuffix(path, "_test.go")
	}
	files, err := image.Tree(dir, keep)
	if err != nil || len(files) != 1 || files[0].Path != filepath.Join(dir, "a/x.go") {
		t.Errorf("got %v, %v", files, err)
	}
}

func TestWriteRefusesABadName(t *testing.T) {
	if err := image.Write(io.Discard, "No Name", image.File{Path: "/a", Source: "/dev/null"}); err == nil {
		t.Error("want an error")
	}
}

package image_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
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

func TestWriteRefusesABadName(t *testing.T) {
	if err := image.Write(io.Discard, "No Name", image.File{Path: "/a", Source: "/dev/null"}); err == nil {
		t.Error("want an error")
	}
}

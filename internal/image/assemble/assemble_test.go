package assemble

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func digestOf(t *testing.T, x interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	d, err := x.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// headers reads what is in a layer.
func headers(t *testing.T, l v1.Layer) []tar.Header {
	t.Helper()
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []tar.Header
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, *h)
	}
}

func names(hs []tar.Header) []string {
	var out []string
	for _, h := range hs {
		out = append(out, h.Name)
	}
	return out
}

func TestLayerIsReproducible(t *testing.T) {
	files := []File{
		{Path: "/app/fn", Mode: 0o755, Data: []byte("program")},
		{Path: "app/link", Link: "fn"},
		{Path: "etc", Mode: fs.ModeDir | 0o700},
	}
	one, err := Layer(files)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	two, err := Layer(files)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := digestOf(t, one), digestOf(t, two); a != b {
		t.Errorf("the order of files changes the digest: %s, %s", a, b)
	}
	if err := validate.Layer(one); err != nil {
		t.Error(err)
	}
	hs := headers(t, one)
	if got := names(hs); !slices.Equal(got, []string{"app/", "app/fn", "app/link", "etc/"}) {
		t.Errorf("entries %v", got)
	}
	for _, h := range hs {
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 || h.Uname != "" {
			t.Errorf("%s: owner %d:%d, time %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
	}
}

func TestLayerRefuses(t *testing.T) {
	for name, files := range map[string][]File{
		"twice":        {{Path: "a"}, {Path: "/a"}},
		"below a file": {{Path: "a"}, {Path: "a/b"}},
		"no name":      {{Path: "/"}},
		"no such file": {{Path: "a", From: "/no/such/file"}},
	} {
		if _, err := Layer(files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	l, err := Layer([]File{{Path: "../../etc/passwd", Data: []byte("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(headers(t, l)); !slices.Equal(got, []string{"etc/", "etc/passwd"}) {
		t.Errorf("a climbing name became %v", got)
	}
}

func TestDirLayer(t *testing.T) {
	write := func(dir string, when time.Time, mode fs.FileMode) {
		err := errors.Join(
			os.MkdirAll(filepath.Join(dir, "sub"), 0o700),
			os.WriteFile(filepath.Join(dir, "sub/fn"), []byte("program"), mode),
			os.Symlink("sub/fn", filepath.Join(dir, "link")),
			os.Chtimes(filepath.Join(dir, "sub/fn"), when, when))
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b := t.TempDir(), t.TempDir()
	write(a, time.Unix(1, 0), 0o700)
	write(b, time.Unix(1e9, 0), 0o775) // another umask, another time: the same program
	one, err := DirLayer(a, "workspace")
	if err != nil {
		t.Fatal(err)
	}
	two, err := DirLayer(b, "/workspace")
	if err != nil {
		t.Fatal(err)
	}
	if digestOf(t, one) != digestOf(t, two) {
		t.Error("the same files give different digests")
	}
	if got := names(headers(t, one)); !slices.Equal(got, []string{"workspace/", "workspace/link", "workspace/sub/", "workspace/sub/fn"}) {
		t.Errorf("entries %v", got)
	}
}

func TestImage(t *testing.T) {
	base, err := Base([]byte("pem"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names(headers(t, base)), " "); !strings.Contains(got, "etc/passwd") || !strings.Contains(got, "etc/ssl/certs/ca-certificates.crt") {
		t.Errorf("base %s", got)
	}
	for _, h := range headers(t, base) {
		if h.Name == "tmp/" && h.Mode != 0o1777 {
			t.Errorf("/tmp has mode %o", h.Mode)
		}
	}
	make := func() v1.Image {
		below, err := Image(Spec{Layers: []v1.Layer{base}, Entrypoint: []string{"/old"}, Cmd: []string{"arg"}, Env: []string{"A=1", "B=1"},
			Labels: map[string]string{"x": "1"}, Port: 80, OS: "linux", Arch: "arm64"})
		if err != nil {
			t.Fatal(err)
		}
		app, err := Layer([]File{{Path: "app/fn", Mode: 0o755, Data: []byte("program")}})
		if err != nil {
			t.Fatal(err)
		}
		img, err := Image(Spec{Base: below, Layers: []v1.Layer{app}, Entrypoint: []string{"/app/fn"}, Env: []string{"B=2", "C=3"},
			Labels: map[string]string{"y": "2"}, User: "nobody", Port: 8080})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	img := make()
	if a, b := digestOf(t, img), digestOf(t, make()); a != b {
		t.Errorf("digests %s, %s", a, b)
	}
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := f.Config
	if f.Architecture != "arm64" || c.Entrypoint[0] != "/app/fn" || c.Cmd != nil || c.User != "nobody" || len(c.Labels) != 2 || len(c.ExposedPorts) != 2 {
		t.Errorf("config %s %+v", f.Architecture, c)
	}
	if !slices.Equal(c.Env, []string{"A=1", "B=2", "C=3"}) {
		t.Errorf("env %v", c.Env)
	}
}

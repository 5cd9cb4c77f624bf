package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openfunction/ofn/internal/image/registry"
)

// entry is one line of a test layer.
type entry struct {
	name, body, link string
	kind             byte
	mode             int64
}

func layerOf(t *testing.T, entries ...entry) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Linkname: e.link, Size: int64(len(e.body)), ModTime: time.Unix(1, 0)}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageOf(t *testing.T, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.OS, f.Architecture = "linux", arch
	f.Config = v1.Config{Entrypoint: []string{"/app/fn"}, Env: []string{"A=b"}, User: "fn", ExposedPorts: map[string]struct{}{"8080/tcp": {}}}
	img, err = mutate.ConfigFile(img, f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func newRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	r, err := registry.Open(t.TempDir(), registry.Options{Grace: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func newStore(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Arch == "" {
		o.OS, o.Arch = "linux", "amd64"
	}
	o.Retry = time.Millisecond
	s, err := Open(t.TempDir(), newRegistry(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve is a registry of somebody else; it returns its host.
func serve(t *testing.T) string {
	t.Helper()
	srv := httptest.NewServer(newRegistry(t))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func reasonOf(err error) Reason {
	var f *Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

func TestPushResolveRoot(t *testing.T) {
	host := serve(t)
	for _, c := range []struct {
		name, ref string
		local     bool
	}{
		{"local under a foreign name", "openfunctiondev/sample", true},
		{"local alias", "ofn.local/sample:v1", false},
		{"remote", host + "/me/sample:v1", false},
		{"local under the name of a host with a port", host + "/you/sample:v1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, s := t.Context(), newStore(t, Options{})
			base := layerOf(t, entry{name: "etc/", kind: tar.TypeDir}, entry{name: "etc/passwd", body: "root:x:0:0::/:\nfn:x:1234:99::/:\n"})
			img := imageOf(t, "amd64", base, layerOf(t, entry{name: "app/fn", body: "hello"}))
			d, err := s.Push(ctx, c.ref, img, Credentials{}, c.local)
			if err != nil {
				t.Fatal(err)
			}
			p, err := s.Resolve(ctx, c.ref, Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			if p.Digest != d {
				t.Errorf("resolved %s, pushed %s", p.Digest, d)
			}
			root, release, err := s.Root(ctx, p, Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			if len(root.Layers) != 2 {
				t.Fatalf("layers %v", root.Layers)
			}
			got, err := os.ReadFile(filepath.Join(root.Layers[1], "app/fn"))
			if err != nil || string(got) != "hello" {
				t.Errorf("app/fn holds %q (%v)", got, err)
			}
			if root.Config.Entrypoint[0] != "/app/fn" || root.Config.ExposedPorts[0] != "8080/tcp" {
				t.Errorf("config %+v", root.Config)
			}
		})
	}
}

func TestMissingImage(t *testing.T) {
	s := newStore(t, Options{})
	for _, ref := range []string{"ofn.local/none", serve(t) + "/none"} {
		_, err := s.Resolve(context.Background(), ref, Credentials{})
		if reasonOf(err) != NotFound {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := s.Resolve(context.Background(), "UPPER case", Credentials{}); reasonOf(err) != InvalidReference {
		t.Errorf("bad reference: %v", err)
	}
}

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/openfunction/ofn/internal/image/registry"
	"github.com/openfunction/ofn/internal/image/unpack"
)

// pushed puts an image into the store's own registry and resolves it.
func pushed(t *testing.T, s *Store, ref string, layers ...v1.Layer) Pinned {
	t.Helper()
	if _, err := s.Push(t.Context(), ref, imageOf(t, "amd64", layers...), Credentials{}, true); err != nil {
		t.Fatal(err)
	}
	p, err := s.Resolve(t.Context(), ref, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestManyCallersUnpackOnce(t *testing.T) {
	var pulls atomic.Int32
	r := newRegistry(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet && strings.Contains(q.URL.Path, "/blobs/") {
			pulls.Add(1)
		}
		r.ServeHTTP(w, q)
	}))
	defer srv.Close()
	ctx, s := t.Context(), newStore(t, Options{})
	ref := strings.TrimPrefix(srv.URL, "http://") + "/fn"
	img := imageOf(t, "amd64", layerOf(t, entry{name: "a", body: strings.Repeat("a", 1<<20)}), layerOf(t, entry{name: "b", body: "b"}))
	if _, err := s.Push(ctx, ref, img, Credentials{}, false); err != nil {
		t.Fatal(err)
	}
	p, err := s.Resolve(ctx, ref, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	pulls.Store(0)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			root, release, err := s.Root(ctx, p, Credentials{})
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			if info, err := os.Stat(filepath.Join(root.Layers[0], "a")); err != nil || info.Size() != 1<<20 {
				t.Errorf("a: %v (%v)", info, err)
			}
		})
	}
	all.Wait()
	if n := pulls.Load(); n != 2 {
		t.Errorf("%d blobs were pulled for two layers", n)
	}
	if len(s.locks) != 0 || len(s.inUse) != 0 {
		t.Errorf("left behind: %d locks, %d holds", len(s.locks), len(s.inUse))
	}
}

func TestLayersAreShared(t *testing.T) {
	s := newStore(t, Options{})
	base := layerOf(t, entry{name: "base", body: "b"})
	one := pushed(t, s, "one", base, layerOf(t, entry{name: "fn", body: "1"}))
	two := pushed(t, s, "two", base, layerOf(t, entry{name: "fn", body: "2"}))
	a, release, err := s.Root(t.Context(), one, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	b, release, err := s.Root(t.Context(), two, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if a.Layers[0] != b.Layers[0] || a.Layers[1] == b.Layers[1] {
		t.Errorf("layers %v and %v", a.Layers, b.Layers)
	}
}

func TestWhiteouts(t *testing.T) {
	lower := layerOf(t, entry{name: "gone", body: "1"}, entry{name: "kept", body: "1"})
	upper := layerOf(t, entry{name: ".wh.gone"}, entry{name: "new", body: "2"})
	t.Run("flat", func(t *testing.T) {
		s := newStore(t, Options{})
		s.overlay = false
		p := pushed(t, s, "fn", lower, upper)
		for range 2 { // the second finds what the first made
			root, release, err := s.Root(t.Context(), p, Credentials{})
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			if len(root.Layers) != 1 {
				t.Fatalf("layers %v", root.Layers)
			}
			if got := list(t, root.Layers[0]); !slices.Equal(got, []string{"kept", "new"}) {
				t.Errorf("%v", got)
			}
		}
	})
	t.Run("overlay", func(t *testing.T) {
		s := newStore(t, Options{})
		if !s.overlay {
			t.Skip("the file system does not take whiteouts")
		}
		root, release, err := s.Root(t.Context(), pushed(t, s, "fn", lower, upper), Credentials{})
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if got := list(t, root.Layers[1]); !slices.Equal(got, []string{"gone", "new"}) {
			t.Errorf("%v", got)
		}
		if info, err := os.Lstat(filepath.Join(root.Layers[1], "gone")); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			t.Errorf("the whiteout is %v (%v)", info, err)
		}
	})
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// liar says that it is another layer than it is.
type liar struct {
	v1.Layer
	diff v1.Hash
}

func (l liar) DiffID() (v1.Hash, error) { return l.diff, nil }

func TestBadLayers(t *testing.T) {
	good := layerOf(t, entry{name: "a", body: "1"})
	diff, err := good.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]v1.Layer{
		"climbs":            layerOf(t, entry{name: "../evil", body: "x"}),
		"poisons":           liar{layerOf(t, entry{name: "a", body: "evil"}), diff},
		"is too large":      layerOf(t, entry{name: "a", body: strings.Repeat("0", 1<<20)}),
		"holds a device":    layerOf(t, entry{name: "sda", kind: tar.TypeBlock}),
		"is not an archive": static.NewLayer(bytes.Repeat([]byte("noise"), 500), types.OCIUncompressedLayer),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, Options{Limits: unpack.Limits{Bytes: 1 << 19}})
			_, _, err := s.Root(t.Context(), pushed(t, s, "bad", l), Credentials{})
			if reasonOf(err) != InvalidImage {
				t.Errorf("%v", err)
			}
			if got := list(t, s.path("layers/sha256")); len(got) != 0 {
				t.Errorf("a layer stayed: %v", got)
			}
			if got := list(t, s.path("tmp")); len(got) != 0 {
				t.Errorf("left in tmp: %v", got)
			}
		})
	}
}

func TestCompressions(t *testing.T) {
	plain := archiveOf(t, "fn", "content")
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	opener := func(data []byte) tarball.Opener {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	}
	gzipped, err := tarball.LayerFromOpener(opener(plain))
	if err != nil {
		t.Fatal(err)
	}
	diff, err := gzipped.DiffID()
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]v1.Layer{
		"gzip": gzipped,
		"zstd": liar{static.NewLayer(z.Bytes(), types.MediaType("application/vnd.oci.image.layer.v1.tar+zstd")), diff},
		"none": static.NewLayer(plain, types.OCIUncompressedLayer),
	} {
		s := newStore(t, Options{})
		root, release, err := s.Root(t.Context(), pushed(t, s, "fn", l), Credentials{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		release()
		if got, err := os.ReadFile(filepath.Join(root.Layers[0], "fn")); err != nil || string(got) != "content" {
			t.Errorf("%s: %q (%v)", name, got, err)
		}
	}
}

func archiveOf(t *testing.T, name, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Roots are made and released while collections run that keep nothing but what is in use.
func TestGCWhileUnpacking(t *testing.T) {
	ctx, s := t.Context(), newStore(t, Options{})
	p := pushed(t, s, "fn", layerOf(t, entry{name: "fn", body: "content"}))
	stop := make(chan struct{})
	var collector, users sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			// Tags stay, so that the image can be had again.
			if _, err := s.GC(ctx, func(ref string) bool { return !strings.Contains(ref, "@") }); err != nil {
				t.Errorf("GC: %v", err)
				return
			}
		}
	})
	for range 4 {
		users.Go(func() {
			for range 15 {
				root, release, err := s.Root(ctx, p, Credentials{})
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := os.ReadFile(filepath.Join(root.Layers[0], "fn")); err != nil || string(got) != "content" {
					t.Errorf("%q (%v)", got, err)
				}
				release()
			}
		})
	}
	users.Wait()
	close(stop)
	collector.Wait()
}

func TestLeftoversAreRemoved(t *testing.T) {
	s := newStore(t, Options{})
	half := s.path("tmp", "layer-half")
	if err := errors.Join(os.MkdirAll(filepath.Join(half, "closed"), 0o755), os.Chmod(filepath.Join(half, "closed"), 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, s.registry, Options{}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s.path("tmp")); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	r, err := registry.Open(t.TempDir(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s, err := Open(filepath.Join(dir, "images"), r, Options{OS: "linux", Arch: "amd64", Retry: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	p := pushed(t, s, "fn", layerOf(t, entry{name: "big", body: strings.Repeat("x", 2<<20)}))
	if _, _, err := s.Root(t.Context(), p, Credentials{}); reasonOf(err) != DiskFull {
		t.Errorf("%v", err)
	}
	if _, release, err := s.Root(t.Context(), pushed(t, s, "small", layerOf(t, entry{name: "fn", body: "x"})), Credentials{}); err != nil {
		t.Errorf("a small image does not fit any more: %v", err)
	} else {
		release()
	}
}

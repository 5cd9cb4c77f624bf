package export_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/openfunction/ofn/internal/export"
)

// shelf is a registry that takes down what is sent to it.
type shelf struct {
	*httptest.Server
	mu              sync.Mutex
	uploads, mounts int
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		switch {
		case r.Method == http.MethodPost && r.URL.Query().Get("mount") != "":
			s.mounts++
		case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/uploads/"):
			s.uploads++
		}
		s.mu.Unlock()
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) host() string { return strings.TrimPrefix(s.URL, "http://") }

func (s *shelf) counts() (uploads, mounts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads, s.mounts
}

// own is the way to a shelf as the platform's own registry.
type own struct{ base *url.URL }

func (o own) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = o.base.Scheme, o.base.Host, ""
	return http.DefaultTransport.RoundTrip(r)
}

func transfer(t *testing.T, s *shelf) *export.Transfer {
	t.Helper()
	base, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &export.Transfer{Own: own{base}, Logins: authn.NewMultiKeychain()}
}

func put(t *testing.T, s *shelf, at string, img v1.Image) string {
	t.Helper()
	ref, err := name.NewTag(s.host() + "/" + at)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// Two images with layers in common: each layer is sent once, and an image that is there is not sent at all.
func TestPush(t *testing.T) {
	here, there := newShelf(t), newShelf(t)
	first, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	more, err := random.Layer(1000, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err != nil {
		t.Fatal(err)
	}
	second, err := mutate.AppendLayers(first, more)
	if err != nil {
		t.Fatal(err)
	}
	a, b := put(t, here, "ns/a:latest", first), put(t, here, "docker.io/me/b:latest", second)
	x := transfer(t, here)
	if d, err := x.Digest(t.Context(), "me/b"); err != nil || d != b {
		t.Errorf("digest is %q, %v", d, err)
	}
	if d, err := x.Digest(t.Context(), "ofn.local/ns/none"); err != nil || d != "" {
		t.Errorf("digest is %q, %v", d, err)
	}
	images := []export.Image{{From: "ofn.local/ns/a@" + a, To: there.host() + "/p/ns/a@" + a}, {From: "docker.io/me/b@" + b, To: there.host() + "/p/docker.io/me/b@" + b}}
	for _, i := range images {
		if sent, err := x.Push(t.Context(), i); err != nil || sent.There || sent.Bytes == 0 {
			t.Fatalf("sent %+v, error %v", sent, err)
		}
	}
	if uploads, mounts := there.counts(); uploads != 5 || mounts < 2 { // two layers and a config; another layer and config
		t.Errorf("%d uploads and %d mounts, want 5 and at least 2", uploads, mounts)
	}
	for _, i := range images {
		if sent, err := transfer(t, here).Push(t.Context(), i); err != nil || !sent.There {
			t.Errorf("sent %+v, error %v", sent, err)
		}
	}
	if uploads, _ := there.counts(); uploads != 5 {
		t.Errorf("%d uploads after nothing was to be done", uploads)
	}
}

func TestKeepAndImport(t *testing.T) {
	here, there, dir := newShelf(t), newShelf(t), t.TempDir()
	img, err := random.Image(500, 1)
	if err != nil {
		t.Fatal(err)
	}
	index, err := random.Index(500, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	a := put(t, here, "ns/a:latest", img)
	ref, err := name.NewTag(here.host() + "/other/b:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	foreign := here.host() + "/other/b:v1"
	images := []export.Image{{From: "ofn.local/ns/a@" + a, To: "ofn.local/ns/a@" + a}, {From: foreign, To: foreign}}
	kept := 0
	if err := transfer(t, here).Keep(t.Context(), dir, images, func(export.Sent) { kept++ }); err != nil || kept != 2 {
		t.Fatalf("kept %d, error %v", kept, err)
	}
	x, imported := transfer(t, there), 0
	if err := x.ImportAll(t.Context(), dir, func(string) { imported++ }); err != nil || imported != 2 {
		t.Fatalf("imported %d, error %v", imported, err)
	}
	want, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for image, digest := range map[string]string{images[0].To: a, foreign: want.String()} {
		if d, err := x.Digest(t.Context(), image); err != nil || d != digest {
			t.Errorf("%s is %q, want %q; error %v", image, d, digest, err)
		}
	}
	if err := x.ImportAll(t.Context(), t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "without --images") {
		t.Errorf("error is %v", err)
	}
}

func TestRefusals(t *testing.T) {
	here := newShelf(t)
	closed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(closed.Close)
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	a := put(t, here, "ns/a:latest", img)
	_, err = transfer(t, here).Push(t.Context(), export.Image{From: "ofn.local/ns/a@" + a, To: strings.TrimPrefix(closed.URL, "http://") + "/a@" + a})
	if err == nil || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("error is %v", err)
	}
}

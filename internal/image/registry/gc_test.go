package registry

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// clock is a time that tests set.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(c.at.Load(), 0) }

func (c *clock) pass(d time.Duration) { c.at.Add(int64(d / time.Second)) }

func gcClient(t *testing.T) (*Registry, client, *clock) {
	t.Helper()
	clk := &clock{}
	clk.pass(1e6 * time.Second)
	r, c := newClient(t, Options{Now: clk.now, Grace: time.Hour, UploadTTL: 24 * time.Hour})
	return r, c, clk
}

func (c client) has(path string) bool {
	c.t.Helper()
	resp, body := c.do("HEAD", path, "")
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		c.t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
	}
	return resp.StatusCode == http.StatusOK
}

func files(t *testing.T, r *Registry) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(r.dir, "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestGCKeepsWhatIsNeeded(t *testing.T) {
	r, c, clk := gcClient(t)
	old := c.pushImage("a", "latest", "old layer")
	pinned := c.pushImage("a", "latest", "pinned layer")
	now := c.pushImage("a", "latest", "new layer")
	about := c.pushImage("a", "", "signature", func(m *ocispec.Manifest) {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: now, Size: 1}
	})
	dropped := c.pushImage("a", "dropped", "dropped layer")
	c.pushBlob("a", "loose")
	keep := func(ref string) bool { return ref == "a:latest" || ref == "a@"+pinned.String() }

	if f, err := r.GC(t.Context(), keep); err != nil || f != (Freed{}) {
		t.Fatalf("within the grace something went: %+v, %v", f, err)
	}
	clk.pass(2 * time.Hour)
	f, err := r.GC(t.Context(), keep)
	if err != nil {
		t.Fatal(err)
	}
	if f.Manifests != 2 || f.Blobs != 3 || f.Bytes != int64(len("old layer"+"dropped layer"+"loose")) {
		t.Errorf("freed %+v", f)
	}
	for d, want := range map[digest.Digest]bool{old: false, pinned: true, now: true, about: true, dropped: false} {
		if got := c.has("/v2/a/manifests/" + d.String()); got != want {
			t.Errorf("manifest %s there: %v, want %v", d, got, want)
		}
	}
	for layer, want := range map[string]bool{"old layer": false, "pinned layer": true, "new layer": true, "signature": true, "{}": true} {
		if got := c.has("/v2/a/blobs/" + digest.FromString(layer).String()); got != want {
			t.Errorf("blob %q there: %v, want %v", layer, got, want)
		}
	}
	if n := files(t, r); n != 4 {
		t.Errorf("%d files are left", n)
	}
}

func TestGCKeepsChildrenOfAnIndex(t *testing.T) {
	r, c, clk := gcClient(t)
	child := c.pushImage("a", "", "layer")
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":1}]}`,
		ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, child)
	c.expect(http.StatusCreated, "PUT", "/v2/a/manifests/v1", index, "Content-Type", ocispec.MediaTypeImageIndex)
	clk.pass(2 * time.Hour)
	if _, err := r.GC(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if !c.has("/v2/a/manifests/"+child.String()) || !c.has("/v2/a/blobs/"+digest.FromString("layer").String()) {
		t.Error("what a tagged index needs is gone")
	}
}

// A client that was told that a layer is there does not send it: it must stay until its manifest came.
func TestGCSparesWhatAClientWasPromised(t *testing.T) {
	r, c, clk := gcClient(t)
	d := c.pushBlob("a", "layer")
	clk.pass(2 * time.Hour)
	if !c.has("/v2/a/blobs/" + d.String()) {
		t.Fatal("no layer")
	}
	if f, err := r.GC(t.Context(), nil); err != nil || f.Blobs != 0 {
		t.Errorf("freed %+v, %v", f, err)
	}
	clk.pass(2 * time.Hour)
	if f, err := r.GC(t.Context(), nil); err != nil || f.Blobs != 1 {
		t.Errorf("freed %+v, %v", f, err)
	}
}

func TestGCKeepsABlobThatAnotherRepositoryHas(t *testing.T) {
	r, c, clk := gcClient(t)
	c.pushImage("kept", "v1", "layer")
	c.pushImage("gone", "v1", "layer")
	clk.pass(2 * time.Hour)
	if _, err := r.GC(t.Context(), func(ref string) bool { return strings.HasPrefix(ref, "kept") }); err != nil {
		t.Fatal(err)
	}
	d := digest.FromString("layer").String()
	if c.has("/v2/gone/blobs/"+d) || !c.has("/v2/kept/blobs/"+d) {
		t.Error("the layer should be left in one repository")
	}
	if _, got := c.expect(http.StatusOK, "GET", "/v2/kept/blobs/"+d, ""); got != "layer" {
		t.Errorf("layer %q", got)
	}
}

func TestUploadsExpire(t *testing.T) {
	r, c, clk := gcClient(t)
	resp, _ := c.expect(http.StatusAccepted, "POST", "/v2/a/blobs/uploads/", "")
	at := resp.Header.Get("Location")
	c.expect(http.StatusAccepted, "PATCH", at, "half")
	entries, err := os.ReadDir(filepath.Join(r.dir, "uploads"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	if err := os.Chtimes(filepath.Join(r.dir, "uploads", entries[0].Name()), clk.now(), clk.now()); err != nil {
		t.Fatal(err)
	}
	clk.pass(23 * time.Hour)
	if f, err := r.GC(t.Context(), nil); err != nil || f.Uploads != 0 {
		t.Errorf("freed %+v, %v", f, err)
	}
	clk.pass(2 * time.Hour)
	if f, err := r.GC(t.Context(), nil); err != nil || f.Uploads != 1 || f.Bytes != 4 {
		t.Errorf("freed %+v, %v", f, err)
	}
	c.expect(http.StatusNotFound, "GET", at, "")
}

// Collections that spare next to nothing by age run while clients push the same layers again and again. A client may have to push
// again, but what was acknowledged and is kept must be whole.
func TestGCWhilePushing(t *testing.T) {
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	r := open(t, t.TempDir(), Options{Grace: 20 * time.Millisecond, Now: now})
	c := client{t, "http://x", &http.Client{Transport: r.Transport()}}
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := r.GC(t.Context(), func(ref string) bool { return strings.HasPrefix(ref, "keep:") }); err != nil {
				t.Errorf("GC: %v", err)
				return
			}
		}
	})
	const layers = 3
	var pushers sync.WaitGroup
	for p := range 4 {
		pushers.Go(func() {
			for i := range 12 {
				layer := fmt.Sprintf("layer %d", i%layers) // shared by all
				for _, repo := range []string{"drop", "keep"} {
					c.pushUntilTaken(repo, fmt.Sprintf("p%d-%d", p, i), layer)
				}
			}
		})
	}
	pushers.Wait()
	close(stop)
	collector.Wait()
	later.Store(int64(time.Minute))
	if _, err := r.GC(t.Context(), func(ref string) bool { return strings.HasPrefix(ref, "keep:") }); err != nil {
		t.Fatal(err)
	}
	for i := range layers {
		layer := fmt.Sprintf("layer %d", i)
		if _, got := c.expect(http.StatusOK, "GET", "/v2/keep/blobs/"+digest.FromString(layer).String(), ""); got != layer {
			t.Errorf("%s holds %q", layer, got)
		}
	}
	if n := files(t, r); n != layers+1 {
		t.Errorf("%d files are left, want %d", n, layers+1)
	}
}

// pushUntilTaken pushes an image again when the registry misses one of its blobs.
func (c client) pushUntilTaken(repo, tag, layer string) {
	for range 100 {
		for _, content := range []string{"{}", layer} {
			d := digest.FromString(content).String()
			if resp, body := c.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d, content); resp.StatusCode != http.StatusCreated {
				c.t.Errorf("pushing a blob: %d %s", resp.StatusCode, body)
				return
			}
		}
		resp, body := c.do("PUT", "/v2/"+repo+"/manifests/"+tag, manifest(layer), "Content-Type", ocispec.MediaTypeImageManifest)
		switch resp.StatusCode {
		case http.StatusCreated:
			return
		case http.StatusNotFound: // MANIFEST_BLOB_UNKNOWN
		default:
			c.t.Errorf("pushing a manifest: %d %s", resp.StatusCode, body)
			return
		}
	}
	c.t.Error("an image was not taken in 100 attempts")
}

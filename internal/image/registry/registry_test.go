package registry

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// client speaks HTTP to a registry under test.
type client struct {
	t    *testing.T
	base string
	http *http.Client
}

func open(t *testing.T, dir string, o Options) *Registry {
	t.Helper()
	r, err := Open(dir, o)
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

func newClient(t *testing.T, o Options) (*Registry, client) {
	t.Helper()
	r := open(t, t.TempDir(), o)
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	return r, client{t, srv.URL, srv.Client()}
}

// do sends a request and reads the answer; header is pairs.
func (c client) do(method, path, body string, header ...string) (*http.Response, string) {
	c.t.Helper()
	url := path
	if !strings.HasPrefix(path, "http") {
		url = c.base + path
	}
	q, err := http.NewRequestWithContext(c.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(q)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, string(data)
}

// expect sends a request and fails the test unless the answer has the status.
func (c client) expect(status int, method, path, body string, header ...string) (*http.Response, string) {
	c.t.Helper()
	resp, got := c.do(method, path, body, header...)
	if resp.StatusCode != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, got)
	}
	return resp, got
}

func (c client) pushBlob(repo, content string) digest.Digest {
	c.t.Helper()
	d := digest.FromString(content)
	c.expect(http.StatusCreated, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), content, "Content-Type", "application/octet-stream")
	return d
}

func descriptor(content, mediaType string) *ocispec.Descriptor {
	return &ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
}

func manifest(layer string, change ...func(*ocispec.Manifest)) string {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: *descriptor("{}", ocispec.MediaTypeImageConfig)}
	m.SchemaVersion = 2
	m.Layers = []ocispec.Descriptor{*descriptor(layer, ocispec.MediaTypeImageLayer)}
	for _, f := range change {
		f(&m)
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// pushImage pushes an image of one layer and returns its digest.
func (c client) pushImage(repo, reference, layer string, change ...func(*ocispec.Manifest)) digest.Digest {
	c.t.Helper()
	c.pushBlob(repo, "{}")
	c.pushBlob(repo, layer)
	m := manifest(layer, change...)
	if reference == "" {
		reference = digest.FromString(m).String()
	}
	c.expect(http.StatusCreated, "PUT", "/v2/"+repo+"/manifests/"+reference, m, "Content-Type", ocispec.MediaTypeImageManifest)
	return digest.FromString(m)
}

func TestPushAndPull(t *testing.T) {
	_, c := newClient(t, Options{})
	d := c.pushImage("docker.io/me/fn", "v1", "layer")
	for _, ref := range []string{"v1", d.String()} {
		resp, got := c.expect(http.StatusOK, "GET", "/v2/docker.io/me/fn/manifests/"+ref, "")
		if digest.FromString(got) != d || resp.Header.Get("Docker-Content-Digest") != d.String() || resp.Header.Get("Content-Type") != ocispec.MediaTypeImageManifest {
			t.Errorf("manifest %s: %v %s", ref, resp.Header, got)
		}
	}
	blob := "/v2/docker.io/me/fn/blobs/" + digest.FromString("layer").String()
	if _, got := c.expect(http.StatusOK, "GET", blob, ""); got != "layer" {
		t.Errorf("blob %q", got)
	}
	resp, _ := c.expect(http.StatusOK, "HEAD", blob, "")
	if resp.ContentLength != 5 {
		t.Errorf("length %d", resp.ContentLength)
	}
	// Another repository has nothing of it.
	c.expect(http.StatusNotFound, "GET", "/v2/docker.io/you/fn/blobs/"+digest.FromString("layer").String(), "")
	c.expect(http.StatusNotFound, "GET", "/v2/docker.io/you/fn/manifests/v1", "")
}

func TestChunkedUpload(t *testing.T) {
	_, c := newClient(t, Options{})
	resp, _ := c.expect(http.StatusAccepted, "POST", "/v2/a/b/blobs/uploads/", "")
	at := c.base + resp.Header.Get("Location")
	c.expect(http.StatusAccepted, "PATCH", at, "hello ", "Content-Range", "0-5")
	c.expect(http.StatusRequestedRangeNotSatisfiable, "PATCH", at, "late", "Content-Range", "9-12")
	c.expect(http.StatusRequestedRangeNotSatisfiable, "PATCH", at, "again ", "Content-Range", "0-5")
	resp, _ = c.expect(http.StatusNoContent, "GET", at, "")
	if got := resp.Header.Get("Range"); got != "0-5" {
		t.Errorf("after one chunk the upload says it has %s", got)
	}
	c.expect(http.StatusNotFound, "PATCH", strings.Replace(at, "/a/b/", "/a/c/", 1), "stolen", "Content-Range", "6-11")
	d := digest.FromString("hello world")
	c.expect(http.StatusCreated, "PUT", at+"?digest="+d.String(), "world", "Content-Range", "6-10")
	if _, got := c.expect(http.StatusOK, "GET", "/v2/a/b/blobs/"+d.String(), ""); got != "hello world" {
		t.Errorf("blob %q", got)
	}
	c.expect(http.StatusNotFound, "PATCH", at, "more")
}

func TestUploadFailures(t *testing.T) {
	_, c := newClient(t, Options{MaxBlobBytes: 10, MaxManifestBytes: 500, MaxUploads: 2})
	bad := digest.FromString("something else").String()
	c.expect(http.StatusBadRequest, "POST", "/v2/a/blobs/uploads/?digest="+bad, "content")
	c.expect(http.StatusRequestEntityTooLarge, "POST", "/v2/a/blobs/uploads/?digest="+digest.FromString("12345678901").String(), "12345678901")
	c.expect(http.StatusNotFound, "GET", "/v2/a/blobs/"+bad, "")
	resp, _ := c.expect(http.StatusAccepted, "POST", "/v2/a/blobs/uploads/", "")
	at := c.base + resp.Header.Get("Location")
	c.expect(http.StatusRequestEntityTooLarge, "PATCH", at, "12345678901")
	c.expect(http.StatusNoContent, "DELETE", at, "")
	c.expect(http.StatusNotFound, "GET", at, "")
	for range 2 {
		c.expect(http.StatusAccepted, "POST", "/v2/a/blobs/uploads/", "")
	}
	c.expect(http.StatusTooManyRequests, "POST", "/v2/a/blobs/uploads/", "")
}

func TestManifestFailures(t *testing.T) {
	_, c := newClient(t, Options{MaxManifestBytes: 2000})
	for _, x := range []struct {
		name, ref, body, kind string
		status                int
	}{
		{"not JSON", "v1", "{", ocispec.MediaTypeImageManifest, http.StatusBadRequest},
		{"layer not pushed", "v1", manifest("absent"), ocispec.MediaTypeImageManifest, http.StatusNotFound},
		{"another digest", digest.FromString("x").String(), "{}", ocispec.MediaTypeImageManifest, http.StatusBadRequest},
		{"another media type", "v1", manifest("absent"), ocispec.MediaTypeImageIndex, http.StatusBadRequest},
		{"too large", "v1", strings.Repeat(" ", 2001), ocispec.MediaTypeImageManifest, http.StatusRequestEntityTooLarge},
		{"bad digest inside", "v1", `{"schemaVersion":2,"config":{"digest":"sha256:zz"}}`, ocispec.MediaTypeImageManifest, http.StatusBadRequest},
		{"bad tag", "-v1", "{}", ocispec.MediaTypeImageManifest, http.StatusBadRequest},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := client{t, c.base, c.http}
			_, body := c.expect(x.status, "PUT", "/v2/a/manifests/"+x.ref, x.body, "Content-Type", x.kind)
			if !json.Valid([]byte(body)) {
				t.Errorf("the error is not JSON: %s", body)
			}
		})
	}
	if resp, _ := c.do("GET", "/v2/a/manifests/v1", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a refused manifest is there: %d", resp.StatusCode)
	}
}

func TestMount(t *testing.T) {
	_, c := newClient(t, Options{})
	d := c.pushBlob("from", "shared").String()
	c.expect(http.StatusCreated, "POST", "/v2/to/blobs/uploads/?mount="+d+"&from=from", "")
	c.expect(http.StatusOK, "GET", "/v2/to/blobs/"+d, "")
	// What cannot be mounted begins an upload.
	c.expect(http.StatusAccepted, "POST", "/v2/to/blobs/uploads/?mount="+d+"&from=nowhere", "")
	c.expect(http.StatusAccepted, "POST", "/v2/other/blobs/uploads/?mount="+d, "")
	c.expect(http.StatusNotFound, "GET", "/v2/other/blobs/"+d, "")
}

func TestDelete(t *testing.T) {
	_, c := newClient(t, Options{})
	d := c.pushImage("a", "v1", "layer")
	c.pushImage("a", "v2", "layer")
	c.expect(http.StatusAccepted, "DELETE", "/v2/a/manifests/v1", "")
	c.expect(http.StatusNotFound, "GET", "/v2/a/manifests/v1", "")
	c.expect(http.StatusOK, "GET", "/v2/a/manifests/v2", "")
	c.expect(http.StatusAccepted, "DELETE", "/v2/a/manifests/"+d.String(), "")
	c.expect(http.StatusNotFound, "GET", "/v2/a/manifests/v2", "")
	blob := "/v2/a/blobs/" + digest.FromString("layer").String()
	c.expect(http.StatusAccepted, "DELETE", blob, "")
	c.expect(http.StatusNotFound, "GET", blob, "")
	c.expect(http.StatusNotFound, "DELETE", blob, "")
	if _, got := c.expect(http.StatusOK, "GET", "/v2/a/tags/list", ""); !strings.Contains(got, `"tags":[]`) {
		t.Errorf("tags %s", got)
	}
}

func TestTagPages(t *testing.T) {
	_, c := newClient(t, Options{})
	for i := range 5 {
		c.pushImage("a", fmt.Sprintf("v%d", 4-i), "layer")
	}
	var all []string
	next, pages := "/v2/a/tags/list?n=2", 0
	for next != "" {
		resp, body := c.expect(http.StatusOK, "GET", next, "")
		var list struct{ Tags []string }
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		all, next, pages = append(all, list.Tags...), "", pages+1
		if link := resp.Header.Get("Link"); link != "" {
			next = link[1:strings.Index(link, ">")]
		}
	}
	if got := strings.Join(all, " "); got != "v0 v1 v2 v3 v4" || pages != 3 {
		t.Errorf("%d pages: %s", pages, got)
	}
	for query, want := range map[string]string{"n=0": `[]`, "last=v2": `["v3","v4"]`, "n=1&last=v": `["v0"]`} {
		if _, got := c.expect(http.StatusOK, "GET", "/v2/a/tags/list?"+query, ""); !strings.Contains(got, `"tags":`+want) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	c.expect(http.StatusBadRequest, "GET", "/v2/a/tags/list?n=x", "")
	c.expect(http.StatusNotFound, "GET", "/v2/none/tags/list", "")
}

func TestReferrers(t *testing.T) {
	_, c := newClient(t, Options{})
	subject := c.pushImage("a", "v1", "layer")
	about := func(kind string) func(*ocispec.Manifest) {
		return func(m *ocispec.Manifest) {
			m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
			m.ArtifactType, m.Annotations = kind, map[string]string{"kind": kind}
		}
	}
	m := manifest("layer", about("application/sbom"))
	resp, _ := c.expect(http.StatusCreated, "PUT", "/v2/a/manifests/"+digest.FromString(m).String(), m, "Content-Type", ocispec.MediaTypeImageManifest)
	if got := resp.Header.Get("OCI-Subject"); got != subject.String() {
		t.Errorf("OCI-Subject %q", got)
	}
	c.pushImage("a", "", "layer", about("application/signature"))
	list := func(query string) (ocispec.Index, *http.Response) {
		resp, body := c.expect(http.StatusOK, "GET", "/v2/a/referrers/"+subject.String()+query, "")
		var index ocispec.Index
		if err := json.Unmarshal([]byte(body), &index); err != nil {
			t.Fatal(err)
		}
		return index, resp
	}
	if all, _ := list(""); len(all.Manifests) != 2 {
		t.Errorf("referrers %+v", all)
	}
	one, resp := list("?artifactType=application/sbom")
	if len(one.Manifests) != 1 || one.Manifests[0].Annotations["kind"] != "application/sbom" || resp.Header.Get("OCI-Filters-Applied") != "artifactType" {
		t.Errorf("filtered %+v, %v", one, resp.Header)
	}
	c.expect(http.StatusAccepted, "DELETE", "/v2/a/manifests/"+digest.FromString(m).String(), "")
	if left, _ := list(""); len(left.Manifests) != 1 {
		t.Errorf("after deleting one: %+v", left)
	}
}

func TestSHA512(t *testing.T) {
	_, c := newClient(t, Options{})
	sum := sha512.Sum512([]byte("content"))
	d := "sha512:" + hex.EncodeToString(sum[:])
	c.expect(http.StatusCreated, "POST", "/v2/a/blobs/uploads/?digest="+d, "content")
	if _, got := c.expect(http.StatusOK, "GET", "/v2/a/blobs/"+d, ""); got != "content" {
		t.Errorf("blob %q", got)
	}
	c.pushBlob("a", "{}")
	c.pushBlob("a", "l")
	m := manifest("l")
	sum = sha512.Sum512([]byte(m))
	path := "/v2/a/manifests/sha512:" + hex.EncodeToString(sum[:])
	c.expect(http.StatusCreated, "PUT", path+"?tag=one&tag=two", m, "Content-Type", ocispec.MediaTypeImageManifest)
	c.expect(http.StatusOK, "GET", path, "")
	c.expect(http.StatusOK, "GET", "/v2/a/manifests/two", "")
}

func TestRanges(t *testing.T) {
	_, c := newClient(t, Options{})
	path := "/v2/a/blobs/" + c.pushBlob("a", "0123456789").String()
	for ask, want := range map[string]string{"bytes=2-4": "234", "bytes=7-": "789", "bytes=-2": "89"} {
		if _, got := c.expect(http.StatusPartialContent, "GET", path, "", "Range", ask); got != want {
			t.Errorf("%s: %q", ask, got)
		}
	}
	c.expect(http.StatusRequestedRangeNotSatisfiable, "GET", path, "", "Range", "bytes=50-60")
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, Options{})
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open: %v", err)
	}
}

func TestContentOutlivesTheRegistry(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := client{t, "http://x", &http.Client{Transport: r.Transport()}}
	c.pushImage("a", "v1", "layer")
	resp, _ := c.expect(http.StatusAccepted, "POST", "/v2/a/blobs/uploads/", "")
	at := resp.Header.Get("Location")
	c.expect(http.StatusAccepted, "PATCH", at, "half ")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	c.http = &http.Client{Transport: open(t, dir, Options{}).Transport()}
	c.expect(http.StatusOK, "GET", "/v2/a/manifests/v1", "")
	d := digest.FromString("half whole").String()
	c.expect(http.StatusCreated, "PUT", at+"?digest="+d, "whole", "Content-Range", "5-9")
	c.expect(http.StatusOK, "GET", "/v2/a/blobs/"+d, "")
}

func TestTransportStreams(t *testing.T) {
	r := open(t, t.TempDir(), Options{})
	c := client{t, "https://any.host", &http.Client{Transport: r.Transport(), Timeout: time.Minute}}
	big := strings.Repeat("x", 1<<20)
	path := "https://any.host/v2/a/blobs/" + c.pushBlob("a", big).String()
	resp, err := c.http.Get(path)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(resp.Body, head); err != nil || !bytes.Equal(head, []byte(big[:10])) {
		t.Errorf("read %q (%v)", head, err)
	}
	if err := resp.Body.Close(); err != nil { // ends the handler although most was not read
		t.Error(err)
	}
	if resp.ContentLength != 1<<20 {
		t.Errorf("length %d", resp.ContentLength)
	}
}

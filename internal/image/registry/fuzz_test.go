package registry

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// FuzzServe sends anything: the registry must neither panic nor blame itself.
func FuzzServe(f *testing.F) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for _, path := range []string{
		"/v2/", "/v2/a/tags/list?n=1&last=x", "/v2/a/manifests/v1", "/v2/a/manifests/" + digest + "?tag=x", "/v2/a/blobs/" + digest,
		"/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/?mount=" + digest + "&from=b", "/v2/a/blobs/uploads/?digest=" + digest,
		"/v2/a/blobs/uploads/Li4vLi4vcmVnaXN0cnkuZGI", "/v2/a/referrers/" + digest + "?artifactType=x", "/v2/_catalog?n=2", "/v2/../x/blobs/..",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"} {
			f.Add(method, path, "bytes=0-1", `{"schemaVersion":2,"subject":{"digest":"`+digest+`"}}`)
		}
	}
	r, err := Open(f.TempDir(), Options{MaxBlobBytes: 100, MaxManifestBytes: 1000, MaxUploads: 5})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := r.Close(); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, method, path, ranges, body string) {
		u, err := url.Parse(path)
		if err != nil {
			return
		}
		q := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		q.Method, q.URL = method, u
		q.Header.Set("Range", ranges)
		q.Header.Set("Content-Range", ranges)
		q.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, q)
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
		}
	})
}

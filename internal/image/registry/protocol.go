package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociref"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// protocol stands before the protocol library and answers itself where the library says less than the specification
// asks: byte ranges of blobs, digests other than sha256 and limits of manifests, paging with n=0, mounts that cannot be,
// and the cancelling of uploads. All else it hands on.
type protocol struct {
	r    *Registry
	next http.Handler
}

// request is what the storage must know of the request it works for and cannot learn through the protocol library.
type request struct {
	ranged bool  // it has a Content-Range
	cause  error // what really went wrong, for the answer
}

// fail remembers the first error.
func (q *request) fail(err error) error {
	if q.cause == nil {
		q.cause = err
	}
	return err
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	if q, ok := ctx.Value(requestKey{}).(*request); ok {
		return q
	}
	return &request{}
}

func (p *protocol) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	st := &request{ranged: q.Header.Get("Content-Range") != ""}
	q = q.WithContext(context.WithValue(q.Context(), requestKey{}, st))
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	handle := p.route(q)
	if handle == nil {
		p.next.ServeHTTP(w, q)
		return
	}
	if err := handle(w, q); err != nil {
		p.r.writeError(w, q, err)
	}
}

type handler func(http.ResponseWriter, *http.Request) error

// route returns the handler of a request that the library does not answer, or nil.
func (p *protocol) route(q *http.Request) handler {
	t, ok := parseTarget(q.URL.Path)
	if !ok {
		return nil
	}
	switch {
	case t.kind == "blobs" && (q.Method == http.MethodGet || q.Method == http.MethodHead):
		return func(w http.ResponseWriter, q *http.Request) error { return p.getBlob(w, q, t) }
	case t.kind == "manifests" && q.Method == http.MethodPut:
		return func(w http.ResponseWriter, q *http.Request) error { return p.putManifest(w, q, t) }
	case t.kind == "tags" && q.Method == http.MethodGet:
		return func(w http.ResponseWriter, q *http.Request) error { return p.listTags(w, q, t) }
	case t.kind == "blobs/uploads" && q.Method == http.MethodPost && q.URL.Query().Has("mount"):
		p.dropMount(q, t)
	case t.kind == "blobs/uploads" && q.Method == http.MethodDelete:
		return func(w http.ResponseWriter, q *http.Request) error { return p.cancelUpload(w, q, t) }
	}
	return nil
}

// target is a path of the form /v2/<repository>/<kind>/<last>.
type target struct{ repo, kind, last string }

func parseTarget(path string) (target, bool) {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return target{}, false
	}
	if repo, ok := strings.CutSuffix(strings.TrimSuffix(rest, "/"), "/blobs/uploads"); ok {
		return target{repo: repo, kind: "blobs/uploads"}, ociref.IsValidRepository(repo)
	}
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return target{}, false
	}
	t := target{last: rest[i+1:]}
	for _, t.kind = range []string{"blobs/uploads", "blobs", "manifests", "tags"} {
		if repo, ok := strings.CutSuffix(rest[:i], "/"+t.kind); ok {
			t.repo = repo
			return t, ociref.IsValidRepository(repo)
		}
	}
	return target{}, false
}

// getBlob serves a blob with byte ranges and conditions.
func (p *protocol) getBlob(w http.ResponseWriter, q *http.Request, t target) error {
	d, err := digest.Parse(t.last)
	if err != nil {
		return fmt.Errorf("%w: %v", ociregistry.ErrDigestInvalid, err)
	}
	if _, err := p.r.blobDescriptor(t.repo, d); err != nil {
		return err
	}
	f, err := os.Open(p.r.blobPath(d))
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", string(d))
	w.Header().Set("Etag", `"`+string(d)+`"`)
	http.ServeContent(w, q, "", time.Time{}, f)
	return nil
}

// putManifest stores a manifest under a tag, or a digest with further tags as parameters.
func (p *protocol) putManifest(w http.ResponseWriter, q *http.Request, t target) error {
	data, err := io.ReadAll(io.LimitReader(q.Body, p.r.opts.MaxManifestBytes+1))
	if err != nil {
		return fmt.Errorf("%w: reading it: %v", ociregistry.ErrManifestInvalid, err)
	}
	if int64(len(data)) > p.r.opts.MaxManifestBytes {
		return fmt.Errorf("%w: a manifest may have %d bytes", errTooLarge, p.r.opts.MaxManifestBytes)
	}
	tags, d, err := reference(t.last, q.URL.Query(), data)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: mediaType(q.Header, data), Digest: d, Size: int64(len(data))}
	subject, err := p.r.putManifest(t.repo, tags, desc, data)
	if err != nil {
		return err
	}
	if subject != "" {
		w.Header().Set("OCI-Subject", string(subject))
	}
	for _, tag := range q.URL.Query()["tag"] {
		w.Header().Add("OCI-Tag", tag)
	}
	w.Header().Set("Location", "/v2/"+t.repo+"/manifests/"+string(d))
	w.Header().Set("Docker-Content-Digest", string(d))
	w.WriteHeader(http.StatusCreated)
	return nil
}

// reference reads the last element of a manifest's path, a tag or a digest which must be that of data.
func reference(last string, query url.Values, data []byte) (tags []string, d digest.Digest, err error) {
	if ociref.IsValidTag(last) {
		return []string{last}, digest.FromBytes(data), nil
	}
	d, err = digest.Parse(last)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %q is neither a tag nor a digest", ociregistry.ErrManifestInvalid, last)
	}
	if err := checkAlgorithm(d); err != nil {
		return nil, "", err
	}
	if d.Algorithm().FromBytes(data) != d {
		return nil, "", ociregistry.ErrDigestInvalid
	}
	for _, tag := range query["tag"] {
		if !ociref.IsValidTag(tag) {
			return nil, "", fmt.Errorf("%w: %q is not a tag", ociregistry.ErrManifestInvalid, tag)
		}
	}
	return query["tag"], d, nil
}

// mediaType is the Content-Type of a manifest, or what it says of itself when the request is silent.
func mediaType(h http.Header, data []byte) string {
	if t := h.Get("Content-Type"); t != "" {
		return strings.TrimSpace(strings.SplitN(t, ";", 2)[0])
	}
	var doc struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(data, &doc) == nil && doc.MediaType != "" {
		return doc.MediaType
	}
	return ocispec.MediaTypeImageManifest
}

func (p *protocol) listTags(w http.ResponseWriter, q *http.Request, t target) error {
	query := q.URL.Query()
	limit := -1
	if query.Has("n") {
		n, err := strconv.Atoi(query.Get("n"))
		if err != nil || n < 0 {
			return ociregistry.NewHTTPError(fmt.Errorf("n must be a number of 0 or more, not %q", query.Get("n")), http.StatusBadRequest, nil, nil)
		}
		limit = n
	}
	tags, more, err := p.r.tags(t.repo, query.Get("last"), limit)
	if err != nil {
		return err
	}
	if more {
		query.Set("last", tags[len(tags)-1])
		w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, q.URL.Path, query.Encode()))
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]any{"name": t.repo, "tags": tags})
}

// dropMount turns a mount that cannot be into the beginning of an upload, as the specification has it.
func (p *protocol) dropMount(q *http.Request, t target) {
	query := q.URL.Query()
	d := digest.Digest(query.Get("mount"))
	if d.Validate() == nil && p.r.hasBlob(query.Get("from"), d) == nil {
		return
	}
	query.Del("mount")
	query.Del("from")
	u := *q.URL
	u.RawQuery = query.Encode()
	q.URL = &u
}

func (p *protocol) cancelUpload(w http.ResponseWriter, q *http.Request, t target) error {
	id, err := decodeUploadID(t.last)
	if err != nil {
		return ociregistry.ErrBlobUploadUnknown
	}
	u, err := p.r.resumeUpload(t.repo, id, requestOf(q.Context()))
	if err != nil {
		return err
	}
	if err := u.Cancel(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// writeError is the one place where an error becomes an answer. What is not the client's is logged and not told.
func (r *Registry) writeError(w http.ResponseWriter, q *http.Request, err error) {
	if cause := requestOf(q.Context()).cause; cause != nil {
		err = cause
	}
	var coded ociregistry.Error
	var status ociregistry.HTTPError
	switch {
	case diskFull(err):
		r.opts.Log.Error("registry: disk full", "path", q.URL.Path, "error", err)
		err = ociregistry.NewHTTPError(errors.New("the registry's disk is full: free some space and push again"), http.StatusInsufficientStorage, nil, nil)
	case errors.Is(err, errTooLarge):
		err = ociregistry.NewHTTPError(err, http.StatusRequestEntityTooLarge, nil, nil)
	case errors.As(err, &coded), errors.As(err, &status):
	case errors.Is(err, io.ErrUnexpectedEOF), q.Context().Err() != nil:
		err = ociregistry.NewHTTPError(errors.New("the request ended before its body did"), http.StatusBadRequest, nil, nil)
	default:
		r.opts.Log.Error("registry: request failed", "method", q.Method, "path", q.URL.Path, "error", err)
		err = ociregistry.NewHTTPError(errors.New("internal error"), http.StatusInternalServerError, nil, nil)
	}
	if err := ociregistry.WriteError(w, err); err != nil {
		r.opts.Log.Debug("registry: answer not written", "error", err)
	}
}

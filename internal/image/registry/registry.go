// Package registry is the platform's own OCI registry: the whole of the OCI distribution specification 1.1 over one
// directory of one machine, as an http.Handler and without a process or a port of its own.
//
// Layers and configs are files named after their digest; manifests, tags, referrers and the question which repository
// holds what are transactions in one bbolt file. An answer of success means that the content is on the disk.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"
)

// ErrInUse says that another process holds the directory.
var ErrInUse = errors.New("the registry directory is in use by another process")

// Options steer a registry. The zero value is ready for use.
type Options struct {
	// MaxBlobBytes bounds one layer or config; 0 is 16 GiB.
	MaxBlobBytes int64
	// MaxManifestBytes bounds one manifest or index; 0 is 4 MiB, the least a registry should take.
	MaxManifestBytes int64
	// MaxUploads bounds unfinished uploads; 0 is 1024.
	MaxUploads int
	// UploadTTL is how long an unfinished upload is kept after its last byte; 0 is 24 hours.
	UploadTTL time.Duration
	// Grace is how long GC spares content after it was last pushed, mounted or asked for, so that it never takes a layer
	// from under a push; 0 is one hour.
	Grace time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log receives what no caller is told, such as a failed sweep of one file; nil discards.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.MaxBlobBytes == 0 {
		o.MaxBlobBytes = 16 << 30
	}
	if o.MaxManifestBytes == 0 {
		o.MaxManifestBytes = 4 << 20
	}
	if o.MaxUploads == 0 {
		o.MaxUploads = 1024
	}
	if o.UploadTTL == 0 {
		o.UploadTTL = 24 * time.Hour
	}
	if o.Grace == 0 {
		o.Grace = time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Registry serves one directory. It is safe for concurrent use.
type Registry struct {
	opts    Options
	dir     string
	db      *bbolt.DB
	opened  time.Time
	handler http.Handler

	// content is held for reading from the moment a blob's file is in place until its link is committed, and for writing
	// while GC removes files that no link names.
	content sync.RWMutex

	mu      sync.Mutex
	uploads map[string]*upload          // those with a request inside
	touched map[digest.Digest]time.Time // when a client was last told that content is here
}

// Open opens the registry in dir, making it when it is not there. The directory belongs to one process at a time:
// a second one gets ErrInUse.
func Open(dir string, o Options) (*Registry, error) {
	o = o.withDefaults()
	if err := makeDirs(dir); err != nil {
		return nil, fmt.Errorf("opening the registry: %w", err)
	}
	db, err := openDB(filepath.Join(dir, "registry.db"))
	if err != nil {
		return nil, fmt.Errorf("opening the registry in %s: %w", dir, err)
	}
	r := &Registry{
		opts: o, dir: dir, db: db, opened: o.Now(),
		uploads: map[string]*upload{}, touched: map[digest.Digest]time.Time{},
	}
	r.handler = &protocol{r: r, next: ociserver.New(&backend{r: r}, &ociserver.Options{WriteError: r.writeError})}
	return r, nil
}

// Close ends the registry. Requests must have ended before.
func (r *Registry) Close() error { return r.db.Close() }

// ServeHTTP answers the paths under /v2/.
func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) { r.handler.ServeHTTP(w, q) }

// OpenBlob opens a blob of a repository for reading without HTTP. The error is ociregistry.ErrBlobUnknown when it is not there.
func (r *Registry) OpenBlob(_ context.Context, repo string, d digest.Digest) (io.ReadCloser, error) {
	if err := r.hasBlob(repo, d); err != nil {
		return nil, err
	}
	return os.Open(r.blobPath(d))
}

func (r *Registry) blobPath(d digest.Digest) string {
	return filepath.Join(r.dir, "blobs", d.Algorithm().String(), d.Encoded())
}

// touch remembers that a client was told that d is here: it may now push a manifest that names it without sending it.
func (r *Registry) touch(d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.touched[d] = r.opts.Now()
}

// algorithms are the digests a client may use.
func algorithms() []digest.Algorithm { return []digest.Algorithm{digest.SHA256, digest.SHA512} }

func makeDirs(dir string) error {
	dirs := []string{dir, filepath.Join(dir, "blobs"), filepath.Join(dir, "uploads")}
	for _, a := range algorithms() {
		dirs = append(dirs, filepath.Join(dir, "blobs", a.String()))
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(filepath.Join(dir, "blobs")), syncDir(dir), syncDir(filepath.Dir(dir)))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

package registry

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
)

// errTooLarge is answered with 413.
var errTooLarge = errors.New("too large")

// upload is one unfinished upload with a request inside. What was received is a file under uploads/ that outlives the
// process; its name begins with a hash of the repository, so that an upload cannot be finished into another one.
type upload struct {
	r    *Registry
	id   string
	repo string
	f    *os.File
	size int64
	st   *request
	full bool // writing it filled the disk
	done bool
}

var _ ociregistry.BlobWriter = (*upload)(nil)

func uploadPrefix(repo string) string { return digest.FromString(repo).Encoded()[:16] + "-" }

// newUpload begins an upload.
func (r *Registry) newUpload(repo string, st *request) (*upload, error) {
	pending, err := os.ReadDir(filepath.Join(r.dir, "uploads"))
	if err != nil {
		return nil, err
	}
	if len(pending) >= r.opts.MaxUploads {
		return nil, fmt.Errorf("%w: %d uploads are unfinished", ociregistry.ErrTooManyRequests, len(pending))
	}
	id := uploadPrefix(repo) + strings.ToLower(rand.Text())
	return r.lockUpload(repo, id, st, os.O_CREATE|os.O_EXCL)
}

// resumeUpload continues an upload; the error is ErrBlobUploadUnknown when there is none of that name in repo.
func (r *Registry) resumeUpload(repo, id string, st *request) (*upload, error) {
	if !strings.HasPrefix(id, uploadPrefix(repo)) || strings.ContainsAny(id, "/.\x00") {
		return nil, ociregistry.ErrBlobUploadUnknown
	}
	return r.lockUpload(repo, id, st, 0)
}

// lockUpload opens the file of an upload for one request at a time.
func (r *Registry) lockUpload(repo, id string, st *request, flag int) (*upload, error) {
	u := &upload{r: r, id: id, repo: repo, st: st}
	r.mu.Lock()
	_, busy := r.uploads[id]
	if !busy {
		r.uploads[id] = u
	}
	r.mu.Unlock()
	if busy {
		return nil, fmt.Errorf("%w: another request is writing to it", ociregistry.ErrBlobUploadInvalid)
	}
	f, err := os.OpenFile(filepath.Join(r.dir, "uploads", id), os.O_RDWR|flag, 0o600)
	if err == nil {
		u.f = f
		u.size, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil {
		u.release()
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ociregistry.ErrBlobUploadUnknown
		}
		return nil, err
	}
	return u, nil
}

func (u *upload) release() {
	u.r.mu.Lock()
	defer u.r.mu.Unlock()
	if u.r.uploads[u.id] == u {
		delete(u.r.uploads, u.id)
	}
}

// Write appends. A failure is kept with the request because the protocol library hands on its text alone.
func (u *upload) Write(p []byte) (int, error) {
	if u.size+int64(len(p)) > u.r.opts.MaxBlobBytes {
		return 0, u.st.fail(fmt.Errorf("%w: a blob may have %d bytes", errTooLarge, u.r.opts.MaxBlobBytes))
	}
	n, err := u.f.Write(p)
	u.size += int64(n)
	u.full = u.full || diskFull(err)
	return n, u.st.fail(err)
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func (u *upload) Size() int64    { return u.size }
func (u *upload) ChunkSize() int { return 0 }
func (u *upload) ID() string     { return u.id }

// Close ends the request's hold; what was written stays for a later one, unless it filled the disk.
func (u *upload) Close() error {
	if u.done {
		return nil
	}
	if u.full {
		return u.Cancel()
	}
	u.done = true
	defer u.release()
	return u.f.Close()
}

// Cancel ends the upload and removes what was written. After Commit it does nothing.
func (u *upload) Cancel() error {
	if u.done {
		return nil
	}
	u.full = false
	return errors.Join(os.Remove(u.f.Name()), u.Close())
}

// Commit checks that what was received has the digest, makes it durable and part of the repository.
func (u *upload) Commit(d digest.Digest) (ociregistry.Descriptor, error) {
	desc, err := u.commit(d)
	return desc, u.st.fail(err)
}

func (u *upload) commit(d digest.Digest) (ociregistry.Descriptor, error) {
	var none ociregistry.Descriptor
	if err := u.verify(d); err != nil {
		return none, errors.Join(err, u.Cancel())
	}
	if err := u.f.Sync(); err != nil {
		return none, fmt.Errorf("making an upload durable: %w", err)
	}
	u.r.content.RLock()
	defer u.r.content.RUnlock()
	path := u.r.blobPath(d)
	if err := os.Rename(u.f.Name(), path); err != nil {
		return none, fmt.Errorf("storing a blob: %w", err)
	}
	if err := errors.Join(u.Close(), syncDir(filepath.Dir(path))); err != nil {
		return none, fmt.Errorf("storing a blob: %w", err)
	}
	if err := u.r.link(u.repo, d, u.size); err != nil {
		return none, err
	}
	return ociregistry.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: u.size}, nil
}

// verify reads back what the file holds: an upload may have been resumed after a crash.
func (u *upload) verify(d digest.Digest) error {
	if err := checkAlgorithm(d); err != nil {
		return err
	}
	v := d.Verifier()
	if _, err := io.Copy(v, io.NewSectionReader(u.f, 0, u.size)); err != nil {
		return fmt.Errorf("reading back an upload: %w", err)
	}
	if !v.Verified() {
		return ociregistry.ErrDigestInvalid
	}
	return nil
}

func checkAlgorithm(d digest.Digest) error {
	for _, a := range algorithms() {
		if d.Algorithm() == a {
			return nil
		}
	}
	return fmt.Errorf("%w: this registry takes %v", ociregistry.ErrDigestInvalid, algorithms())
}

// link makes a blob, whose file is in place, part of a repository.
func (r *Registry) link(repo string, d digest.Digest, size int64) error {
	return r.db.Update(func(tx *bbolt.Tx) error {
		p, err := makeRepo(tx, repo)
		if err != nil {
			return err
		}
		return put(p.in(blobsKey), []byte(d), blobInfo{Size: size, Pushed: r.opts.Now()})
	})
}

// hasBlob is nil when the repository has the blob, and remembers that it was asked for.
func (r *Registry) hasBlob(repo string, d digest.Digest) error {
	_, err := r.blobDescriptor(repo, d)
	return err
}

func (r *Registry) blobDescriptor(repo string, d digest.Digest) (desc ocispec.Descriptor, err error) {
	r.touch(d)
	err = r.db.View(func(tx *bbolt.Tx) error {
		p, err := openRepo(tx, repo)
		if err != nil {
			return err
		}
		info, ok, err := p.blob(d)
		if err == nil && !ok {
			err = ociregistry.ErrBlobUnknown
		}
		desc = ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: info.Size}
		return err
	})
	return desc, err
}

// expireUploads removes uploads whose last byte came before limit and that no request holds.
func (r *Registry) expireUploads(limit time.Time) (files int, bytes int64, err error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, "uploads"))
	if err != nil {
		return 0, 0, err
	}
	for _, e := range entries {
		info, statErr := e.Info()
		if statErr != nil || info.ModTime().After(limit) {
			continue
		}
		// Holding the upload for the removal keeps a request from appending to a file that has no name any more.
		u, lockErr := r.lockUpload("", e.Name(), &request{}, 0)
		if lockErr != nil {
			continue
		}
		if rmErr := u.Cancel(); rmErr != nil {
			err = errors.Join(err, rmErr)
			continue
		}
		files, bytes = files+1, bytes+info.Size()
	}
	return files, bytes, err
}

// decodeUploadID reads an upload's name as the protocol library writes it into locations.
func decodeUploadID(s string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	return string(b), err
}

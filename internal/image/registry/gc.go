package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"
)

// Freed is what one garbage collection gave back.
type Freed struct {
	Manifests int
	Blobs     int // files
	Uploads   int // expired
	Bytes     int64
}

// GC removes what nothing needs any more: manifests, then the blobs that no manifest names, then expired uploads.
//
// keep is asked about every tag ("repo:tag") and every manifest without one ("repo@digest"); nil keeps all tags and no
// untagged manifest. Whatever a kept manifest refers to is kept, so are referrers of it, and all that was pushed, mounted or asked
// for within Options.Grace, or before the registry was opened as long as it has not been open for that time. Pushes may run meanwhile. keep must not call the registry.
func (r *Registry) GC(ctx context.Context, keep func(ref string) bool) (Freed, error) {
	if keep == nil {
		keep = func(ref string) bool { return !strings.Contains(ref, "@") }
	}
	now := r.opts.Now()
	var f Freed
	err := r.db.Update(func(tx *bbolt.Tx) error {
		return eachRepo(tx, func(name string, p repository) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := r.collect(name, p, keep, now.Add(-r.opts.Grace))
			f.Manifests += n
			return err
		})
	})
	if err != nil {
		return Freed{}, fmt.Errorf("collecting garbage: %w", err)
	}
	r.forgetTouched(now.Add(-r.opts.Grace))
	if err := r.sweep(ctx, &f); err != nil {
		return f, fmt.Errorf("collecting garbage: %w", err)
	}
	n, bytes, err := r.expireUploads(now.Add(-r.opts.UploadTTL))
	f.Uploads, f.Bytes = n, f.Bytes+bytes
	if err != nil {
		return f, fmt.Errorf("expiring uploads: %w", err)
	}
	return f, nil
}

// young tells whether content of that age must be spared because a push may rely on it.
func (r *Registry) young(d digest.Digest, pushed, limit time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return pushed.After(limit) || r.opened.After(limit) || r.touched[d].After(limit)
}

func (r *Registry) forgetTouched(limit time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, at := range r.touched {
		if !at.After(limit) {
			delete(r.touched, d)
		}
	}
}

// collect removes the tags, manifests and links of one repository that are not kept.
func (r *Registry) collect(name string, p repository, keep func(string) bool, limit time.Time) (removed int, err error) {
	infos, err := p.manifests()
	if err != nil {
		return 0, err
	}
	roots, err := p.roots(name, keep, func(d digest.Digest) bool { return r.young(d, infos[d].Pushed, limit) }, infos)
	if err != nil {
		return 0, err
	}
	manifests, blobs := mark(roots, infos)
	for d := range infos {
		if !manifests[d] {
			if err := p.removeManifest(d); err != nil {
				return removed, err
			}
			removed++
		}
	}
	var loose []string
	err = p.in(blobsKey).ForEach(func(k, _ []byte) error {
		d := digest.Digest(k)
		info, _, err := p.blob(d)
		if err == nil && !blobs[d] && !r.young(d, info.Pushed, limit) {
			loose = append(loose, string(k))
		}
		return err
	})
	for _, k := range loose {
		err = errors.Join(err, p.in(blobsKey).Delete([]byte(k)))
	}
	return removed, err
}

func (p repository) manifests() (map[digest.Digest]manifestInfo, error) {
	infos := map[digest.Digest]manifestInfo{}
	err := p.in(infoKey).ForEach(func(k, _ []byte) error {
		d := digest.Digest(k)
		info, _, err := p.manifest(d)
		infos[d] = info
		return err
	})
	return infos, err
}

// roots are the manifests that are kept for their own sake. A young manifest keeps its tags.
func (p repository) roots(name string, keep func(string) bool, young func(digest.Digest) bool, infos map[digest.Digest]manifestInfo) ([]digest.Digest, error) {
	var roots []digest.Digest
	var drop [][]byte
	err := p.in(tagsKey).ForEach(func(k, v []byte) error {
		d := digest.Digest(v)
		if young(d) || keep(name+":"+string(k)) {
			roots = append(roots, d)
		} else {
			drop = append(drop, append([]byte(nil), k...))
		}
		return nil
	})
	for _, k := range drop {
		err = errors.Join(err, p.in(tagsKey).Delete(k))
	}
	for d := range infos {
		if young(d) || keep(name+"@"+string(d)) {
			roots = append(roots, d)
		}
	}
	return roots, err
}

// mark finds all manifests and blobs that the roots need, and what refers to those manifests as its subject.
func mark(roots []digest.Digest, infos map[digest.Digest]manifestInfo) (manifests, blobs map[digest.Digest]bool) {
	referrers := map[digest.Digest][]digest.Digest{}
	for d, info := range infos {
		if info.Subject != "" {
			referrers[info.Subject] = append(referrers[info.Subject], d)
		}
	}
	manifests, blobs = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for len(roots) > 0 {
		d := roots[len(roots)-1]
		roots = roots[:len(roots)-1]
		info, ok := infos[d]
		if !ok || manifests[d] {
			continue
		}
		manifests[d] = true
		for _, b := range info.Blobs {
			blobs[b] = true
		}
		roots = append(append(roots, info.Manifests...), referrers[d]...)
	}
	return manifests, blobs
}

// sweep removes the files that no repository links. A push that puts its file in place waits meanwhile: each removal
// takes as long as one unlink, and the lock is given back between them.
func (r *Registry) sweep(ctx context.Context, f *Freed) error {
	for _, a := range algorithms() {
		dir := filepath.Join(r.dir, "blobs", a.String())
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			size, removed, err := r.sweepFile(digest.NewDigestFromEncoded(a, e.Name()), filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			if removed {
				f.Blobs, f.Bytes = f.Blobs+1, f.Bytes+size
			}
		}
	}
	return nil
}

func (r *Registry) sweepFile(d digest.Digest, path string) (size int64, removed bool, err error) {
	linked, err := r.linked(d) // most are: spare them the lock
	if err != nil || linked {
		return 0, false, err
	}
	r.content.Lock()
	defer r.content.Unlock()
	linked, err = r.linked(d)
	if err != nil || linked {
		return 0, false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, false, err
	}
	return info.Size(), true, os.Remove(path)
}

// linked tells whether any repository has the blob.
func (r *Registry) linked(d digest.Digest) (found bool, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		return eachRepo(tx, func(_ string, p repository) error {
			found = found || p.in(blobsKey).Get([]byte(d)) != nil
			return nil
		})
	})
	return found, err
}

package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
)

// backend is the storage as the protocol library wants it. Its methods keep the contract of ociregistry.Interface.
type backend struct {
	*ociregistry.Funcs
	r *Registry
}

// content is a ociregistry.BlobReader.
type content struct {
	io.ReadCloser
	desc ocispec.Descriptor
}

func (c content) Descriptor() ocispec.Descriptor { return c.desc }

func (b *backend) GetBlob(_ context.Context, repo string, d digest.Digest) (ociregistry.BlobReader, error) {
	desc, err := b.r.blobDescriptor(repo, d)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(b.r.blobPath(d))
	if err != nil {
		return nil, err
	}
	return content{f, desc}, nil
}

func (b *backend) ResolveBlob(_ context.Context, repo string, d digest.Digest) (ocispec.Descriptor, error) {
	return b.r.blobDescriptor(repo, d)
}

func (b *backend) GetManifest(_ context.Context, repo string, d digest.Digest) (ociregistry.BlobReader, error) {
	return b.manifest(repo, "", d)
}

func (b *backend) GetTag(_ context.Context, repo, tag string) (ociregistry.BlobReader, error) {
	return b.manifest(repo, tag, "")
}

func (b *backend) ResolveManifest(_ context.Context, repo string, d digest.Digest) (ocispec.Descriptor, error) {
	return b.resolve(repo, "", d)
}

func (b *backend) ResolveTag(_ context.Context, repo, tag string) (ocispec.Descriptor, error) {
	return b.resolve(repo, tag, "")
}

func (b *backend) resolve(repo, tag string, d digest.Digest) (ocispec.Descriptor, error) {
	c, err := b.manifest(repo, tag, d)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return c.Descriptor(), nil
}

func (b *backend) manifest(repo, tag string, d digest.Digest) (c ociregistry.BlobReader, err error) {
	err = b.r.db.View(func(tx *bbolt.Tx) error {
		p, err := openRepo(tx, repo)
		if err != nil {
			return err
		}
		if tag != "" {
			d = p.tag(tag)
		}
		info, ok, err := p.manifest(d)
		if err == nil && !ok {
			err = fmt.Errorf("%w: %s has no %s%s", ociregistry.ErrManifestUnknown, repo, tag, d)
		}
		data := bytes.Clone(p.in(manifestsKey).Get([]byte(d)))
		c = content{io.NopCloser(bytes.NewReader(data)), ocispec.Descriptor{MediaType: info.MediaType, Digest: d, Size: info.Size}}
		return err
	})
	b.r.touch(d)
	return c, err
}

func (b *backend) PushBlob(ctx context.Context, repo string, desc ocispec.Descriptor, body io.Reader) (ocispec.Descriptor, error) {
	u, err := b.r.newUpload(repo, requestOf(ctx))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	n, err := io.Copy(u, body)
	if err == nil && desc.Size >= 0 && n != desc.Size {
		err = ociregistry.ErrSizeInvalid
	}
	if err != nil {
		return ocispec.Descriptor{}, errors.Join(err, u.Cancel())
	}
	desc, err = u.Commit(desc.Digest)
	if err != nil {
		err = errors.Join(err, u.Cancel())
	}
	return desc, err
}

func (b *backend) PushBlobChunked(ctx context.Context, repo string, _ int) (ociregistry.BlobWriter, error) {
	return b.r.newUpload(repo, requestOf(ctx))
}

// PushBlobChunkedResume takes an offset that the protocol library sets to 0 when the request named none; only a request
// with a Content-Range is held to it.
func (b *backend) PushBlobChunkedResume(ctx context.Context, repo, id string, offset int64, _ int) (ociregistry.BlobWriter, error) {
	st := requestOf(ctx)
	u, err := b.r.resumeUpload(repo, id, st)
	if err != nil {
		return nil, err
	}
	if st.ranged && offset >= 0 && offset != u.size {
		defer u.Close()
		return nil, fmt.Errorf("%w: the upload has %d bytes, the chunk begins at %d", ociregistry.ErrRangeInvalid, u.size, offset)
	}
	return u, nil
}

func (b *backend) MountBlob(_ context.Context, from, to string, d digest.Digest) (ocispec.Descriptor, error) {
	desc, err := b.r.blobDescriptor(from, d)
	if err != nil {
		return desc, err
	}
	b.r.content.RLock()
	defer b.r.content.RUnlock()
	if _, err := os.Stat(b.r.blobPath(d)); err != nil {
		return desc, ociregistry.ErrBlobUnknown
	}
	return desc, b.r.link(to, d, desc.Size)
}

func (b *backend) PushManifest(_ context.Context, repo, tag string, data []byte, mediaType string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	_, err := b.r.putManifest(repo, []string{tag}, desc, data)
	return desc, err
}

// putManifest stores a manifest under its digest and each non-empty tag, in one transaction.
// It returns the digest of the subject, empty when it has none.
func (r *Registry) putManifest(repo string, tags []string, desc ocispec.Descriptor, data []byte) (digest.Digest, error) {
	doc, err := parseManifest(desc.MediaType, data)
	if err != nil {
		return "", err
	}
	info := manifestInfo{
		MediaType: desc.MediaType, Size: desc.Size, Pushed: r.opts.Now(),
		Blobs: doc.blobs(), Manifests: doc.manifests(),
	}
	if doc.Subject != nil {
		info.Subject = doc.Subject.Digest
	}
	return info.Subject, r.db.Update(func(tx *bbolt.Tx) error {
		p, err := makeRepo(tx, repo)
		if err != nil {
			return err
		}
		if err := p.complete(info); err != nil {
			return err
		}
		if info.Subject != "" {
			if err := put(p.in(referrersKey), referrerKey(info.Subject, desc.Digest), doc.referrer(desc)); err != nil {
				return err
			}
		}
		if err := p.in(manifestsKey).Put([]byte(desc.Digest), data); err != nil {
			return err
		}
		return p.point(tags, desc.Digest, info)
	})
}

// point records a manifest and makes tags point at it.
func (p repository) point(tags []string, d digest.Digest, info manifestInfo) error {
	for _, t := range tags {
		if t == "" {
			continue
		}
		if err := p.in(tagsKey).Put([]byte(t), []byte(d)); err != nil {
			return err
		}
	}
	return put(p.in(infoKey), []byte(d), info)
}

// complete checks that all a manifest refers to is in the repository; its subject need not be.
func (p repository) complete(info manifestInfo) error {
	for _, d := range info.Blobs {
		if p.in(blobsKey).Get([]byte(d)) == nil {
			return fmt.Errorf("%w: blob %s", ociregistry.ErrManifestBlobUnknown, d)
		}
	}
	for _, d := range info.Manifests {
		if p.in(infoKey).Get([]byte(d)) == nil {
			return fmt.Errorf("%w: manifest %s", ociregistry.ErrManifestBlobUnknown, d)
		}
	}
	return nil
}

func (b *backend) DeleteBlob(_ context.Context, repo string, d digest.Digest) error {
	return b.r.change(repo, func(p repository) error {
		if p.in(blobsKey).Get([]byte(d)) == nil {
			return ociregistry.ErrBlobUnknown
		}
		return p.in(blobsKey).Delete([]byte(d))
	})
}

func (b *backend) DeleteManifest(_ context.Context, repo string, d digest.Digest) error {
	return b.r.change(repo, func(p repository) error {
		if p.in(infoKey).Get([]byte(d)) == nil {
			return ociregistry.ErrManifestUnknown
		}
		return p.removeManifest(d)
	})
}

func (b *backend) DeleteTag(_ context.Context, repo, tag string) error {
	return b.r.change(repo, func(p repository) error {
		if p.tag(tag) == "" {
			return ociregistry.ErrManifestUnknown
		}
		return p.in(tagsKey).Delete([]byte(tag))
	})
}

// change runs f in a transaction on a repository that exists.
func (r *Registry) change(repo string, f func(repository) error) error {
	return r.db.Update(func(tx *bbolt.Tx) error {
		p, err := openRepo(tx, repo)
		if err != nil {
			return err
		}
		return f(p)
	})
}

func (b *backend) Repositories(_ context.Context, after string) iter.Seq2[string, error] {
	var names []string
	err := b.r.db.View(func(tx *bbolt.Tx) error {
		return eachRepo(tx, func(name string, _ repository) error {
			if name > after {
				names = append(names, name)
			}
			return nil
		})
	})
	if err != nil {
		return ociregistry.ErrorSeq[string](err)
	}
	return ociregistry.SliceSeq(names)
}

// tags returns up to limit tags that follow after, in lexical order, and whether there are more. A negative limit is none.
func (r *Registry) tags(repo, after string, limit int) (tags []string, more bool, err error) {
	tags = []string{}
	err = r.db.View(func(tx *bbolt.Tx) error {
		p, err := openRepo(tx, repo)
		if err != nil {
			return err
		}
		c := p.in(tagsKey).Cursor()
		for k, _ := c.Seek([]byte(after)); k != nil; k, _ = c.Next() {
			if string(k) == after {
				continue
			}
			if limit >= 0 && len(tags) == limit {
				more = limit > 0
				return nil
			}
			tags = append(tags, string(k))
		}
		return nil
	})
	return tags, more, err
}

// Referrers lists what was pushed with d as its subject. A repository that is not known has none.
func (b *backend) Referrers(_ context.Context, repo string, d digest.Digest, artifactType string) iter.Seq2[ocispec.Descriptor, error] {
	descs := []ocispec.Descriptor{}
	err := b.r.db.View(func(tx *bbolt.Tx) error {
		p, err := openRepo(tx, repo)
		if err != nil {
			return nil
		}
		prefix := referrerKey(d, "")
		c := p.in(referrersKey).Cursor()
		for k, _ := c.Seek(prefix); k != nil && strings.HasPrefix(string(k), string(prefix)); k, _ = c.Next() {
			desc, _, err := get[ocispec.Descriptor](p.in(referrersKey), string(k))
			if err != nil {
				return err
			}
			if artifactType == "" || desc.ArtifactType == artifactType {
				descs = append(descs, desc)
			}
		}
		return nil
	})
	if err != nil {
		return ociregistry.ErrorSeq[ocispec.Descriptor](err)
	}
	return ociregistry.SliceSeq(descs)
}

package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The layout of registry.db: one bucket per repository under "repos", each with these buckets.
const (
	reposKey     = "repos"
	tagsKey      = "tags"      // tag -> digest of its manifest
	manifestsKey = "manifests" // digest -> the manifest's bytes
	infoKey      = "info"      // digest -> JSON of manifestInfo
	blobsKey     = "blobs"     // digest -> JSON of blobInfo
	referrersKey = "referrers" // subject digest, space, digest -> JSON of the descriptor the referrers API returns
)

// blobInfo is what a repository knows of a blob.
type blobInfo struct {
	Size   int64     `json:"size"`
	Pushed time.Time `json:"pushed"`
}

// manifestInfo is what a repository knows of a manifest beside its bytes.
type manifestInfo struct {
	MediaType string          `json:"mediaType"`
	Size      int64           `json:"size"`
	Pushed    time.Time       `json:"pushed"`
	Subject   digest.Digest   `json:"subject,omitempty"`
	Blobs     []digest.Digest `json:"blobs,omitempty"`
	Manifests []digest.Digest `json:"manifests,omitempty"`
}

func openDB(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 100 * time.Millisecond, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists([]byte(reposKey))
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// repository is one repository inside a transaction.
type repository struct{ b *bbolt.Bucket }

// openRepo finds a repository; the error is ErrNameUnknown.
func openRepo(tx *bbolt.Tx, name string) (repository, error) {
	b := tx.Bucket([]byte(reposKey)).Bucket([]byte(name))
	if b == nil {
		return repository{}, fmt.Errorf("%w: %s", ociregistry.ErrNameUnknown, name)
	}
	return repository{b}, nil
}

// makeRepo finds or makes a repository.
func makeRepo(tx *bbolt.Tx, name string) (repository, error) {
	b, err := tx.Bucket([]byte(reposKey)).CreateBucketIfNotExists([]byte(name))
	if err != nil {
		return repository{}, err
	}
	for _, k := range []string{tagsKey, manifestsKey, infoKey, blobsKey, referrersKey} {
		if _, err := b.CreateBucketIfNotExists([]byte(k)); err != nil {
			return repository{}, err
		}
	}
	return repository{b}, nil
}

func (p repository) in(bucket string) *bbolt.Bucket { return p.b.Bucket([]byte(bucket)) }

// tag returns the digest a tag points at, empty when there is no such tag.
func (p repository) tag(name string) digest.Digest {
	return digest.Digest(p.in(tagsKey).Get([]byte(name)))
}

func (p repository) manifest(d digest.Digest) (manifestInfo, bool, error) {
	return get[manifestInfo](p.in(infoKey), string(d))
}

func (p repository) blob(d digest.Digest) (blobInfo, bool, error) {
	return get[blobInfo](p.in(blobsKey), string(d))
}

// removeManifest takes a manifest, every tag on it and its entry as a referrer away.
func (p repository) removeManifest(d digest.Digest) error {
	info, ok, err := p.manifest(d)
	if err != nil || !ok {
		return err
	}
	var tags [][]byte
	err = p.in(tagsKey).ForEach(func(k, v []byte) error {
		if string(v) == string(d) {
			tags = append(tags, append([]byte(nil), k...))
		}
		return nil
	})
	for _, t := range tags {
		err = errors.Join(err, p.in(tagsKey).Delete(t))
	}
	if info.Subject != "" {
		err = errors.Join(err, p.in(referrersKey).Delete(referrerKey(info.Subject, d)))
	}
	return errors.Join(err, p.in(infoKey).Delete([]byte(d)), p.in(manifestsKey).Delete([]byte(d)))
}

func referrerKey(subject, d digest.Digest) []byte { return []byte(string(subject) + " " + string(d)) }

func get[T any](b *bbolt.Bucket, key string) (T, bool, error) {
	var v T
	data := b.Get([]byte(key))
	if data == nil {
		return v, false, nil
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, false, fmt.Errorf("reading %s from the registry's index: %w", key, err)
	}
	return v, true, nil
}

func put(b *bbolt.Bucket, key []byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, data)
}

// each calls f for every repository in lexical order.
func eachRepo(tx *bbolt.Tx, f func(name string, p repository) error) error {
	repos := tx.Bucket([]byte(reposKey))
	return repos.ForEachBucket(func(k []byte) error { return f(string(k), repository{repos.Bucket(k)}) })
}

package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// record is what the store remembers of an image it has resolved, so that starting it again asks no registry.
type record struct {
	Names    []string        `json:"names"` // the repositories it was found in, as Ref.LocalRepo writes them
	Readers  []reader        `json:"readers"`
	Manifest json.RawMessage `json:"manifest"`
	Config   json.RawMessage `json:"config"`
}

// reader is who was let at the image, newest last.
type reader struct {
	Name string `json:"name"` // as in Names
	// Login is the fingerprint of the credentials; empty is everybody: a registry that asked for none, or the platform's own.
	Login string `json:"login,omitempty"`
}

// maxReaders bounds those of one image. Who is forgotten asks the registry again.
const maxReaders = 64

// lets tells whether the image was given to these credentials before, or to everybody.
func (r record) lets(name, digest string, c Credentials) bool {
	return slices.Contains(r.Readers, reader{Name: name}) || slices.Contains(r.Readers, reader{name, c.fingerprint(name, digest)})
}

// add notes where the image was found and who was let at it. It is false when that is known.
func (r *record) add(by reader) bool {
	if slices.Contains(r.Readers, by) {
		return false
	}
	if !slices.Contains(r.Names, by.Name) {
		r.Names = append(r.Names, by.Name)
	}
	r.Readers = append(r.Readers, by)
	if n := len(r.Readers); n > maxReaders {
		r.Readers = slices.Clone(r.Readers[n-maxReaders:])
	}
	return true
}

func (r record) config() (*v1.ConfigFile, error) {
	var c v1.ConfigFile
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return nil, fmt.Errorf("reading the image's config: %w", err)
	}
	return &c, nil
}

func (r record) manifest() (*v1.Manifest, error) {
	var m v1.Manifest
	if err := json.Unmarshal(r.Manifest, &m); err != nil {
		return nil, fmt.Errorf("reading the image's manifest: %w", err)
	}
	return &m, nil
}

// diffs name what is unpacked of the image, lowest first. The config of a module may name nothing: it is the module itself.
func (r record) diffs() (diffs []v1.Hash, module bool, err error) {
	c, err := r.config()
	if err != nil {
		return nil, false, err
	}
	if m, err := r.manifest(); err == nil && isModule(m) {
		return []v1.Hash{m.Layers[0].Digest}, true, nil
	}
	return c.RootFS.DiffIDs, false, nil
}

func (s *Store) recordPath(digest string) (string, error) {
	h, err := v1.NewHash(digest)
	if err != nil {
		return "", err
	}
	return s.path("images", h.Algorithm, h.Hex), nil
}

func (s *Store) load(digest string) (record, error) {
	var rec record
	path, err := s.recordPath(digest)
	if err != nil {
		return rec, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return rec, err
	}
	return rec, json.Unmarshal(data, &rec)
}

// save writes a record whole or not at all.
func (s *Store) save(digest string, rec record) error {
	path, err := s.recordPath(digest)
	if err != nil {
		return err
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.path("tmp"), "image-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// remembered are the digests of all images that have a record.
func (s *Store) remembered() ([]string, error) {
	entries, err := os.ReadDir(s.path("images", "sha256"))
	digests := make([]string, len(entries))
	for i, e := range entries {
		digests[i] = "sha256:" + e.Name()
	}
	return digests, err
}

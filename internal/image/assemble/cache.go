package assemble

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Cache keeps compressed layers by a key, in a directory of its own, so that a large layer that many images share is made once.
type Cache struct{ dir string }

// unused is how long a layer may lie in a cache before it is removed.
const unused = 30 * 24 * time.Hour

var keyForm = regexp.MustCompile(`^[0-9a-f]{16,128}$`)

// OpenCache opens the cache in dir, removes what an interrupted process left, and what nobody asked for in the last 30 days.
func OpenCache(dir string, now time.Time) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the cache of layers: %w", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the cache of layers: %w", err)
	}
	for _, e := range names {
		info, err := e.Info()
		if err == nil && keyForm.MatchString(e.Name()) && now.Sub(info.ModTime()) < unused {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return nil, fmt.Errorf("sweeping the cache of layers: %w", err)
		}
	}
	return &Cache{dir: dir}, nil
}

// said is what is known of a kept layer besides its bytes.
type said struct {
	Size           int64
	Digest, DiffID v1.Hash
}

// Stream is like the function of that name, but calls write only when the cache holds nothing under the key, which is lower-case
// hexadecimal and names everything that write depends on.
func (c *Cache) Stream(key string, write func(io.Writer) error) (v1.Layer, error) {
	if !keyForm.MatchString(key) {
		return nil, fmt.Errorf("making a layer: %q is no key", key)
	}
	if l, err := c.get(key); err == nil {
		return l, nil
	}
	made, err := Stream(write)
	if err != nil {
		return nil, err
	}
	if err := c.put(key, made); err != nil { // the layer is good, and the next build makes it again
		return made, nil //nolint:nilerr // as said
	}
	return made, nil
}

func (c *Cache) get(key string) (*layer, error) {
	dir := filepath.Join(c.dir, key)
	data, err := os.ReadFile(filepath.Join(dir, "layer.json"))
	if err != nil {
		return nil, err
	}
	var s said
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, "layer.tar.gz"))
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || info.Size() != s.Size {
		return nil, errors.Join(fs.ErrInvalid, f.Close())
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // or it is made again some day
	return &layer{f: f, size: s.Size, digest: s.Digest, diff: s.DiffID}, nil
}

// put writes a directory beside and moves it into place, so that a reader or a crash meets all of it or nothing.
func (c *Cache) put(key string, l v1.Layer) error {
	made, ok := l.(*layer)
	if !ok {
		return errors.ErrUnsupported
	}
	tmp, err := os.MkdirTemp(c.dir, "new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // gone after a successful rename
	f, err := os.Create(filepath.Join(tmp, "layer.tar.gz"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, made.reader())
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	data, err := json.Marshal(said{Size: made.size, Digest: made.digest, DiffID: made.diff})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "layer.json"), data, 0o600); err != nil {
		return err
	}
	at := filepath.Join(c.dir, key)
	if err := os.RemoveAll(at); err != nil { // a damaged one
		return err
	}
	return os.Rename(tmp, at)
}

package native

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/openfunction/ofn/internal/build"
)

// key identifies a result: two builds with equal keys give equal images.
func (s *Strategy) key(r build.Request, t *tree, fetched build.Tree) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s%s\n%q %q %q %q\n", s.identity, t.hash, r.Function, s.opts.Arch, r.Source.URL, fetched.Result.CommitSHA)
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		fmt.Fprintf(h, "%q=%q\n", k, r.Env[k])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// results remembers which image a key gave, one small file each.
type results struct{ dir string }

type result struct {
	Digest string
	Size   int64
}

// get is not ok when nothing readable is remembered.
func (c results) get(key string) (build.Result, bool) {
	name := filepath.Join(c.dir, key)
	data, err := os.ReadFile(name)
	if err != nil {
		return build.Result{}, false
	}
	var r result
	if err := json.Unmarshal(data, &r); err != nil || r.Digest == "" {
		return build.Result{}, false
	}
	touch(name)
	return build.Result{Digest: r.Digest, Size: r.Size}, true
}

func (c results) put(key string, r build.Result) error {
	data, err := json.Marshal(result{Digest: r.Digest, Size: r.Size})
	if err != nil {
		return fmt.Errorf("remembering the result: %w", err)
	}
	if err := writeFile(filepath.Join(c.dir, key), data); err != nil {
		return fmt.Errorf("remembering the result: %w", err)
	}
	return nil
}

// writeFile replaces a file in one step, so that a reader or a crash never meets half of it.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after a successful rename
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

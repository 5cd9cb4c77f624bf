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
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// key identifies a result: two builds with equal keys give equal images.
func (s *Strategy) key(r build.Request, t *lang.Tree, fetched build.Tree, language string) string {
	h := sha256.New()
	fmt.Fprintf(h, "native 2\n%q %s %s\n%x %x\n", language, s.opts.OS, s.opts.Arch, sha256.Sum256(s.opts.CACertificates), sha256.Sum256(s.opts.Zones))
	fmt.Fprintf(h, "%s\n%q %q %q %q\n", t.Hash, r.Target, r.Function, r.Source.URL, fetched.Result.CommitSHA)
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		fmt.Fprintf(h, "%q=%q\n", k, r.Env[k])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// results remembers which image a key gave, one small file each.
type results struct{ dir string }

type result struct {
	Digest    string
	Size      int64
	Functions []build.Function
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
	lang.Touch(name)
	return build.Result{Digest: r.Digest, Size: r.Size, Functions: r.Functions}, true
}

func (c results) put(key string, r build.Result) error {
	data, err := json.Marshal(result{Digest: r.Digest, Size: r.Size, Functions: r.Functions})
	if err != nil {
		return fmt.Errorf("remembering the result: %w", err)
	}
	if err := lang.WriteFile(filepath.Join(c.dir, key), data); err != nil {
		return fmt.Errorf("remembering the result: %w", err)
	}
	return nil
}

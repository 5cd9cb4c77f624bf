package wasm

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// cache keeps compiled modules in a directory, each in a file named by the module's digest and what compiled it. The first line
// of the file says what the module is.
type cache struct {
	dir  string
	tag  string // names the compiler
	most int64
}

// compiled is a module as it is kept.
type compiled struct {
	wire.Compiled
	code []byte
}

func (c cache) path(digest string) string { return filepath.Join(c.dir, digest+"-"+c.tag) }

// get returns what is kept; false when there is nothing or it is damaged.
func (c cache) get(digest string) (compiled, bool) {
	b, err := os.ReadFile(c.path(digest))
	if err != nil {
		return compiled{}, false
	}
	line := slices.Index(b, '\n')
	var m compiled
	if line < 0 || json.Unmarshal(b[:line], &m.Compiled) != nil || m.File == "" {
		return compiled{}, false
	}
	m.code = b[line+1:]
	now := time.Now()
	_ = os.Chtimes(c.path(digest), now, now) // its use is what keeps it
	return m, true
}

// put keeps a module, whole or not at all, and drops others when there are too many.
func (c cache) put(digest string, m compiled) error {
	head, err := json.Marshal(m.Compiled)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, "new-")
	if err != nil {
		return fmt.Errorf("keeping a compiled module: %w", err)
	}
	_, err = f.Write(slices.Concat(head, []byte("\n"), m.code))
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("keeping a compiled module: %w", err), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), c.path(digest)); err != nil {
		return fmt.Errorf("keeping a compiled module: %w", err)
	}
	return c.prune()
}

// prune drops the longest unused until the rest is small enough.
func (c cache) prune() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("looking through compiled modules: %w", err)
	}
	var infos []fs.FileInfo
	var size int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !strings.HasPrefix(e.Name(), "new-") {
			infos = append(infos, info)
			size += info.Size()
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, info := range infos {
		if size <= c.most {
			return nil
		}
		size -= info.Size()
		if err := os.Remove(filepath.Join(c.dir, info.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dropping a compiled module: %w", err)
		}
	}
	return nil
}

// clean removes what was being written when the platform was killed.
func (c cache) clean() error {
	left, err := filepath.Glob(filepath.Join(c.dir, "new-*"))
	for _, f := range left {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

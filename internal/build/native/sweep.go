package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unused is how long what a cache holds may lie unused. The Go build cache looks after itself.
const unused = 30 * 24 * time.Hour

// sweep removes the work directories of a process that was killed, and what nobody used for long. What is in use has been touched.
func sweep(dir string, now time.Time) error {
	if err := emptyDir(filepath.Join(dir, "work")); err != nil {
		return err
	}
	var errs []error
	for _, pattern := range []string{"cache/results/*", "cache/resolved/*", "cache/sums/*", "cache/framework/*", "cache/go-mod-*"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return fmt.Errorf("sweeping the build caches: %w", err)
		}
		for _, name := range names {
			info, err := os.Lstat(name)
			if err != nil || now.Sub(info.ModTime()) < unused {
				continue
			}
			if strings.HasPrefix(filepath.Base(name), "go-mod-") {
				errs = append(errs, unprotect(name))
			}
			errs = append(errs, os.RemoveAll(name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweeping the build caches: %w", err)
	}
	return nil
}

// unprotect lets a module cache be removed: Go takes the write permission from its directories.
func unprotect(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(p, 0o700)
	})
}

// touch marks something as used. It is no matter when that fails: it may be removed, and is then made again.
func touch(name string) {
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}

package lang

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Unused is how long what a cache holds may lie unused.
const Unused = 30 * 24 * time.Hour

// Sweep removes what matches one of the patterns below dir and nobody has touched for long.
func Sweep(dir string, now time.Time, patterns ...string) error {
	var errs []error
	for _, pattern := range patterns {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return fmt.Errorf("sweeping the build caches: %w", err)
		}
		for _, name := range names {
			info, err := os.Lstat(name)
			if err != nil || now.Sub(info.ModTime()) < Unused {
				continue
			}
			errs = append(errs, unprotect(name), os.RemoveAll(name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweeping the build caches: %w", err)
	}
	return nil
}

// unprotect lets a tree be removed: Go takes the write permission from the directories of modules.
func unprotect(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return os.Chmod(p, 0o700)
	})
}
